"""Inference: what a model gives for the batches of a split."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import Split
from common.options import InputError

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


def check_finite(model: keras.Model, option: str) -> None:
    """Refuses weights that a user handed in and that are no numbers.

    Args:
        model: The model that has loaded them.
        option: What they were given by, such as `--weights=mine.weights.h5`.

    Raises:
        InputError: If one of them is infinite or not a number.
    """
    for one in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(one)).all():
            raise InputError(
                f"{option} must hold finite numbers; {one.path} does not. "
                "Training that made it has diverged."
            )


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
