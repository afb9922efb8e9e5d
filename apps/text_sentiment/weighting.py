"""Weights of classes in training: in the targets, and in the loss."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

ops = keras.ops


def weighted(class_weights: np.ndarray | None) -> Callable[[Any], Any]:
    """Returns a function that multiplies probabilities by class weights.

    Cross-entropy is linear in its targets: with such targets it is weighted.

    Args:
        class_weights: `(classes,) float32`; None leaves targets as they are.
    """
    if class_weights is None:
        return lambda targets: targets
    return lambda targets: targets * class_weights


def cross_entropy(targets: Any, outputs: Any) -> Any:
    """Returns the cross-entropy of each example, whose targets are weighted.

    TensorFlow's gradient is wrong for targets whose sum is not 1, so the weight
    is taken out of them.

    Args:
        targets: `(batch, classes)`, the results of `weighted`.
        outputs: Probabilities `(batch, classes)`.
    """
    weights = ops.sum(targets, axis=-1)
    return weights * ops.categorical_crossentropy(
        targets / weights[:, None], outputs
    )


def monitored(class_weights: np.ndarray | None) -> tuple[str, str]:
    """Returns the metric that chooses the epoch, and `max` or `min` of it.

    With weights, accuracy would choose an epoch that neglects rare classes.
    """
    if class_weights is None:
        return "val_accuracy", "max"
    return "val_loss", "min"


def leave_out(model: keras.Model) -> None:
    """Compiles a trained model with Keras's own loss, without weights.

    `model.keras` then loads without the loss of this app.
    """
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    model.optimizer.build(model.trainable_variables)
