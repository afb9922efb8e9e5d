"""Converters of Keras 3's own layers."""

from typing import Any

import keras
import tf_keras

from . import configs, registry, twin_layers
from .registry import UnsupportedLayerError, stock_converter

_AUGMENTATION = (
    "AugMix",
    "AutoContrast",
    "CutMix",
    "Equalization",
    "MixUp",
    "RandAugment",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
)
# The layers that TF-MOT quantizes together with their activation.
_WITH_ACTIVATION = (
    tf_keras.layers.Dense,
    tf_keras.layers.Conv1D,
    tf_keras.layers.Conv2D,  # Conv2DTranspose and DepthwiseConv2D too.
    tf_keras.layers.DepthwiseConv1D,
    tf_keras.layers.SeparableConv1D,
    tf_keras.layers.SeparableConv2D,
)
_SERVING = (
    "TFLite cannot take it: put this preprocessing in the serving signature "
    "and give the bridge the model behind it"
)


def convert(layer: Any) -> Any:
    """Returns the replacement of a Keras 3 layer in the twin.

    Args:
        layer: Any Keras 3 layer, or a model inside a wrapper.

    Returns:
        A tf_keras layer, or a function of the layer's inputs.

    Raises:
        UnsupportedLayerError: If the layer has no equal in tf_keras; the error
            gives the reason.
    """
    converter = registry.find(layer)
    if converter is not None:
        return converter(layer)
    if isinstance(layer, keras.Model):
        return registry.stock("Model")(layer)
    if registry.is_stock(layer) and hasattr(
        tf_keras.layers, type(layer).__name__
    ):
        return configs.rebuild(layer)
    raise UnsupportedLayerError(
        "is not known to the bridge; register a converter for its class with "
        "@common.keras2.registry.converter"
    )


def convert_call(layer: Any) -> Any:
    """Returns the replacement of a layer that the graph calls.

    Args:
        layer: Any Keras 3 layer.

    Returns:
        As `convert`; but for a dense layer or convolution whose activation
        TF-MOT cannot quantize there, the layer without it, and the activation
        as a layer of its own, which can stay in float.

    Raises:
        UnsupportedLayerError: If the layer has no equal in tf_keras.
    """
    made = convert(layer)
    if not isinstance(made, _WITH_ACTIVATION):
        return made
    function: Any = made.activation
    if function.__name__ in twin_layers.QUANTIZABLE_INSIDE:
        return made
    made.activation = tf_keras.activations.linear
    activation = _activation_layer(
        function, name=f"{made.name}_activation", dtype=made.dtype
    )

    return _Activated(made, activation)


def rename(made: Any, name: str) -> None:
    """Gives a replacement of a layer, not built yet, another name.

    Args:
        made: A tf_keras layer, or a function, which keeps its names.
        name: The new name.
    """
    if isinstance(made, _Activated):
        made.layer._name = name
        made.activation._name = f"{name}_activation"
    elif isinstance(made, tf_keras.layers.Layer):
        made._name = name


class _Activated:
    """A layer and the activation behind it, called as one layer."""

    def __init__(self, layer: Any, activation: Any) -> None:
        self.layer, self.activation = layer, activation
        self.supports_masking = layer.supports_masking

    def __call__(self, inputs: Any) -> Any:
        """Returns the activations."""
        return self.activation(self.layer(inputs))


def _activation_layer(function: Any, **common: Any) -> Any:
    """Returns the layer that computes an activation."""
    if getattr(function, "__name__", function) in twin_layers.QUANTIZABLE:
        return tf_keras.layers.Activation(function, **common)
    return twin_layers.OtherActivation(function, **common)


@stock_converter("Lambda")
def _lambda(layer: Any) -> Any:
    raise UnsupportedLayerError(
        "holds arbitrary Python; use stock layers or keras.ops in its place"
    )


@stock_converter(
    "FeatureSpace",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)
def _lookup(layer: Any) -> Any:
    raise UnsupportedLayerError(_SERVING)


@stock_converter(*_AUGMENTATION)
def _identity(layer: Any) -> Any:
    """Returns the identity, which augmentation is at inference."""
    return tf_keras.layers.Activation("linear", **_common(layer))


@stock_converter("Activation")
def _activation(layer: Any) -> Any:
    return _activation_layer(configs.activation_of(layer), **_common(layer))


@stock_converter("LeakyReLU")
def _leaky_relu(layer: Any) -> Any:
    return configs.rebuild(
        layer, negative_slope=None, alpha=float(layer.negative_slope)
    )


@stock_converter("Normalization")
def _normalization(layer: Any) -> Any:
    """Makes adapted statistics constants, which cloning a twin keeps."""
    if layer.input_mean is not None:
        return configs.rebuild(layer)
    mean = keras.ops.convert_to_numpy(layer.adapt_mean)
    variance = keras.ops.convert_to_numpy(layer.adapt_variance)
    return configs.rebuild(layer, mean=mean, variance=variance)


@stock_converter("Discretization")
def _discretization(layer: Any) -> Any:
    return configs.rebuild(
        layer, bin_boundaries=list(layer.bin_boundaries), num_bins=None
    )


@stock_converter("RNN")
def _rnn(layer: Any) -> Any:
    return configs.rebuild(layer, cell=convert(layer.cell))


@stock_converter("StackedRNNCells")
def _stacked(layer: Any) -> Any:
    cells = [convert(cell) for cell in layer.cells]
    return configs.rebuild(layer, cells=cells)


@stock_converter("Bidirectional")
def _bidirectional(layer: Any) -> Any:
    forward = convert(layer.forward_layer)
    config = layer.get_config()
    backward = None
    if config.get("backward_layer"):
        backward = convert(layer.backward_layer)
    return configs.rebuild(layer, layer=forward, backward_layer=backward)


@stock_converter("TimeDistributed")
def _time_distributed(layer: Any) -> Any:
    return configs.rebuild(layer, layer=convert(layer.layer))


@stock_converter("SpectralNormalization")
def _spectral(layer: Any) -> Any:
    """Returns the twin of the wrapped layer.

    Its kernel is divided only while training. The wrapper of tf_keras cannot be
    built beside Keras 3, nor be pruned.
    """
    twin = convert(layer.layer)
    twin._name = registry.twin_name(layer.name)
    return twin


@stock_converter("BatchNormalization")
def _batch_normalization(layer: Any) -> Any:
    if getattr(layer, "renorm", False):
        raise UnsupportedLayerError(
            "has renorm=True, which tf_keras lacks; train without it"
        )
    config = layer.get_config()
    dropped = {key: None for key in config if key.startswith("renorm")}
    return configs.rebuild(layer, **dropped)


@stock_converter("RMSNormalization")
def _rms_normalization(layer: Any) -> Any:
    configs.refuse_adapters(layer)
    return twin_layers.RMSNormalization(
        layer.axis, layer.epsilon, **_common(layer)
    )


@stock_converter("LayerScale")
def _layer_scale(layer: Any) -> Any:
    return twin_layers.LayerScale(**_common(layer))


@stock_converter("StochasticDepth")
def _stochastic_depth(layer: Any) -> Any:
    """Returns dropout of whole examples."""
    return tf_keras.layers.Dropout(
        layer.drop_path_rate, noise_shape=(None, 1, 1, 1), **_common(layer)
    )


@stock_converter("CustomScaleLayer")
def _custom_scale(layer: Any) -> Any:
    """Returns InceptionResNetV2's residual sum, made of stock layers."""
    common = _common(layer)
    name = common["name"]
    scale = tf_keras.layers.Rescaling(
        layer.scale, **{**common, "name": f"{name}_scale"}
    )
    add = tf_keras.layers.Add(**common)
    return lambda inputs: add([inputs[0], scale(inputs[1])])


@stock_converter(
    *(
        f"Adaptive{kind}Pooling{rank}D"
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    )
)
def _stateless(layer: Any) -> Any:
    return twin_layers.StatelessLayer(
        type(layer).__name__, layer.get_config(), **_common(layer)
    )


@stock_converter("GroupedQueryAttention")
def _grouped_query(layer: Any) -> Any:
    raise UnsupportedLayerError(
        "has no equal in tf_keras; use MultiHeadAttention"
    )


@stock_converter("RandomCrop")
def _random_crop(layer: Any) -> Any:
    raise UnsupportedLayerError(
        "leaves the image whole at inference in Keras 3; crop in the data "
        "pipeline and use CenterCrop here"
    )


def _common(layer: Any) -> dict[str, Any]:
    """Returns the name and dtype for a twin layer."""
    return {
        "name": registry.twin_name(layer.name),
        "dtype": configs.dtype_of(layer),
    }
