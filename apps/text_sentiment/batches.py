"""Batches of token ids: as long as their longest text, words dropped."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import MemorySplit

from . import weighting
from .vocabulary import PADDING, UNKNOWN

BUCKETS = 8  # Lengths that batches are cut to: eighths of the longest.
BATCH = 250  # Texts of a batch where nothing is trained.


def for_training(
    num_classes: int,
    word_dropout: float,
    class_weights: np.ndarray | None = None,
) -> pipelines.TrainingTransform:
    """Returns the transform of training batches; targets are probabilities.

    Labels are classes, or already probabilities if a teacher gave them.

    Args:
        num_classes: The number of classes.
        word_dropout: The part of words that become unknown, drawn anew each
            epoch, so that no text is known by a single word.
        class_weights: See `weighting.weighted`.
    """
    weigh = weighting.weighted(class_weights)

    def transform(ids: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        ids = _cut(ids)
        if word_dropout:
            chance = tf.random.stateless_uniform(tf.shape(ids), seed)
            hidden = (chance < word_dropout) & (ids != PADDING)
            ids = tf.where(hidden, UNKNOWN, ids)
        labels = tf.convert_to_tensor(labels)
        if labels.dtype.is_integer:
            labels = tf.one_hot(labels, num_classes)
        return ids, weigh(labels)

    return transform


def for_evaluation(
    num_classes: int, class_weights: np.ndarray | None = None
) -> pipelines.Transform:
    """Returns the transform of validation batches: targets are one-hot.

    Args:
        num_classes: The number of classes.
        class_weights: See `weighting.weighted`.
    """
    weigh = weighting.weighted(class_weights)
    return lambda ids, labels: (ids, weigh(tf.one_hot(labels, num_classes)))


def _cut(ids: Any) -> Any:
    """Cuts a batch to the first of `BUCKETS` lengths that holds all of it."""
    step = -(-ids.shape[1] // BUCKETS)
    used = tf.reduce_any(ids != PADDING, axis=0)
    longest = tf.math.count_nonzero(used, dtype=tf.int32)
    return ids[:, : -(-longest // step) * step]


def by_length(
    split: MemorySplit,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions in a split and the ids there, short texts first.

    Each batch is cut to the length of its longest text.
    """
    lengths = np.count_nonzero(split.features != PADDING, axis=1)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield chosen, split.features[chosen, : lengths[chosen].max()]


def padded(
    split: MemorySplit,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields padded ids, as the TFLite files take them, and labels."""
    for start in range(0, split.num_examples, BATCH):
        part = slice(start, start + BATCH)
        yield split.features[part], split.labels[part]
