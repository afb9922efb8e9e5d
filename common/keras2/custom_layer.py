"""The tf_keras layer that calls a Keras 3 layer of a user's own class."""

import inspect
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from . import configs, registry, twin_layers

# The layers by key. TF-MOT makes layers again from their configuration, which
# cannot hold a layer; and the process of a conversion ends soon.
_SOURCES: dict[str, keras.layers.Layer] = {}


def keep(layer: keras.layers.Layer) -> "CustomLayer":
    """Returns the replacement of a built layer; a converter for `registry`.

    Args:
        layer: A layer of any class, whose `call` TensorFlow can run.
    """
    key = f"{layer.name}:{id(layer)}"
    _SOURCES[key] = layer
    return CustomLayer(
        key, name=registry.twin_name(layer.name), dtype=configs.dtype_of(layer)
    )


@twin_layers.register
class CustomLayer(tf_keras.layers.Layer):
    """Calls a Keras 3 layer of a user's own class.

    Keras 3 computes with TensorFlow here, so that the layer's own code runs in
    the graph of the twin. The Keras 3 layer's weights are not changed: what
    training changes, such as moving averages, is in `source_weights`.

    Attributes:
        source_weights: Variables in the order of the Keras 3 layer's `weights`.
    """

    def __init__(self, key: str, **kwargs: Any) -> None:
        """Keeps the key of the Keras 3 layer; see `keep`."""
        super().__init__(**kwargs)
        self.key = key
        self.supports_masking = _SOURCES[key].supports_masking

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self.source_weights = [
            self.add_weight(
                name=f"{weight.name}_{index}",
                shape=weight.shape,
                dtype=weight.dtype,
                trainable=weight.trainable,
            )
            for index, weight in enumerate(_SOURCES[self.key].weights)
        ]
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """Returns the outputs of the Keras 3 layer."""
        if tf.is_tensor(training):  # Keras 3 branches on it in Python.
            return tf.cond(
                tf.cast(training, tf.bool),
                lambda: self._compute(inputs, True, **kwargs),
                lambda: self._compute(inputs, False, **kwargs),
            )
        return self._compute(inputs, bool(training), **kwargs)

    def _compute(self, inputs: Any, training: bool, **kwargs: Any) -> Any:
        """Returns the outputs in training or in inference."""
        source = _SOURCES[self.key]
        if "mask" not in inspect.signature(source.call).parameters:
            kwargs.pop("mask", None)
        state = list(zip(source.weights, self.source_weights, strict=True))
        mapping = [(x, tf.convert_to_tensor(y)) for x, y in state]
        if training:
            mapping += _random_states(source)
        with keras.StatelessScope(state_mapping=mapping) as scope:
            # The layers inside are trained too if `call` does not take it.
            outputs = source(inputs, training=training, **kwargs)
        if training:
            for variable, weight in state:
                if not variable.trainable:  # Such as moving averages.
                    weight.assign(scope.get_current_value(variable))
        return outputs

    def get_prunable_weights(self) -> list[Any]:
        """Returns the trainable weights with several axes, for TF-MOT."""
        return [
            weight
            for weight in self.source_weights
            if weight.trainable and sum(size > 1 for size in weight.shape) > 1
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "key": self.key}


def _random_states(source: keras.layers.Layer) -> list[tuple[Any, tf.Tensor]]:
    """Returns new states for the generators of random numbers in a layer.

    Those that Keras 3 counts up are not kept between two steps, and dropout
    would drop the same units in each.
    """
    return [
        (
            generator.state,
            tf.random.uniform(
                generator.state.shape, 0, 2**31 - 1, generator.state.dtype
            ),
        )
        for layer in source._flatten_layers()
        for generator in layer._seed_generators
    ]
