"""Clustering: which layers TF-MOT can cluster, and its wrappers on them."""

from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_registry,
)
from tensorflow_model_optimization.python.core.clustering.keras.experimental import (  # noqa: E501
    cluster as sparsity_preserving,
)

FEWEST_CLUSTERS = 3  # TF-MOT takes no fewer.
registry = clustering_registry.ClusteringRegistry


def cluster(
    twin: tf_keras.Model, num_clusters: int, preserve_sparsity: bool
) -> tf_keras.Model:
    """Returns `twin` with clustered kernels; zeros can be kept zero.

    Layers that TF-MOT cannot cluster, or that have few weights left, stay as
    they are.

    Raises:
        ValueError: If there is no layer that it can cluster.
    """
    initial = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    done = []

    def wrap_one(layer: Any) -> Any:
        clusters = clusters_of(layer, num_clusters)
        if clusters < FEWEST_CLUSTERS:
            if preserve_sparsity and _has_pruned_kernel(layer):
                # Fine-tuning would fill the zeros.
                layer.trainable = False
            return layer
        done.append(layer.name)
        return sparsity_preserving.cluster_weights(
            layer,
            number_of_clusters=clusters,
            cluster_centroids_init=initial,
            preserve_sparsity=preserve_sparsity,
        )

    wrapped = tf_keras.models.clone_model(twin, clone_function=wrap_one)
    if not done:
        kinds = sorted({type(one).__name__ for one in twin.layers})
        raise ValueError(
            f"TF-MOT can cluster none of {', '.join(kinds)}: they have no "
            "kernel, or too few weights left."
        )
    return wrapped


def clusters_of(layer: Any, num_clusters: int) -> int:
    """Returns the clusters of a layer: fewer where few weights are left.

    0 if TF-MOT clusters nothing of it.
    """
    kernels = clusterable_weights(layer)
    left = [int(np.count_nonzero(kernel.numpy())) for kernel in kernels]
    return min([num_clusters, *(count // 2 for count in left)]) if left else 0


def clusterable_weights(layer: Any) -> list[Any]:
    """Returns the weights of a layer that TF-MOT clusters."""
    if not layer.trainable_weights or not registry.supports(layer):
        return []
    registry.make_clusterable(layer)
    return [weight for _, weight in layer.get_clusterable_weights()]


def _has_pruned_kernel(layer: Any) -> bool:
    """Tells whether weights of two or more axes have zeros to keep."""
    kernels = [one for one in layer.weights if one.shape.rank >= 2]
    return any(np.any(kernel.numpy() == 0) for kernel in kernels)


def has_kernel(layer: Any) -> bool:
    """Tells whether a layer has weights of two or more axes."""
    return any(weight.shape.rank >= 2 for weight in layer.weights)
