"""Quantization-aware training: TF-MOT's wrappers, with its gaps filled."""

import re
from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_configs import (  # noqa: E501
    NoOpQuantizeConfig,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_layout_transform import (  # noqa: E501
    Default8BitQuantizeLayoutTransform,
)

from common.variants import Techniques

from .clustering import has_kernel

FOLDING = (
    tf_keras.layers.Conv2D,
    tf_keras.layers.DepthwiseConv2D,
    tf_keras.layers.SeparableConv2D,
    tf_keras.layers.Dense,
)
default_8bit = tfmot.quantization.keras.default_8bit


class OutputQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    """Quantizes only the output of a layer that has no weights.

    For layers that TFLite computes in int8 but TF-MOT does not list, such as
    Multiply or Rescaling.
    """

    def get_weights_and_quantizers(self, layer: Any) -> list:
        """Returns none."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list:
        """Returns none."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """Does nothing."""

    def set_quantize_activations(
        self, layer: Any, quantize_activations: Any
    ) -> None:
        """Does nothing."""

    def get_output_quantizers(self, layer: Any) -> list:
        """Returns an 8-bit quantizer that follows the range of the output."""
        return [
            tfmot.quantization.keras.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self) -> dict:
        """Returns nothing: there is nothing to choose."""
        return {}


def quantize(twin: tf_keras.Model, before: Techniques) -> tf_keras.Model:
    """Returns `twin` with fake quantization in every layer.

    Left in float are layers that TF-MOT cannot quantize and that have no
    kernel: their few weights and their time are worth little.

    Args:
        twin: A functional model.
        before: The techniques whose results must be kept.

    Raises:
        RuntimeError: If TF-MOT cannot quantize a layer with a kernel; it says
            which.
    """
    for one in twin.inputs:
        if not one.dtype.is_floating:
            raise RuntimeError(
                f"TF-MOT trains with quantization only models of real inputs; "
                f"input {one.name} is {one.dtype.name}."
            )
    known = default_8bit.Default8BitQuantizeRegistry()

    def annotate(layer: Any) -> Any:
        if isinstance(layer, tf_keras.layers.InputLayer):
            return layer
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            if not _is_folded(layer):
                return layer
        elif not (known.supports(layer) or has_kernel(layer)) and (
            layer.weights or not layer.compute_dtype.startswith("float")
        ):
            return layer
        if known.supports(layer) or layer.weights:
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return tfmot.quantization.keras.quantize_annotate_layer(
            layer, OutputQuantizeConfig()
        )

    reserve_names(twin)
    annotated = tf_keras.models.clone_model(twin, clone_function=annotate)
    annotated.set_weights(twin.get_weights())
    scope = {"OutputQuantizeConfig": OutputQuantizeConfig}
    with tfmot.quantization.keras.quantize_scope(scope):
        return tfmot.quantization.keras.quantize_apply(
            annotated, _scheme(before)
        )


def _is_folded(layer: tf_keras.layers.BatchNormalization) -> bool:
    """Tells whether TF-MOT folds batch normalization into the layer before it.

    Only so can it be quantized; an activation between the two prevents it.
    """
    before = layer.inbound_nodes[0].inbound_layers
    if not isinstance(before, FOLDING):
        return False
    return before.activation in (None, tf_keras.activations.linear)


def reserve_names(twin: tf_keras.Model) -> None:
    """Keeps tf_keras from giving a new convolution the name of one in `twin`.

    TF-MOT breaks a separable convolution in two that it lets tf_keras name.
    A twin has the names of Keras 3, which tf_keras has not counted; with two
    layers of one name, TF-MOT mixes them up or never comes to an end.
    """
    taken = {_number(layer.name) for layer in twin.layers}
    # TF-MOT makes one of each kind of a layer; a name may have any number.
    most = 2 * len(twin.layers)
    for kind in (
        lambda: tf_keras.layers.Conv2D(1, 1),
        lambda: tf_keras.layers.DepthwiseConv2D(1),
    ):
        last = _number(kind().name)
        while any(last < number <= last + most for number in taken):
            last = _number(kind().name)


def _number(name: str) -> int:
    """Returns the number in a convolution's automatic name, -1 in others."""
    found = re.fullmatch(r"(?:depthwise_)?conv2d(?:_(\d+))?", name)
    return int(found[1] or 0) if found else -1


def _scheme(before: Techniques) -> Any:
    """Returns the quantization scheme that keeps zeros and clusters."""
    combine = tfmot.experimental.combine
    scheme = default_8bit.Default8BitQuantizeScheme()
    if "cluster" in before:
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(
            preserve_sparsity="prune" in before
        )
    elif "prune" in before:
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
    scheme.get_layout_transformer = lambda: KernelQuantizingLayout(
        scheme.get_quantize_registry()
    )
    return scheme


class KernelQuantizingLayout(Default8BitQuantizeLayoutTransform):
    """TF-MOT's changes of the graph, but kernels before a ReLU are quantized.

    To round nothing between a convolution or dense layer and the ReLU layer
    behind it, TF-MOT takes quantization from all of the former: its kernel is
    trained without rounding, and loses the zeros and clusters that earlier
    steps gave it. Only what the layer gives has to stay unrounded.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def apply(
        self, model: tf_keras.Model, layer_quantize_map: dict[str, dict]
    ) -> tuple[tf_keras.Model, dict[str, dict]]:
        """Returns the changed model, and each layer's configuration."""
        model, found = super().apply(model, layer_quantize_map)
        for layer in model.layers:
            entry = found.get(layer.name, {})
            if isinstance(
                entry.get("quantize_config"), NoOpQuantizeConfig
            ) and has_kernel(layer):
                config = self._registry.get_quantize_config(layer)
                config.activation_attrs = []
                entry["quantize_config"] = config
        return model, found
