"""The figures of groups of transactions, by columns of the user's table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as curves

from common.report import metrics, slices

from . import ranking
from .folds import Judged
from .settings import Costs

# Of a resample of the bootstrap, the average precision of 200,000 rows takes
# 30 ms: large groups, whose intervals vary less, get fewer resamples.
MOST_RESAMPLED, RESAMPLES = 20_000_000, (200, 1000)


def build(
    scores: Mapping[str, np.ndarray],
    judged: Mapping[str, Judged],
    threshold: float,
    costs: Costs,
    columns: Sequence[str],
) -> dict[str, Any]:
    """Returns the figures of groups of transactions; see `slices.build`.

    Args:
        scores: The scores of each split, `(num,)` floats.
        judged: The labels, days and groups of the same transactions.
        threshold: Transactions with this score or more are flagged.
        costs: Gives the cards looked at a day.
        columns: The value of `--slice_by`.
    """

    def measure(split: str, mask: np.ndarray) -> dict[str, Any]:
        return _figures(
            scores[split][mask], judged[split].pick(mask), threshold, costs
        )

    groups = {name: judged[name].groups for name in scores}
    return slices.build(columns, groups, measure)


def _figures(
    score: np.ndarray, judged: Judged, threshold: float, costs: Costs
) -> dict[str, Any]:
    """Returns a group's figures, and the intervals of two of them.

    The recall is left out of a group without frauds.
    """
    fraud = judged.fraud
    num_frauds = int(fraud.sum())
    at = ranking.at_threshold(score, fraud, judged.day, threshold)
    ranked = ranking.summarize(
        score, fraud, judged.customer, judged.day, costs.top
    )
    figures = {"frauds": num_frauds} | {
        name: ranked[name]
        for name in ("average_precision", "auc_roc")
        if name in ranked
    }
    intervals = {}
    if "average_precision" in figures:
        num = int(np.clip(MOST_RESAMPLED // len(score), *RESAMPLES))
        intervals["average_precision"] = list(
            metrics.bootstrap_interval(
                _average_precision, score, fraud, samples=num
            )
        )
    if num_frauds:
        figures["recall"] = at["recall"]
        intervals["recall"] = list(
            metrics.proportion_interval(at["recall"], num_frauds)
        )
    return {
        **figures,
        "precision": at["precision"],
        "alerts_per_day": at["alerts_per_day"],
        "intervals": intervals,
    }


def _average_precision(score: np.ndarray, fraud: np.ndarray) -> float:
    """Returns the average precision; NaN if there is no fraud."""
    if not fraud.any():
        return float("nan")
    return float(curves.average_precision_score(fraud, score))
