"""Quantization-aware training: TF-MOT's wrappers, for more kinds of layers."""

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
from tf_keras.src.saving.serialization_lib import SafeModeScope

from common.variants import Techniques

from . import conv1d
from .clustering import has_kernel

# Layers that are replaced by layers that TF-MOT quantizes.
REPLACED = (
    tf_keras.layers.SeparableConv2D,
    *conv1d.LAYERS,
)
FOLDING = (
    tf_keras.layers.Conv2D,
    tf_keras.layers.DepthwiseConv2D,
    tf_keras.layers.Dense,
    *REPLACED,
)
default_8bit = tfmot.quantization.keras.default_8bit


class OutputQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    """Quantizes only the output of a layer that has no weights.

    For layers that TFLite computes in int8 but TF-MOT does not list, such as
    Multiply or Rescaling.
    """

    def get_weights_and_quantizers(self, layer: Any) -> list:
        """Returns an empty list."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list:
        """Returns an empty list."""
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
        """Returns an empty configuration: the class has no settings."""
        return {}


def quantize(twin: tf_keras.Model, before: Techniques) -> tf_keras.Model:
    """Returns `twin` with fake quantization in every layer.

    Layers that TF-MOT cannot quantize and that have no kernel stay in float:
    they have few weights and take little time.

    Args:
        twin: A functional model.
        before: The techniques whose results must be kept.

    Raises:
        RuntimeError, ValueError: If TF-MOT cannot quantize a layer; see
            `refuse` for those that are known.
    """
    registry = default_8bit.Default8BitQuantizeRegistry()

    def annotate(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, tf_keras.layers.InputLayer):
            return layer
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            if not _is_folded(layer, twin):
                return layer
        elif not (registry.supports(layer) or has_kernel(layer)) and (
            layer.weights or not layer.compute_dtype.startswith("float")
        ):
            return layer
        if registry.supports(layer) or layer.weights:
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return tfmot.quantization.keras.quantize_annotate_layer(
            layer, OutputQuantizeConfig()
        )

    reserve_names(twin)
    annotated = tf_keras.models.clone_model(twin, clone_function=annotate)
    annotated.set_weights(twin.get_weights())
    scope = {"OutputQuantizeConfig": OutputQuantizeConfig}
    # The Lambda layers are those of `conv1d`; a twin has none.
    with (
        tfmot.quantization.keras.quantize_scope(scope),
        SafeModeScope(safe_mode=False),
    ):
        return tfmot.quantization.keras.quantize_apply(
            annotated, _scheme(before)
        )


def refuse(twin: tf_keras.Model, before: Techniques) -> None:
    """Raises an error for inputs and layers that TF-MOT does not quantize.

    Args:
        twin: A functional model.
        before: The techniques whose results must be kept.

    Raises:
        RuntimeError: If an input is not floating point, or there are layers
            with a kernel that TF-MOT does not know; the error names them all.
    """
    for tensor in twin.inputs:
        if not tensor.dtype.is_floating:
            raise RuntimeError(
                "TF-MOT's quantization-aware training takes only models with "
                f"floating-point inputs; input {tensor.name} is "
                f"{tensor.dtype.name}."
            )
    registry = default_8bit.Default8BitQuantizeRegistry()
    keeper = _scheme(before).get_quantize_registry()
    kernels = [
        layer
        for layer in twin.layers
        if has_kernel(layer) and not isinstance(layer, REPLACED)
    ]
    for table, why in (
        (registry, "it has no quantizer for such layers"),
        (keeper, f"it cannot keep what {'+'.join(before)} made of them"),
    ):
        names = [
            f"{layer.name} ({type(layer).__name__})"
            for layer in kernels
            if not table.supports(layer)
        ]
        if names:
            raise RuntimeError(
                f"TF-MOT cannot quantize {', '.join(names)} in training: {why}."
            )


def _is_folded(
    layer: tf_keras.layers.BatchNormalization, twin: tf_keras.Model
) -> bool:
    """Returns whether TF-MOT folds batch normalization into the layer before.

    TF-MOT cannot quantize batch normalization that it does not fold. What
    prevents folding is an activation between the two layers, another layer or
    an output of the model that takes what is between them, and several calls.
    """
    before = layer.inbound_nodes[0].inbound_layers
    if not isinstance(before, FOLDING):
        return False
    takers = len(before.outbound_nodes) + sum(
        tensor._keras_history.layer is before for tensor in twin.outputs
    )
    if max(takers, len(before.inbound_nodes), len(layer.inbound_nodes)) > 1:
        return False
    return before.activation in (None, tf_keras.activations.linear)


def reserve_names(twin: tf_keras.Model) -> None:
    """Keeps tf_keras from naming a new convolution like a layer of `twin`.

    TF-MOT splits a separable convolution into two layers, which tf_keras names
    with the next free number. The twin's names come from Keras 3, and tf_keras
    has not counted them. If two layers have the same name, TF-MOT mixes them up
    or never returns.
    """
    taken = {_number(layer.name) for layer in twin.layers}
    # TF-MOT makes at most one layer of each kind for a layer of the twin. The
    # numbers in the twin's names may be huge, so only the next ones count.
    margin = 2 * len(twin.layers)
    for make_layer in (
        lambda: tf_keras.layers.Conv2D(1, 1),
        lambda: tf_keras.layers.DepthwiseConv2D(1),
    ):
        last = _number(make_layer().name)
        while any(last < number <= last + margin for number in taken):
            last = _number(make_layer().name)


def _number(name: str) -> int:
    """Returns the number in a convolution's automatic name, else -1."""
    match = re.fullmatch(r"(?:depthwise_)?conv2d(?:_(\d+))?", name)
    return int(match[1] or 0) if match else -1


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

    So that nothing is rounded between a convolution or dense layer and the ReLU
    layer behind it, TF-MOT quantizes no part of the former: its kernel is
    trained without rounding, and loses the zeros and clusters that earlier
    steps gave it. Only the layer's outputs have to stay unrounded.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def apply(
        self, model: tf_keras.Model, layer_quantize_map: dict[str, dict]
    ) -> tuple[tf_keras.Model, dict[str, dict]]:
        """Returns the changed model, and each layer's configuration by name.

        Args:
            model: The annotated model.
            layer_quantize_map: Each layer's configuration, by name.
        """
        widened = conv1d.widen(model, layer_quantize_map)
        model, entries = super().apply(*widened)
        for layer in model.layers:
            entry = entries.get(layer.name, {})
            if isinstance(
                entry.get("quantize_config"), NoOpQuantizeConfig
            ) and has_kernel(layer):
                config = self._registry.get_quantize_config(layer)
                config.activation_attrs = []
                entry["quantize_config"] = config
        return model, entries
