"""Inference: a model's outputs for the batches of a split."""

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
        transform: Maps a batch's features and labels to inputs and targets; by
            default it returns them unchanged.

    Returns:
        Pairs of inputs and targets, each an array or a structure of arrays
        `(batch, ...)`.
    """
    return pipelines.for_evaluation(
        split, fitting.EVALUATION_BATCH, transform=transform
    ).as_numpy_iterator()


def check_finite(model: keras.Model, option: str) -> None:
    """Checks that the weights of a user's file are finite numbers.

    Args:
        model: The model that has loaded the weights.
        option: The option and its value that named the file, such as
            `--weights=mine.weights.h5`.

    Raises:
        InputError: If a weight is infinite or not a number.
    """
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise InputError(
                f"{option} must hold finite numbers; {weight.path} does not. "
                "The training that made it has diverged."
            )


def outputs(
    model: Callable[[Any], Any], batches: Iterable[tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Returns a model's outputs for batches, and the batches' targets.

    One batch of inputs is held at a time; all outputs and targets are kept.

    Args:
        model: A Keras model, or a function of a batch's inputs.
        batches: At least one pair of inputs and targets, each an array or a
            structure of arrays `(batch, ...)`.

    Returns:
        Outputs and targets in the order of the batches, as NumPy arrays
        `(num, ...)` in the structures of the model's outputs and the targets.
    """
    if isinstance(model, keras.Model):
        model = functools.partial(model, training=False)
    run = tf.function(lambda inputs: model(inputs), reduce_retracing=True)
    pairs = []
    for inputs, targets in batches:
        arrays = tf.nest.map_structure(
            lambda tensor: tensor.numpy(), run(inputs)
        )
        pairs.append((arrays, targets))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pairs)
