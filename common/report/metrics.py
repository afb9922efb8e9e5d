"""Metrics over a whole split: arrays in, floats out."""

from collections.abc import Callable
from typing import Any

import numpy as np

LEAST_CALIBRATED = 100  # Examples, for 15 bins.


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the part of examples whose likeliest class is right.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
    """
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def most_frequent(known: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Returns the report's row of the baseline that knows one answer.

    Args:
        known: `(num,)` class indices; give the answer.
        test: Likewise, to be judged.
    """
    classes, counts = np.unique(known, return_counts=True)
    right = float(np.mean(test == classes[np.argmax(counts)]))
    return {"name": "most frequent class", "metrics": {"accuracy": right}}


def top_k_accuracy(
    probabilities: np.ndarray, labels: np.ndarray, k: int
) -> float:
    """Returns the part of examples whose class is among the `k` likeliest."""
    k = min(k, probabilities.shape[1])
    best = np.argpartition(-probabilities, k - 1, axis=1)[:, :k]
    return float(np.mean(np.any(best == labels[:, None], axis=1)))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean cross-entropy in nats."""
    right = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.clip(right, 1e-7, 1.0))))


def confusion_matrix(
    probabilities: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Returns `(classes, classes) int64`: rows are true, columns predicted."""
    classes = probabilities.shape[1]
    predicted = np.argmax(probabilities, axis=1)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def per_class(confusion: np.ndarray) -> dict[str, list[float]]:
    """Returns precision, recall and support of each class.

    Where a class was never predicted, or never occurs, the figure is 0.
    """
    right = np.diag(confusion).astype(float)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": (right / np.maximum(predicted, 1)).tolist(),
        "recall": (right / np.maximum(support, 1)).tolist(),
        "support": support.tolist(),
    }


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """Returns the mean gap between confidence and accuracy (Guo et al., 2017).

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
        bins: Intervals of equal width; each gap weighs by its examples.
    """
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    index = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gap = np.bincount(index, confidence - right, minlength=bins)
    return float(np.sum(np.abs(gap)) / len(labels))


def classification(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Returns all metrics of a classifier that fit on a line.

    Those that would say nothing are left out: of five classes the right one is
    always among five.
    """
    found = {"accuracy": accuracy(probabilities, labels)}
    if probabilities.shape[1] > 5:
        found["top_5_accuracy"] = top_k_accuracy(probabilities, labels, 5)
    found["loss"] = log_loss(probabilities, labels)
    return {**found, **calibration(probabilities, labels)}


def calibration(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns `ece`; {} of so few examples that bins hold hardly any."""
    if len(labels) < LEAST_CALIBRATED:
        return {}
    return {"ece": expected_calibration_error(probabilities, labels)}


def bootstrap_interval(
    metric: Callable[..., float],
    *arrays: np.ndarray,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval (Efron, 1979).

    Args:
        metric: From arrays like `arrays` to a float; NaN where a resample has
            no value, such as an AUROC of one class.
        *arrays: `(num, ...)` each; their rows are resampled together.
        samples: Resamples.
        level: The part of them between the two bounds.
        seed: Fixes the resamples.
    """
    rng, num = np.random.default_rng(seed), len(arrays[0])
    values = []
    for _ in range(samples):
        picked = rng.integers(0, num, num)
        values.append(metric(*(one[picked] for one in arrays)))
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail))
    return float(low), float(high)
