"""Checks of twins after TF-MOT's wrappers are stripped."""

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import (
    prune_registry,
)

from common.keras2 import pruning
from common.shared_options import Options
from common.variants import Techniques, is_named

from . import clustering


def verify(
    twin: tf_keras.Model,
    base: tf_keras.Model,
    techniques: Techniques,
    options: Options,
) -> None:
    """Checks that a stripped twin is as sparse and clustered as it must be.

    Args:
        twin: The twin after the last of `techniques`.
        base: The twin before the last of `techniques`.
        techniques: All techniques so far, in order.
        options: Gives the sparsity, the pruned layers and the number of
            clusters.

    Raises:
        RuntimeError: If a kernel that TF-MOT handles has too few zeros or too
            many distinct values, or if zeros of an earlier step are lost.
    """
    before = {layer.name: layer for layer in base.layers}
    for layer in twin.layers:
        if hasattr(layer, "layers"):
            continue
        if techniques[-1] == "prune" and (
            not options.prune_layers
            or is_named(layer.name, options.prune_layers)
        ):
            _verify_sparsity(layer, options.sparsity)
        if techniques[-1] == "cluster":
            clusters = clustering.clusters_of(
                before[layer.name], options.num_clusters
            )
            if clusters >= clustering.MIN_CLUSTERS:
                _verify_clusters(layer, clusters)
            if "prune" in techniques and (
                _num_zeros(layer) < _num_zeros(before[layer.name])
            ):
                raise RuntimeError(f"{layer.name}: clustering filled zeros.")
    if techniques[-1] == "qat" and "prune" in techniques:
        # QAT has renamed layers and split some in two, so only sums compare.
        kept = sum(
            int(np.sum(weight.numpy() == 0))
            for weight in twin.trainable_weights
            if weight.shape.rank >= 2
        )
        if kept < sum(_num_zeros(layer) for layer in base.layers):
            raise RuntimeError("Training with quantization filled zeros.")


def _verify_sparsity(layer: tf_keras.layers.Layer, sparsity: float) -> None:
    """Checks the weights that TF-MOT prunes."""
    for kernel in _prunable_weights(layer):
        zeros, size = int(np.sum(kernel.numpy() == 0)), np.size(kernel)
        # Rounding leaves at most one weight too many.
        if zeros + 1 < (sparsity - 1e-3) * size:
            raise RuntimeError(
                f"{layer.name}: only {zeros} of {size} weights are zero after "
                "pruning."
            )


def _verify_clusters(layer: tf_keras.layers.Layer, num_clusters: int) -> None:
    """Checks the weights that TF-MOT clusters."""
    for kernel in clustering.clusterable_weights(layer):
        values = len(np.unique(kernel.numpy()))
        if values > num_clusters + 1:
            raise RuntimeError(
                f"{layer.name}: {values} values are left after clustering."
            )


def _num_zeros(layer: tf_keras.layers.Layer) -> int:
    """Returns the number of zeros in the weights that TF-MOT prunes."""
    weights = _prunable_weights(layer)
    return sum(int(np.sum(weight.numpy() == 0)) for weight in weights)


def _prunable_weights(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """Returns the weights of a layer that TF-MOT prunes."""
    registry = prune_registry.PruneRegistry
    pruning.prepare(layer)  # Stripping may have replaced the layer.
    if not hasattr(layer, "get_prunable_weights"):
        if not registry.supports(layer):
            return []
        registry.make_prunable(layer)
    return layer.get_prunable_weights()
