"""Metrics over a whole split: arrays in, floats out."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics

LEAST_CALIBRATED = 100  # The fewest examples that fill 15 bins.


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the part of examples whose likeliest class is right.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
    """
    predicted = np.argmax(probabilities, axis=1)
    return float(metrics.accuracy_score(labels, predicted))


def most_frequent(known: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Returns the report's row of a baseline that always gives one class.

    Args:
        known: `(num,)` class indices; their most frequent class is given.
        test: `(num,)` class indices, which the baseline is measured on.
    """
    right = float(np.mean(test == stats.mode(known).mode))
    return {"name": "most frequent class", "metrics": {"accuracy": right}}


def log_loss(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Returns the mean cross-entropy in nats.

    Probabilities below 1e-7 count as 1e-7. Rows are scaled to a sum of 1, which
    float32 probabilities miss by a rounding error.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
        weights: `(num,)` weights of the examples; None if all count alike.
    """
    clipped = np.clip(probabilities.astype(float), 1e-7, 1.0)
    rows = clipped / clipped.sum(axis=1, keepdims=True)
    classes = range(probabilities.shape[1])
    return float(
        metrics.log_loss(labels, rows, sample_weight=weights, labels=classes)
    )


def confusion_matrix(
    probabilities: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Returns the confusion matrix.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.

    Returns:
        `(classes, classes) int64` counts; rows are true classes, columns
        predicted classes.
    """
    predicted = np.argmax(probabilities, axis=1)
    classes = range(probabilities.shape[1])
    return metrics.confusion_matrix(labels, predicted, labels=classes)


def per_class(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, list[float]]:
    """Returns F1, precision, recall and support of each class.

    A figure is 0 if the class was never predicted, or never occurs.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.

    Returns:
        `f1`, `precision`, `recall` and `support`: a number for each class.
    """
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels,
        np.argmax(probabilities, axis=1),
        labels=range(probabilities.shape[1]),
        zero_division=0.0,
    )
    return {
        "f1": f1.tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "support": support.tolist(),
    }


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """Returns the mean gap between confidence and accuracy (Guo et al., 2017).

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
        bins: The number of intervals of equal width; the gap of each interval
            is weighted by its number of examples.
    """
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    index = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gap = np.bincount(index, confidence - right, minlength=bins)
    return float(np.sum(np.abs(gap)) / len(labels))


def classification(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns the metrics of a classifier that are single numbers.

    The accuracy of the five likeliest classes is left out if there are at most
    five classes: it would always be 1.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
    """
    values = {"accuracy": accuracy(probabilities, labels)}
    classes = range(probabilities.shape[1])
    if len(classes) > 5:
        values["top_5_accuracy"] = float(
            metrics.top_k_accuracy_score(
                labels, probabilities, k=5, labels=classes
            )
        )
    values["loss"] = log_loss(probabilities, labels)
    return {**values, **calibration(probabilities, labels)}


def calibration(
    probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns `ece`, the expected calibration error.

    The result is {} if there are too few examples to fill the bins.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` class indices.
    """
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
        metric: Maps arrays like `arrays` to a float; NaN if it cannot be
            computed, such as an AUROC when all labels are equal.
        *arrays: `(num, ...)` each; their rows are resampled together.
        samples: The number of resamples.
        level: The part of the resamples between the two bounds.
        seed: Fixes the resamples.

    Returns:
        The lower and the upper bound.
    """
    if len(arrays[0]) < 2:  # SciPy refuses fewer than two rows.
        return metric(*arrays), metric(*arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        resampled = stats.bootstrap(
            [np.arange(len(arrays[0]))],
            lambda rows: metric(*(array[rows] for array in arrays)),
            n_resamples=samples,
            batch=1,  # One resample in memory.
            method="percentile",
            vectorized=False,
            rng=np.random.default_rng(seed),
        )
    tail = (1 - level) / 2
    # SciPy's own interval is NaN if the metric of any resample is NaN.
    low, high = np.nanquantile(
        resampled.bootstrap_distribution, (tail, 1 - tail)
    )
    return float(low), float(high)


def proportion_interval(share: float, num: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of `num` examples (Wilson, 1927)."""
    test = stats.binomtest(round(share * num), num)
    low, high = test.proportion_ci(0.95, method="wilson")
    return float(low), float(high)
