"""A small model with one example of each pattern of layers in a twin.

What TF-MOT can wrap is decided by a layer's class and configuration, and in
quantization by the layers before it. A network of 50 layers repeats a dozen of
these patterns, so that one example of each tells in seconds what all of them
tell in a minute.
"""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from common.keras2 import pruning

# The layers that TF-MOT quantizes together with those before them, at most two:
# a convolution, its batch normalization and ReLU.
_JOINED = (
    tf_keras.layers.Activation,
    tf_keras.layers.BatchNormalization,
    tf_keras.layers.Concatenate,
    tf_keras.layers.ReLU,
)
_DEPTH = 2


def examples(
    twin: tf_keras.Model, kind: Callable[[tf_keras.layers.Layer], Any]
) -> tf_keras.Model:
    """Returns a model with the first example of each pattern of layers.

    The layers before it that belong to a pattern come with it. Where this cuts
    the graph of the twin, the model has inputs and outputs.

    Args:
        twin: A functional model.
        kind: Returns what else tells layers apart, besides their classes and
            their configurations without numbers.

    Returns:
        A model of new layers with the names and the weights of the twin's.
    """
    graph = _Graph(twin, kind)
    first: dict[Any, tf_keras.layers.Layer] = {}
    for layer in twin.layers:
        first.setdefault(graph.pattern(layer, _DEPTH), layer)
    chosen: dict[str, int] = {}
    for layer in first.values():
        graph.choose(layer, _DEPTH, chosen)
    return graph.part(chosen)


class _Graph:
    """The calls of a twin's layers, and which layers take their outputs."""

    def __init__(self, twin: tf_keras.Model, kind: Callable[..., Any]) -> None:
        by_depth = twin._nodes_by_depth
        self._twin = twin
        self._order = [
            node
            for depth in sorted(by_depth, reverse=True)
            for node in by_depth[depth]
        ]
        self._calls: dict[str, list[Any]] = {x.name: [] for x in twin.layers}
        # The layers that take the outputs; the model's own outputs are "".
        self._consumers: dict[str, set[str]] = {x: set() for x in self._calls}
        for node in self._order:
            self._calls[node.layer.name].append(node)
            for tensor in node.keras_inputs:
                self._consumers[_source(tensor).name].add(node.layer.name)
        for tensor in twin.outputs:
            self._consumers[_source(tensor).name].add("")
        self._own = {x.name: self._describe(x, kind) for x in twin.layers}

    def _inputs(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """Returns the tensors that a layer is called on, of all its calls."""
        calls = self._calls[layer.name]
        return [tensor for node in calls for tensor in node.keras_inputs]

    def _describe(
        self, layer: tf_keras.layers.Layer, kind: Callable[..., Any]
    ) -> str:
        """Returns what TF-MOT may treat a layer by, but for those before it."""
        description = (
            type(layer).__name__,
            _without_numbers(layer.get_config()),
            [sorted(node.call_kwargs) for node in self._calls[layer.name]],
            [(x.dtype.name, x.shape.rank) for x in self._inputs(layer)],
            kind(layer),
        )
        return repr(description)

    def pattern(self, layer: tf_keras.layers.Layer, depth: int) -> Any:
        """Returns the description of a layer and of those joined with it."""
        before = map(_source, self._joined(layer, depth))
        return self._own[layer.name], tuple(
            # Layers are not joined where others take the outputs between them.
            (len(self._consumers[x.name]) > 1, self.pattern(x, depth - 1))
            for x in before
        )

    def _joined(self, layer: tf_keras.layers.Layer, depth: int) -> list[Any]:
        """Returns the inputs from layers that TF-MOT may join with a layer."""
        joined = depth and isinstance(layer, _JOINED)
        return self._inputs(layer) if joined else []

    def choose(
        self, layer: tf_keras.layers.Layer, depth: int, chosen: dict[str, int]
    ) -> None:
        """Adds a layer and those before it that it needs to the chosen ones.

        Args:
            layer: The layer.
            depth: The greatest number of layers before it that it may need.
            chosen: This number for the layers so far, by name; it is changed.
        """
        if chosen.get(layer.name, -1) >= depth:
            return
        chosen[layer.name] = depth
        joined = self._joined(layer, depth)
        for tensor in self._inputs(layer):
            if joined or not _can_be_cut(tensor):
                self.choose(_source(tensor), max(depth - 1, 0), chosen)

    def part(self, chosen: Iterable[str]) -> tf_keras.Model:
        """Returns a model of new layers for those that are named."""
        names = set(chosen)
        inputs: list[Any] = []
        outputs: list[Any] = []
        values: dict[int, Any] = {}  # New tensors by id of the twin's.
        made: dict[str, Any] = {}
        for node in self._order:
            name = node.layer.name
            if node.is_input or name not in names:
                continue
            for tensor in node.keras_inputs:
                if id(tensor) not in values:
                    inputs.append(_input(tensor, len(inputs)))
                    values[id(tensor)] = inputs[-1]
            if name not in made:
                made[name] = type(node.layer).from_config(
                    _without_random_weights(node.layer.get_config())
                )
            args, kwargs = tf.nest.map_structure(
                lambda x: values.get(id(x), x),
                (node.call_args, node.call_kwargs),
            )
            results = tf.nest.flatten(made[name](*args, **kwargs))
            values.update(
                zip(
                    map(id, tf.nest.flatten(node.outputs)), results, strict=True
                )
            )
            if self._consumers[name] - names:
                outputs += results
        for name, layer in made.items():
            layer.set_weights(self._twin.get_layer(name).get_weights())
            pruning.prepare(layer)
        return tf_keras.Model(inputs, outputs)


def _source(tensor: Any) -> tf_keras.layers.Layer:
    """Returns the layer that makes a symbolic tensor."""
    return tensor._keras_history.layer


def _can_be_cut(tensor: Any) -> bool:
    """Returns whether an input may take the place of a layer's output.

    It cannot carry a mask, and TF-MOT quantizes inputs that are not integers.
    """
    mask = getattr(tensor, "_keras_mask", None)
    return mask is None and tensor.dtype.is_floating


def _input(tensor: Any, number: int) -> Any:
    """Returns a new input in place of a tensor of the twin."""
    source = _source(tensor)
    is_input = isinstance(source, tf_keras.layers.InputLayer)
    return tf_keras.Input(
        batch_shape=tuple(tensor.shape),
        dtype=tensor.dtype,
        name=source.name if is_input else f"{source.name}_cut_{number}",
    )


def _without_random_weights(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration for weights that will be set: zeros are quick.

    TF-MOT makes a layer several times from its configuration.
    """
    return {
        key: "zeros" if key.endswith("_initializer") else value
        for key, value in config.items()
    }


def _without_numbers(config: Any) -> Any:
    """Returns a configuration with the types of numbers and arrays only."""
    if isinstance(config, dict):
        return {
            key: value if key == "axis" else _without_numbers(value)
            for key, value in config.items()
            if key != "name"
        }
    if isinstance(config, list | tuple):
        return [_without_numbers(value) for value in config]
    if config is None or isinstance(config, str | bool):
        return config
    return type(config).__name__
