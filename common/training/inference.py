"""Inference: what a model gives for the batches of a split."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import Split

from . import fitting


def batches(
    split: Split,
    transform: pipelines.Transform = lambda features, labels: (
        features,
        labels,
    ),
) -> Iterator[tuple[Any, Any]]:
    """Returns the batches of a split in its order, as NumPy arrays.

    Args:
        split: The examples.
        transform: From a batch's features and labels to inputs and targets.
    """
    return pipelines.for_evaluation(
        split, fitting.EVALUATION_BATCH, transform=transform
    ).as_numpy_iterator()


def outputs(
    model: Callable[[Any], Any], batches: Iterable[tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Returns what a model gives for batches, and their targets.

    One batch of inputs is held at a time; outputs and targets are kept.

    Args:
        model: A Keras model, or a function of a batch's inputs.
        batches: At least one; inputs and targets, each an array or a structure
            of arrays whose first axis is the batch.

    Returns:
        Outputs and targets, in the order of the batches: the structures that
        the model and the batches have, as NumPy arrays `(num, ...)`.
    """
    if isinstance(model, keras.Model):
        model = functools.partial(model, training=False)
    run = tf.function(lambda inputs: model(inputs), reduce_retracing=True)
    pairs = []
    for inputs, targets in batches:
        answer = tf.nest.map_structure(lambda one: one.numpy(), run(inputs))
        pairs.append((answer, targets))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pairs)
