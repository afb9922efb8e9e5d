"""Checks of what TF-MOT's wrappers leave behind."""

from typing import Any

import numpy as np
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import (
    prune_registry,
)

from common.keras2 import pruning
from common.shared_options import Options
from common.variants import Techniques

from . import clustering


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
    before = {layer.name: layer for layer in base.layers}
    for layer in twin.layers:
        if hasattr(layer, "layers"):
            continue
        if techniques[-1] == "prune" and (
            not options.prune_layers or layer.name in options.prune_layers
        ):
            _verify_sparsity(layer, options.sparsity)
        if techniques[-1] == "cluster":
            clusters = clustering.clusters_of(
                before[layer.name], options.num_clusters
            )
            if clusters >= clustering.FEWEST_CLUSTERS:
                _verify_clusters(layer, clusters)
            if "prune" in techniques and (
                _num_zeros(layer) < _num_zeros(before[layer.name])
            ):
                raise RuntimeError(f"{layer.name}: clustering filled zeros.")
    if techniques[-1] == "qat" and "prune" in techniques:
        # Layers have other names by now, and some are two.
        kept = sum(
            int(np.sum(weight.numpy() == 0))
            for weight in twin.trainable_weights
            if weight.shape.rank >= 2
        )
        if kept < sum(_num_zeros(layer) for layer in base.layers):
            raise RuntimeError("Training with quantization filled zeros.")


def _verify_sparsity(layer: Any, sparsity: float) -> None:
    """Checks the weights that TF-MOT prunes."""
    for kernel in _prunable_weights(layer):
        zeros, size = int(np.sum(kernel.numpy() == 0)), np.size(kernel)
        # Rounding leaves at most one weight too many.
        if zeros + 1 < (sparsity - 1e-3) * size:
            raise RuntimeError(
                f"{layer.name}: only {zeros} of {size} weights are zero after "
                "pruning."
            )


def _verify_clusters(layer: Any, num_clusters: int) -> None:
    """Checks the weights that TF-MOT clusters."""
    for kernel in clustering.clusterable_weights(layer):
        values = len(np.unique(kernel.numpy()))
        if values > num_clusters + 1:
            raise RuntimeError(
                f"{layer.name}: {values} values are left after clustering."
            )


def _num_zeros(layer: Any) -> int:
    """Returns how many weights that TF-MOT prunes are zero."""
    weights = _prunable_weights(layer)
    return sum(int(np.sum(one.numpy() == 0)) for one in weights)


def _prunable_weights(layer: Any) -> list[Any]:
    """Returns the weights of a layer that TF-MOT prunes."""
    registry = prune_registry.PruneRegistry
    pruning.prepare(layer)  # Stripping may have made the layer anew.
    if not hasattr(layer, "get_prunable_weights"):
        if not registry.supports(layer):
            return []
        registry.make_prunable(layer)
    return layer.get_prunable_weights()
