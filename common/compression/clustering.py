"""Clustering: which layers TF-MOT can cluster, and its wrappers on them."""

import functools
import itertools

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_registry,
)
from tensorflow_model_optimization.python.core.clustering.keras.experimental import (  # noqa: E501
    cluster as sparsity_preserving,
)

MIN_CLUSTERS = 3  # The fewest that TF-MOT accepts.
registry = clustering_registry.ClusteringRegistry


def cluster(
    twin: tf_keras.Model, num_clusters: int, preserve_sparsity: bool
) -> tf_keras.Model:
    """Returns `twin` in TF-MOT's wrappers that cluster its kernels.

    Layers that TF-MOT cannot cluster, or that have too few weights that are not
    zero, are not wrapped.

    Args:
        twin: The model to cluster.
        num_clusters: The distinct values per kernel; see `clusters_of`.
        preserve_sparsity: Whether weights that are zero stay zero.

    Raises:
        ValueError: If there is no layer that TF-MOT can cluster.
    """
    initial = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    clustered = []

    def wrap_layer(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        clusters = clusters_of(layer, num_clusters)
        if clusters < MIN_CLUSTERS:
            if preserve_sparsity and _has_pruned_kernel(layer):
                # Fine-tuning would change its zeros.
                layer.trainable = False
            return layer
        clustered.append(layer.name)
        return sparsity_preserving.cluster_weights(
            layer,
            number_of_clusters=clusters,
            cluster_centroids_init=initial,
            preserve_sparsity=preserve_sparsity,
        )

    wrapped = tf_keras.models.clone_model(twin, clone_function=wrap_layer)
    if not clustered:
        kinds = sorted({type(layer).__name__ for layer in twin.layers})
        raise ValueError(
            f"TF-MOT can cluster none of {', '.join(kinds)}: they have no "
            "kernel, or too few weights that are not zero."
        )
    for layer in wrapped.layers:
        for algorithm in getattr(layer, "clustering_algorithms", {}).values():
            # TF-MOT's own makes a tensor of weights times clusters.
            algorithm.get_pulling_indices = functools.partial(
                nearest, centroids=algorithm.cluster_centroids
            )
    return wrapped


def nearest(weights: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """Returns the index of the centroid that is nearest to each weight.

    Args:
        weights: Float32 weights.
        centroids: Float32 centroids of one axis, in any order.

    Returns:
        Int64 indices, of the shape of `weights`.
    """
    order = tf.argsort(centroids)
    ascending = tf.unstack(tf.gather(centroids, order))
    middles = [(a + b) / 2 for a, b in itertools.pairwise(ascending)]
    rank = tf.add_n([tf.cast(weights > x, tf.int32) for x in middles])
    return tf.gather(tf.cast(order, tf.int64), rank)


def clusters_of(
    layer: tf_keras.layers.Layer, num_clusters: int, sparsity: float = 0.0
) -> int:
    """Returns the number of clusters for a layer.

    It is `num_clusters`, but at most half the number of a kernel's weights that
    are not zero, and 0 if TF-MOT clusters no weights of the layer.

    Args:
        layer: A layer of a twin.
        num_clusters: The number of clusters that is aimed at.
        sparsity: The part of each kernel that will be zero, from 0 to 1.
    """
    kernels = clusterable_weights(layer)
    if not kernels:
        return 0
    counts = [
        min(
            int(np.count_nonzero(kernel.numpy())),
            int(kernel.shape.num_elements() * (1 - sparsity) + 1e-6),
        )
        for kernel in kernels
    ]
    return min([num_clusters, *(count // 2 for count in counts)])


def clusterable_weights(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """Returns the weights of a layer that TF-MOT clusters."""
    if not layer.trainable_weights or not registry.supports(layer):
        return []
    registry.make_clusterable(layer)
    return [weight for _, weight in layer.get_clusterable_weights()]


def _has_pruned_kernel(layer: tf_keras.layers.Layer) -> bool:
    """Returns whether a layer's weights of two or more axes have zeros."""
    kernels = [weight for weight in layer.weights if weight.shape.rank >= 2]
    return any(np.any(kernel.numpy() == 0) for kernel in kernels)


def has_kernel(layer: tf_keras.layers.Layer) -> bool:
    """Returns whether a layer has weights of two or more axes."""
    return any(weight.shape.rank >= 2 for weight in layer.weights)
