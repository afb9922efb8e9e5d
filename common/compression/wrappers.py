"""TF-MOT's wrappers, put on a twin and taken off again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_registry as registry,
)
from tensorflow_model_optimization.python.core.clustering.keras.experimental import (  # noqa: E501
    cluster as sparsity_preserving,
)

from common.compression.variants import Techniques
from common.config import InputError, Options

FEWEST_CLUSTERS = 3  # TF-MOT takes no fewer.
default_8bit = tfmot.quantization.keras.default_8bit


def wrap(
    twin: tf_keras.Model, techniques: Techniques, steps: int, options: Options
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


def cluster(
    twin: tf_keras.Model, num_clusters: int, preserve_sparsity: bool
) -> tf_keras.Model:
    """Returns `twin` with clustered kernels; zeros can be kept zero."""
    initial = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap_one(layer: Any) -> Any:
        clusters = _clusters_of(layer, num_clusters)
        if clusters < FEWEST_CLUSTERS or not (
            registry.ClusteringRegistry.supports(layer)
        ):
            # Fine-tuning would fill the zeros that pruning made.
            layer.trainable = layer.trainable and not preserve_sparsity
            return layer
        return sparsity_preserving.cluster_weights(
            layer,
            number_of_clusters=clusters,
            cluster_centroids_init=initial,
            preserve_sparsity=preserve_sparsity,
        )

    return tf_keras.models.clone_model(twin, clone_function=wrap_one)


def _clusters_of(layer: Any, num_clusters: int) -> int:
    """Returns the clusters of a layer: fewer where few weights are left."""
    left = [int(np.count_nonzero(kernel)) for kernel in _kernels(layer)]
    return min([num_clusters, *(count // 2 for count in left)])


def quantize(twin: tf_keras.Model, before: Techniques) -> tf_keras.Model:
    """Returns `twin` with fake quantization in every layer.

    Args:
        twin: A functional model.
        before: The techniques whose results must be kept.

    Raises:
        RuntimeError: If TF-MOT cannot quantize a layer; it says which.
    """
    known = default_8bit.Default8BitQuantizeRegistry()

    def annotate(layer: Any) -> Any:
        # BatchNormalization has weights, and is folded into the convolution
        # before it; other layers with weights are TF-MOT's to judge.
        if isinstance(layer, tf_keras.layers.InputLayer):
            return layer
        if known.supports(layer) or layer.weights:
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return tfmot.quantization.keras.quantize_annotate_layer(
            layer, OutputQuantizeConfig()
        )

    annotated = tf_keras.models.clone_model(twin, clone_function=annotate)
    annotated.set_weights(twin.get_weights())
    scope = {"OutputQuantizeConfig": OutputQuantizeConfig}
    with tfmot.quantization.keras.quantize_scope(scope):
        return tfmot.quantization.keras.quantize_apply(
            annotated, _scheme(before)
        )


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


def verify(
    twin: tf_keras.Model,
    base: tf_keras.Model,
    techniques: Techniques,
    options: Options,
) -> None:
    """Checks a stripped twin against what was asked for.

    Args:
        twin: After the last of `techniques`.
        base: Before it.
        techniques: All of them, in order.
        options: Gives the sparsity and the number of clusters.

    Raises:
        RuntimeError: If a kernel that TF-MOT handles is not as it must be.
    """
    last = techniques[-1]
    before = {layer.name: _num_zeros(layer) for layer in base.layers}
    for layer in twin.layers:
        if last == "prune" and _is_pruned(layer, options):
            size = sum(kernel.size for kernel in _kernels(layer))
            # Rounding leaves at most one weight per kernel too many.
            least = (options.sparsity - 1e-3) * size - len(_kernels(layer))
            if _num_zeros(layer) < least:
                raise RuntimeError(
                    f"{layer.name}: only {_num_zeros(layer)} of {size} weights "
                    "are zero after pruning."
                )
        if last == "cluster" and _is_clustered(layer):
            values = max(len(np.unique(one)) for one in _kernels(layer))
            if values > options.num_clusters + 1:
                raise RuntimeError(
                    f"{layer.name}: {values} values are left after clustering."
                )
            if "prune" in techniques and _num_zeros(layer) < before[layer.name]:
                raise RuntimeError(f"{layer.name}: clustering filled zeros.")


def _is_pruned(layer: Any, options: Options) -> bool:
    """Tells whether TF-MOT prunes all kernels of a layer."""
    if options.prune_layers and layer.name not in options.prune_layers:
        return False
    handled = getattr(layer, "get_prunable_weights", None)
    if handled is None or not _kernels(layer):
        return False
    return len(handled()) == len(_kernels(layer))


def _is_clustered(layer: Any) -> bool:
    """Tells whether TF-MOT clusters all kernels of a layer."""
    # It leaves depthwise kernels alone: too few weights share one.
    plain = type(layer) in (
        tf_keras.layers.Conv1D,
        tf_keras.layers.Conv2D,
        tf_keras.layers.Conv2DTranspose,
        tf_keras.layers.Dense,
        tf_keras.layers.Embedding,
    )
    return plain and layer.trainable


def _num_zeros(layer: Any) -> int:
    """Returns how many weights of a layer's kernels are zero."""
    return sum(int(np.sum(kernel == 0)) for kernel in _kernels(layer))


def _kernels(layer: Any) -> list[np.ndarray]:
    """Returns a layer's weights of two or more axes."""
    return [weight.numpy() for weight in layer.weights if weight.shape.rank > 1]
