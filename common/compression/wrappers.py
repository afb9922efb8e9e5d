"""TF-MOT's wrappers, put on a twin and taken off again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from common.options import InputError
from common.shared_options import Options
from common.variants import Techniques

from .clustering import cluster, has_kernel
from .quantization import quantize


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
    for layer in twin.layers:
        if layer.name in options.prune_layers and not has_kernel(layer):
            raise InputError(
                f"--prune_layers must name layers with a kernel; {layer.name} "
                f"({type(layer).__name__}) has none. Leave it out."
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
        # A wrapper around nothing would only cost its part of the graph.
        if not getattr(layer, "get_prunable_weights", lambda: True)():
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


def strip(wrapped: tf_keras.Model, technique: str) -> tf_keras.Model:
    """Removes TF-MOT's wrappers; those of QAT stay, they are the result."""
    strips: dict[str, Callable] = {
        "prune": tfmot.sparsity.keras.strip_pruning,
        "cluster": tfmot.clustering.keras.strip_clustering,
        "qat": lambda twin: twin,
    }
    return strips[technique](wrapped)
