"""TF-MOT's wrappers, put on a twin and taken off again."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from common.compression.clustering import cluster, has_kernel
from common.compression.variants import Techniques
from common.config import InputError, Options

FOLDING = (
    tf_keras.layers.Conv2D,
    tf_keras.layers.DepthwiseConv2D,
    tf_keras.layers.SeparableConv2D,
    tf_keras.layers.Dense,
)
default_8bit = tfmot.quantization.keras.default_8bit


def wrap(
    twin: tf_keras.Model,
    techniques: Techniques,
    steps: int,
    options: Options,
) -> tf_keras.Model:
    """Returns `twin` in the wrappers for the last of `techniques`.

    Args:
        twin: The result of the techniques before the last one.
        techniques: All of them, in order.
        steps: The training steps that will follow.
        options: Gives sparsity, layers and the number of clusters.

    Raises:
        RuntimeError, ValueError: If TF-MOT cannot take a layer; it says which.
    """
    last, before = techniques[-1], techniques[:-1]
    if last == "prune":
        return prune(twin, steps, options)
    if last == "cluster":
        return cluster(twin, options.num_clusters, "prune" in before)
    return quantize(twin, before)


def prune(twin: tf_keras.Model, steps: int, options: Options) -> tf_keras.Model:
    """Wraps the layers to prune; sparsity is reached after 60 % of steps."""
    names = {layer.name for layer in twin.layers}
    unknown = [name for name in options.prune_layers if name not in names]
    if unknown:
        raise InputError(
            f"--prune_layers must name layers of the model; {unknown[0]} is "
            f"none of {', '.join(sorted(names))}."
        )
    end = max(1, int(0.6 * steps))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=options.sparsity / 2,
        final_sparsity=options.sparsity,
        begin_step=0,
        end_step=end,
        frequency=max(1, end // 50),
    )

    def wrap_one(layer: Any) -> Any:
        if options.prune_layers and layer.name not in options.prune_layers:
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(
            layer, pruning_schedule=schedule
        )

    return tf_keras.models.clone_model(twin, clone_function=wrap_one)


def thin(twin: tf_keras.Model, sparsity: float) -> None:
    """Sets the smallest weights to zero, as pruning will: for planning."""
    for layer in twin.layers:
        for weight in layer.trainable_weights if has_kernel(layer) else ():
            values = np.abs(weight.numpy())
            if values.ndim > 1:
                least = np.quantile(values, sparsity)
                weight.assign(np.where(values > least, weight.numpy(), 0))


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
            # Only folded into the layer before it can it be quantized.
            if not isinstance(layer.inbound_nodes[0].inbound_layers, FOLDING):
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


def reserve_names(twin: tf_keras.Model) -> None:
    """Keeps tf_keras from giving a new convolution the name of one in `twin`.

    TF-MOT breaks a separable convolution in two that it lets tf_keras name.
    A twin has the names of Keras 3, which tf_keras has not counted; with two
    layers of one name, TF-MOT mixes them up or never comes to an end.
    """
    last = max(_number(layer.name) for layer in twin.layers)
    for kind in (
        lambda: tf_keras.layers.Conv2D(1, 1),
        lambda: tf_keras.layers.DepthwiseConv2D(1),
    ):
        while _number(kind().name) < last:
            pass


def _number(name: str) -> int:
    """Returns the number in a convolution's automatic name, -1 in others."""
    found = re.fullmatch(r"(?:depthwise_)?conv2d(?:_(\d+))?", name)
    return int(found[1] or 0) if found else -1


def _scheme(before: Techniques) -> Any:
    """Returns the quantization scheme that keeps zeros and clusters."""
    collaborative = tfmot.experimental.combine
    if "cluster" in before:
        return collaborative.Default8BitClusterPreserveQuantizeScheme(
            preserve_sparsity="prune" in before
        )
    if "prune" in before:
        return collaborative.Default8BitPrunePreserveQuantizeScheme()
    return default_8bit.Default8BitQuantizeScheme()


def strip(wrapped: tf_keras.Model, technique: str) -> "tf_keras.Model":
    """Removes TF-MOT's wrappers; those of QAT stay, they are the result."""
    strips: dict[str, Callable] = {
        "prune": tfmot.sparsity.keras.strip_pruning,
        "cluster": tfmot.clustering.keras.strip_clustering,
        "qat": lambda twin: twin,
    }
    return strips[technique](wrapped)
