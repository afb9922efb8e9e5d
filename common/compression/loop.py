"""The training loop of a wrapped twin.

Keras 2's `fit` traces the training step four times, since the optimizer's
variables are made inside the step, and since the loop over several steps has no
value before the first step. TF-MOT adds a branch per pruned kernel to each
trace, which most steps do not take. Here the step is traced once, and masks
change between the runs of several steps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import (  # noqa: E501
    collect_prunable_layers,
)

from common.data import pipelines

# The most steps in a run without a return to Python, which handles signals.
MAX_STEPS = 16


def train(
    wrapped: tf_keras.Model,
    batches: tf.data.Dataset,
    position: pipelines.Position,
    epochs: int,
    num_steps: int,
) -> float:
    """Trains a compiled twin, with or without TF-MOT's wrappers.

    The weights become those that `wrapped.fit` would lead to with TF-MOT's
    `UpdatePruningStep`.

    Args:
        wrapped: The twin.
        batches: The batches of the epoch in `position`.
        position: The position that `batches` reads.
        epochs: The number of passes over the batches.
        num_steps: The number of batches in an epoch.

    Returns:
        The last epoch's mean loss over its examples.
    """
    wrapped.optimizer.build(wrapped.trainable_variables)
    start = tfmot.sparsity.keras.UpdatePruningStep()
    start.set_model(wrapped)
    start.on_train_begin()
    masks = _Masks(wrapped, epochs * num_steps)
    run = _runner(wrapped)
    for epoch in range(epochs):
        position.set(epoch)
        wrapped.reset_metrics()
        iterator = iter(batches)
        for first, count in runs(masks.due, epoch * num_steps, num_steps):
            masks.renew(first)
            run(iterator, tf.constant(count))
        start.on_epoch_end(epoch)
    return float(wrapped.get_metrics_result()["loss"])


def _runner(
    wrapped: tf_keras.Model,
) -> Callable[[Iterator[Any], tf.Tensor], None]:
    """Returns the function that trains on an iterator for a number of steps."""

    @tf.function(reduce_retracing=True)
    def run(iterator: Iterator[Any], count: tf.Tensor) -> None:
        # The logs that a step returns are dropped: its metrics sum up by
        # themselves, and a loop without values of its own is traced once.
        for _ in tf.range(count):
            wrapped.train_step(next(iterator))

    return run


class _Masks:
    """The masks of pruned kernels, renewed before the steps that are due.

    TF-MOT renews them inside the step, in a branch for each kernel, and sorts
    all weights for one threshold. Between two runs the same masks are made by
    selecting the threshold, for a large kernel 60 times as fast. In some, one
    weight more or less is kept: the sparsity is rounded otherwise in a graph.

    Attributes:
        due: The steps before which masks change, counted from 0.
    """

    def __init__(self, wrapped: tf_keras.Model, num_steps: int) -> None:
        self._layers = [
            layer
            for layer in collect_prunable_layers(wrapped)
            if layer.pruning_vars
        ]
        self.due: set[int] = set()
        # TF-MOT counts the first step as 1.
        steps = tf.range(1, num_steps + 1, dtype=tf.int64)
        for layer in self._layers:
            is_due, _ = layer.pruning_schedule(steps)
            self.due.update(np.flatnonzero(is_due.numpy()).tolist())
            layer.pruning_obj.conditional_mask_update = tf.no_op

    def renew(self, step: int) -> None:
        """Renews the masks if they are due before `step`."""
        if step not in self.due:
            return
        for layer in self._layers:
            is_due, sparsity = layer.pruning_schedule(
                tf.constant(step + 1, tf.int64)
            )
            for weight, mask, threshold in layer.pruning_vars if is_due else ():
                sizes = np.abs(weight.numpy())
                least = _least_kept(sizes, sparsity.numpy())
                threshold.assign(least)
                mask.assign((sizes >= least).astype(sizes.dtype))


def _least_kept(sizes: np.ndarray, sparsity: np.float32) -> np.number:
    """Returns the smallest size of a weight that TF-MOT keeps.

    Args:
        sizes: The absolute values of a kernel's weights.
        sparsity: The part of them that becomes zero; its type decides how their
            number is rounded.
    """
    kept = np.round(np.float32(sizes.size) * (1 - sparsity))
    position = sizes.size - max(1, int(kept))
    return np.partition(sizes, position, axis=None)[position]


def runs(due: set[int], start: int, count: int) -> Iterator[tuple[int, int]]:
    """Yields the first step and the number of steps of each run.

    Args:
        due: Steps that a run must begin with.
        start: The epoch's first step.
        count: The epoch's steps.
    """
    first = start
    for step in range(start + 1, start + count + 1):
        if step in due or step - first == MAX_STEPS or step == start + count:
            yield first, step - first
            first = step
