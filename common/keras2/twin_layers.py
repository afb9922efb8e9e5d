"""Layers and activations of twins that tf_keras itself does not have.

Unlike its siblings this module imports the frameworks: the others import it
late.
"""

from typing import Any

import keras
import tensorflow as tf
import tf_keras

from common.keras2 import registry

PACKAGE = "Keras2Twin"
register = tf_keras.saving.register_keras_serializable(PACKAGE)

# Same name and same formula in both versions.
_SHARED = frozenset(
    {
        "elu",
        "exponential",
        "gelu",
        "linear",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "softmax",
        "softplus",
        "softsign",
        "tanh",
    }
)


def activation(function: Any) -> Any:
    """Returns what tf_keras should use for a Keras 3 activation function.

    Args:
        function: the function a Keras 3 layer holds; None means linear.

    Returns:
        A name that tf_keras knows, or a registered function.

    Raises:
        UnsupportedLayerError: the function is not one of Keras.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if function is None:
        return "linear"
    if not getattr(function, "__module__", "").startswith("keras.src."):
        raise registry.UnsupportedLayerError(
            f"has activation {name}, which is not one of Keras; use a named "
            "activation or keras.ops in the graph"
        )
    if name in _SHARED:
        return name
    if name in ("silu", "swish"):
        return "swish"
    if name not in _ACTIVATIONS:
        raise registry.UnsupportedLayerError(
            f"has activation {name}, unknown to the bridge; use a named one"
        )
    return _ACTIVATIONS[name]


@register
def hard_sigmoid(x: tf.Tensor) -> tf.Tensor:
    """Computes relu6(x + 3) / 6; tf_keras's own is a different function."""
    return tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


@register
def hard_silu(x: tf.Tensor) -> tf.Tensor:
    """Computes x * relu6(x + 3) / 6, which TFLite fuses to HARD_SWISH."""
    return x * (tf.nn.relu6(x + 3.0) * (1.0 / 6.0))


@register
def hard_tanh(x: tf.Tensor) -> tf.Tensor:
    """Clips to [-1, 1]."""
    return tf.minimum(tf.maximum(x, -1.0), 1.0)


@register
def log_sigmoid(x: tf.Tensor) -> tf.Tensor:
    """Computes the logarithm of the sigmoid."""
    return -tf.nn.softplus(-x)


def _of_keras(name: str) -> Any:
    """Registers an activation that is computed by Keras 3 itself."""

    def function(x: tf.Tensor) -> tf.Tensor:
        return getattr(keras.activations, name)(x)

    function.__name__ = function.__qualname__ = name
    return register(function)


_ACTIVATIONS = {
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "hard_tanh": hard_tanh,
    "log_sigmoid": log_sigmoid,
} | {
    name: _of_keras(name)
    for name in (
        "celu",
        "glu",
        "hard_shrink",
        "leaky_relu",
        "log_softmax",
        "soft_shrink",
        "sparse_plus",
        "sparse_sigmoid",
        "sparsemax",
        "squareplus",
        "tanh_shrink",
        "threshold",
    )
}


class OpLayer(tf_keras.layers.Layer):
    """Base of the layers that stand for operations.

    They drop masks, as Keras 3's operations do, and have nothing to prune.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Returns None: the mask ends here."""

    def get_prunable_weights(self) -> list[Any]:
        """Returns no weights: TF-MOT asks before it wraps a layer."""
        return []


@register
class DropMask(OpLayer):
    """Passes its input on without the mask."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the input."""
        return tf.identity(inputs)
