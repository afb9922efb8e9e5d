"""Layers and activations of twins that tf_keras itself does not have."""

from typing import Any

import keras
import tensorflow as tf
import tf_keras

from . import registry

PACKAGE = "Keras2Twin"
register = tf_keras.saving.register_keras_serializable(PACKAGE)

# Activations that TF-MOT can quantize in an Activation layer.
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
# Activations that TF-MOT can quantize inside a dense layer or convolution.
QUANTIZABLE_INSIDE = QUANTIZABLE - {"relu6"}
# Activations with the same name and formula in Keras 3 and tf_keras.
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
    """Returns the tf_keras activation that equals a Keras 3 activation.

    Args:
        function: The activation function of a Keras 3 layer; None is linear.

    Returns:
        A name that tf_keras knows, or a registered function.

    Raises:
        UnsupportedLayerError: If the function is not part of Keras, or tf_keras
            has no equal.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if function is None:
        return "linear"
    if not getattr(function, "__module__", "").startswith("keras.src."):
        raise registry.UnsupportedLayerError(
            f"has activation {name}, which is not one of Keras's; use a named "
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
            f"has activation {name}, which tf_keras does not take as an "
            "activation; use a named activation, or a layer of its own"
        )
    return _ACTIVATIONS[name]


@register
def hard_sigmoid(x: tf.Tensor) -> tf.Tensor:
    """Computes relu6(x + 3) / 6; tf_keras's hard_sigmoid differs from it."""
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
    """Returns a registered activation that Keras 3 itself computes."""

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
    """The base of layers that replace operations.

    They drop masks, as Keras 3's operations do, and have no prunable weights.
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

    In a stock `Activation` layer, such an activation makes `quantize_apply`
    fail for the whole model; a layer of this class stays in float.
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
        """Returns the constructor's arguments."""
        name = tf_keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": name}


@register
class Constant(OpLayer):
    """Returns a constant for any input, such as a mask passed as an array."""

    def __init__(self, value: Any, value_dtype: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value
        self.value_dtype = value_dtype

    def call(self, inputs: Any) -> tf.Tensor:
        """Returns the constant."""
        return tf.constant(self.value, self.value_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
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
        """Returns the layer's outputs."""
        return self._layer.call(inputs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"class_name": self.class_name, "config": self.config}
        return {**super().get_config(), **config}


class _Scaling(tf_keras.layers.Layer):
    """The base of layers with factors, which are not pruned."""

    def get_prunable_weights(self) -> list[Any]:
        """Returns no weights: TF-MOT asks before it wraps a layer."""
        return []


@register
class LayerScale(_Scaling):
    """Multiplies each channel by a factor; see arXiv 2103.17239."""

    def build(self, input_shape: Any) -> None:
        """Creates the factors."""
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
        """Creates the factors."""
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
        """Returns the constructor's arguments."""
        config = {"axis": self.axis, "epsilon": self.epsilon}
        return {**super().get_config(), **config}
