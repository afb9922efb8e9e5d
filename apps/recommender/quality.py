"""Quality of recommended lists: figures of each user, and means."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.report import metrics

from .interactions import PADDING, Ragged
from .protocols import Task

CUTOFFS = (10, 20)
LENGTH = max(CUTOFFS)
INTERVALS = ("ndcg@10", "hr@10", "recall@10")


def per_user(lists: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Returns hit rate, NDCG, recall and reciprocal rank of each user.

    Args:
        lists: `(users, k) int` items, best first; padding at the end of a list
            that is too short. A user's ideal list has all targets first.
        task: The targets; its users are in the order of `lists`.

    Returns:
        `(users,) float64` by name.
    """
    hits = _hits(lists, task)
    num_targets = task.targets.lengths[task.users]
    figures: dict[str, np.ndarray] = {}
    for k in CUTOFFS:
        hits_at_k = hits[:, :k]
        gains = 1.0 / np.log2(np.arange(2, hits_at_k.shape[1] + 2))
        ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))
        best = ideal[np.minimum(num_targets, k) - 1]
        first = np.argmax(hits_at_k, axis=1) + 1
        figures |= {
            f"ndcg@{k}": hits_at_k @ gains / best,
            f"hr@{k}": hits_at_k.any(axis=1).astype(float),
            f"recall@{k}": hits_at_k.sum(axis=1) / num_targets,
            f"mrr@{k}": np.where(hits_at_k.any(axis=1), 1.0 / first, 0.0),
        }
    return figures


def _hits(lists: np.ndarray, task: Task) -> np.ndarray:
    """Tells which items of the lists are targets, `(users, k) bool`."""
    size = int(max(lists.max(initial=0), task.targets.values.max())) + 1
    wanted = np.sort(task.targets.rows * size + task.targets.values)
    keys = task.users[:, None] * size + lists
    place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    return (wanted[place] == keys) & (lists != PADDING)


def beyond(
    lists: np.ndarray, train: Ragged, num_items: int
) -> dict[str, float]:
    """Returns the coverage of the catalogue, and the bias to popular items.

    Args:
        lists: See `per_user`.
        train: The interactions that popularity is counted in.
        num_items: The number of items, padding not among them.

    Returns:
        `coverage@k`: the part of all items that is in some list.
        `popularity@k`: the mean over the lists of the items' percentile by
        interactions in train; 1 is the most popular item, .5 no bias.
    """
    counts = np.bincount(train.values, minlength=num_items + 1)[1:]
    # Items of equal counts share their mean rank.
    ordered = np.sort(counts)
    below = np.searchsorted(ordered, counts, "left")
    upto = np.searchsorted(ordered, counts, "right")
    percentile = np.concatenate([[0.0], (below + upto) / 2 / num_items])
    figures = {}
    for k in CUTOFFS:
        items = lists[:, :k][lists[:, :k] != PADDING]
        figures[f"coverage@{k}"] = len(np.unique(items)) / num_items
        figures[f"popularity@{k}"] = float(np.mean(percentile[items]))
    return figures


def summarize(
    lists: np.ndarray, task: Task, train: Ragged, num_items: int
) -> dict[str, Any]:
    """Returns all figures, and 95 % bootstrap intervals of `INTERVALS`.

    A list as long as the catalogue has all targets, whatever the model is. At
    such a cutoff only the metrics of the order, NDCG and MRR, are kept.
    """
    users = per_user(lists, task)
    means = {name: float(np.mean(values)) for name, values in users.items()}
    means |= beyond(lists, train, num_items)
    reported = {
        name: value
        for name, value in means.items()
        if name.startswith(("ndcg", "mrr"))
        or int(name.split("@")[1]) < num_items
    }
    intervals = {
        name: list(metrics.bootstrap_interval(np.mean, users[name]))
        for name in INTERVALS
        if name in reported
    }
    return {**reported, "intervals": intervals}


def ndcg(lists: np.ndarray, task: Task) -> float:
    """Returns the task metric, NDCG@10, the mean over the users."""
    return float(np.mean(per_user(lists, task)["ndcg@10"]))


def ndcg_of_padded(lists: np.ndarray, targets: np.ndarray) -> float:
    """Returns NDCG@10 where the targets are a padded array.

    Args:
        lists: `(users, k) int` items, best first.
        targets: `(users, any) int` items; `PADDING` is no target.
    """
    hits = (lists[:, :10, None] == targets[:, None]).any(axis=2)
    hits &= lists[:, :10] != PADDING
    gains = 1.0 / np.log2(np.arange(2, 12))
    num = np.minimum((targets != PADDING).sum(axis=1), 10)
    ideal = np.cumsum(gains)[num - 1]
    return float(np.mean(hits @ gains[: hits.shape[1]] / ideal))


def by_activity(
    values: Mapping[str, np.ndarray], task: Task, groups: int = 4
) -> list[tuple[Any, ...]]:
    """Returns figures of groups of users by the length of their history.

    Args:
        values: From `per_user`.
        task: The users and their histories.
        groups: The number of groups, of about equal sizes.

    Returns:
        A row for each group: the lengths, the number of users, NDCG@10, HR@10
        and recall@10.
    """
    lengths = task.history.lengths[task.users]
    order = np.argsort(lengths, kind="stable")
    rows = []
    for part in np.array_split(order, min(groups, len(order))):
        low, high = lengths[part[0]], lengths[part[-1]]
        means = [float(np.mean(values[name][part])) for name in INTERVALS]
        rows.append((f"{low} to {high}", len(part), *means))
    return rows
