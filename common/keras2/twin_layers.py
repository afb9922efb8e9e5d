"""Layers and activations of twins that tf_keras itself does not have.

Unlike its siblings this module imports the frameworks: the others import it
late.
"""

from typing import Any

import keras
import tensorflow as tf
import tf_keras

from . import registry

PACKAGE = "Keras2Twin"
register = tf_keras.saving.register_keras_serializable(PACKAGE)

# What TF-MOT's quantization takes in an Activation layer.
QUANTIZABLE = frozenset(
    {
        "gelu",
        "linear",
        "relu",
        "relu6",
        "sigmoid",
        "softmax",
        "swish",
        "tanh",
    }
)
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
    if name == "gelu" and function.__module__.startswith("keras.src.ops"):
        return gelu_tanh
    if name in _SHARED:
        return name
    if name in ("silu", "swish"):
        return "swish"
    if name not in _ACTIVATIONS:
        raise registry.UnsupportedLayerError(
            f"has activation {name}, which tf_keras does not take as one; "
            "use a named activation, or a layer of its own"
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
def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Computes GELU by its tanh formula: the default of keras.ops.gelu."""
    return tf.nn.gelu(x, approximate=True)


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
    )
}


class OpLayer(tf_keras.layers.Layer):
    """Base of the layers that stand for operations.

    They drop masks, as Keras 3's operations do, and have nothing to prune.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
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


@register
class OtherActivation(OpLayer):
    """Computes an activation that TF-MOT's quantization does not know.

    One in a stock `Activation` layer makes `quantize_apply` fail for the
    whole model; a layer of this class is left in float.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = tf_keras.activations.get(activation)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the activations."""
        return self.activation(inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Returns the mask unchanged, as `Activation` does."""
        return mask

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the layer."""
        name = tf_keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": name}


@register
class Constant(OpLayer):
    """Gives a constant, whatever its input: a mask given as an array, say."""

    def __init__(self, value: Any, value_dtype: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value
        self.value_dtype = value_dtype

    def call(self, inputs: Any) -> tf.Tensor:
        """Returns the constant."""
        return tf.constant(self.value, self.value_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the layer."""
        config = {"value": self.value, "value_dtype": self.value_dtype}
        return {**super().get_config(), **config}


@register
class StatelessLayer(OpLayer):
    """Calls a stock Keras 3 layer that has no weights."""

    def __init__(
        self, class_name: str, config: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.class_name = class_name
        self.config = config
        self._layer = getattr(keras.layers, class_name).from_config(config)

    def call(self, inputs: Any) -> Any:
        """Computes the layer."""
        return self._layer.call(inputs)

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the layer."""
        config = {"class_name": self.class_name, "config": self.config}
        return {**super().get_config(), **config}


class _Scaling(tf_keras.layers.Layer):
    """Base of layers with one vector of factors, which is not pruned."""

    def get_prunable_weights(self) -> list[Any]:
        """Returns no weights: TF-MOT asks before it wraps a layer."""
        return []


@register
class LayerScale(_Scaling):
    """Multiplies each channel by a factor; see arXiv 2103.17239."""

    def build(self, input_shape: Any) -> None:
        """Makes the factors."""
        self.gamma = self.add_weight(name="gamma", shape=input_shape[-1:])
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the scaled input."""
        return inputs * self.gamma


@register
class RMSNormalization(_Scaling):
    """Divides by the root mean square, then scales; see arXiv 1910.07467."""

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = [axis] if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Makes the factors."""
        shape = [input_shape[axis] for axis in self.axis]
        self.scale = self.add_weight(name="scale", shape=shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized input."""
        square = tf.reduce_mean(tf.square(inputs), self.axis, keepdims=True)
        shape = [1] * inputs.shape.rank
        for axis in self.axis:
            shape[axis] = inputs.shape[axis]
        scale = tf.reshape(self.scale, shape)
        return inputs * tf.math.rsqrt(square + self.epsilon) * scale

    def get_config(self) -> dict[str, Any]:
        """Returns what rebuilds the layer."""
        config = {"axis": self.axis, "epsilon": self.epsilon}
        return {**super().get_config(), **config}
