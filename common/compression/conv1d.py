"""One-dimensional convolutions in quantization-aware training.

TF-MOT quantizes kernels of two dimensions only; its own transform of
SeparableConv1D takes no causal padding and prints warnings. A convolution over
(batch, steps, channels) becomes a stock one over (batch, steps, 1, channels),
as TFLite computes it in any case. The layers around it have TF-MOT's names, by
which it folds batch normalization.
"""

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (  # noqa: E501
    NoOpQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.graph_transformations import (  # noqa: E501
    model_transformer,
    transforms,
)

# The class of two dimensions for each class of one.
LAYERS: dict[type, Any] = {
    tf_keras.layers.Conv1D: tf_keras.layers.Conv2D,
    tf_keras.layers.DepthwiseConv1D: tf_keras.layers.DepthwiseConv2D,
    tf_keras.layers.SeparableConv1D: tf_keras.layers.SeparableConv2D,
}


def widen(
    model: tf_keras.Model, entries: dict[str, dict]
) -> tuple[tf_keras.Model, dict[str, dict]]:
    """Returns a model whose convolutions have two dimensions.

    Args:
        model: The annotated model.
        entries: Each layer's configuration of quantization, by name.

    Returns:
        The changed model and the changed entries.
    """
    if not any(isinstance(layer, tuple(LAYERS)) for layer in model.layers):
        return model, entries  # Each transformation makes all layers again.
    changes = [_Widen(kind) for kind in LAYERS]
    return model_transformer.ModelTransformer(
        model, changes, set(entries), entries
    ).transform()


class _Widen(transforms.Transform):
    """Replaces the layers of one class."""

    def __init__(self, kind: type) -> None:
        self._name = kind.__name__
        self._wide = LAYERS[kind]

    def pattern(self) -> transforms.LayerPattern:
        """Returns what is replaced."""
        return transforms.LayerPattern(self._name)

    def replacement(self, match_layer: Any) -> Any:
        """Returns the nodes that replace a layer, the last of them."""
        config = dict(match_layer.layer["config"])
        sizes = {
            key: (*_pair(config[key]), 1)
            for key in ("kernel_size", "dilation_rate")
        }
        strides = 2 * _pair(config["strides"])
        before = [_node(tf.expand_dims, "sepconv1d_expand", config["name"])]
        if config["padding"] == "causal":
            config["padding"] = "valid"
            steps = _pair(config["dilation_rate"])[0]
            steps *= _pair(config["kernel_size"])[0] - 1
            padding = tf_keras.layers.ZeroPadding2D(
                ((steps, 0), (0, 0)), name=f"{config['name']}_padding"
            )
            before.append(_layer_node(padding))
        layer = self._wide.from_config({**config, **sizes, "strides": strides})
        weights = collections.OrderedDict(
            (name, np.expand_dims(value, 1) if "kernel" in name else value)
            for name, value in match_layer.weights.items()
        )
        after = _node(tf.squeeze, "sepconv1d_squeeze", config["name"])
        nodes = [*before, _layer_node(layer, weights, quantized=True), after]
        for node, source in zip(nodes[1:], nodes, strict=False):
            node.input_layers = [source]
        return nodes[-1]


def _pair(value: Any) -> tuple[int, ...]:
    """Returns a size of one dimension as a tuple."""
    return (value,) if isinstance(value, int) else tuple(value)


def _node(function: Any, prefix: str, name: str) -> Any:
    """Returns the node that adds or takes the axis of size 1."""
    layer = tf_keras.layers.Lambda(
        function, arguments={"axis": 2}, name=f"{prefix}_{name}"
    )
    return _layer_node(layer)


def _layer_node(
    layer: Any, weights: Any = None, quantized: bool = False
) -> Any:
    """Returns the node of a layer."""
    config = tf_keras.utils.legacy.serialize_keras_object(layer)
    config["name"] = layer.name
    entry = {"quantize_config": None if quantized else NoOpQuantizeConfig()}
    return transforms.LayerNode(config, weights, metadata=entry)
