"""TF-MOT's wrappers, put on a twin and taken off again."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from common.options import InputError
from common.shared_options import Options
from common.variants import TECHNIQUES, Techniques, is_named

from .clustering import cluster, has_kernel
from .quantization import quantize
from .quantization import refuse as refuse_quantization


def wrap(
    twin: tf_keras.Model,
    techniques: Techniques,
    steps: int,
    options: Options,
) -> tf_keras.Model:
    """Returns `twin` in the wrappers for the last of `techniques`.

    Args:
        twin: The result of the techniques before the last one.
        techniques: All techniques so far, in order.
        steps: The number of training steps that will follow.
        options: Gives the sparsity, the pruned layers and the number of
            clusters.

    Raises:
        InputError: If `--prune_layers` does not fit the model.
        RuntimeError, ValueError: If TF-MOT cannot take a layer; the error names
            it.
    """
    refuse(twin, techniques, options)
    return put_on(twin, techniques, steps, options)


def refuse(
    twin: tf_keras.Model, techniques: Techniques, options: Options
) -> None:
    """Raises the errors of `wrap` that show without wrapping any layer.

    Args:
        twin: The result of the techniques before the last one.
        techniques: All techniques so far, in order.
        options: See `wrap`.
    """
    last, before = techniques[-1], techniques[:-1]
    if last == "prune":
        _refuse_names(twin, options.prune_layers)
    if last == "qat":
        refuse_quantization(twin, before)


def put_on(
    twin: tf_keras.Model, techniques: Techniques, steps: int, options: Options
) -> tf_keras.Model:
    """Does what `wrap` does, on a twin or a part of it that is not refused."""
    last, before = techniques[-1], techniques[:-1]
    if last == "lowrank":  # Its layers need no wrappers.
        return twin
    if last == "prune":
        return prune(twin, steps, options)
    if last == "cluster":
        return cluster(twin, options.num_clusters, "prune" in before)
    if last == "qat":
        return quantize(twin, before)
    raise ValueError(f"{last} must be one of {', '.join(TECHNIQUES)}")


def prune(twin: tf_keras.Model, steps: int, options: Options) -> tf_keras.Model:
    """Returns `twin` in TF-MOT's wrappers that prune its kernels.

    Args:
        twin: The model to prune.
        steps: The number of training steps that will follow; the final sparsity
            is reached after 60 % of them.
        options: Gives the sparsity and the layers to prune.
    """
    end = max(1, int(0.6 * steps))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=options.sparsity / 2,
        final_sparsity=options.sparsity,
        begin_step=0,
        end_step=end,
        frequency=max(1, end // 50),
    )

    def wrap_layer(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        names = options.prune_layers
        if names and not is_named(layer.name, names):
            return layer
        # A wrapper around a layer without prunable weights would only add to
        # the graph.
        if not getattr(layer, "get_prunable_weights", lambda: True)():
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(
            layer, pruning_schedule=schedule
        )

    return tf_keras.models.clone_model(twin, clone_function=wrap_layer)


def _refuse_names(twin: tf_keras.Model, prune_layers: Sequence[str]) -> None:
    """Raises `InputError` unless names are of layers that have a kernel."""
    layers = {layer.name: layer for layer in twin.layers}
    for name in prune_layers:
        if name not in layers:
            raise InputError(
                f"--prune_layers must name layers of the model; {name} is "
                f"none of {', '.join(sorted(layers))}."
            )
    for name, layer in layers.items():
        if name in prune_layers and not has_kernel(layer):
            raise InputError(
                f"--prune_layers must name layers with a kernel; {name} "
                f"({type(layer).__name__}) has none. Leave it out."
            )


def thin(twin: tf_keras.Model, sparsity: float) -> None:
    """Sets the smallest weights of each kernel to zero, as pruning will.

    `chain.plan` uses it, which does not train.

    Args:
        twin: The model, changed in place.
        sparsity: The part of each kernel that is set to zero, from 0 to 1.
    """
    for layer in twin.layers:
        for weight in layer.trainable_weights if has_kernel(layer) else ():
            values = np.abs(weight.numpy())
            if values.ndim > 1:
                threshold = np.quantile(values, sparsity)
                weight.assign(np.where(values > threshold, weight.numpy(), 0))


def strip(wrapped: tf_keras.Model, technique: str) -> tf_keras.Model:
    """Returns a twin without TF-MOT's wrappers.

    The wrappers of quantization-aware training stay: conversion needs them.

    Args:
        wrapped: A twin that `wrap` returned, trained.
        technique: The technique that it was wrapped for, from
            `common.variants.TECHNIQUES`.
    """
    strips: dict[str, Callable] = {
        "prune": tfmot.sparsity.keras.strip_pruning,
        "cluster": tfmot.clustering.keras.strip_clustering,
        "qat": lambda twin: twin,
        "lowrank": lambda twin: twin,
    }
    return strips[technique](wrapped)
