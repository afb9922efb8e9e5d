"""Simple recommenders that often beat published neural recommenders.

All are computed here, on the same split, ranked and measured like the models.
Their settings were chosen on the validation split of MovieLens 100K.
"""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
import threadpoolctl

from . import linear
from .interactions import PADDING
from .protocols import Protocol, Task
from .quality import LENGTH

# Above this, an item-item matrix is not made: 20,000 items are 1.6 GB.
MAX_ITEMS = 20_000
CHUNK = 1024
FACTORS = 32

# From histories (users, items + 1) to scores (users, items + 1).
Scores = Callable[[scipy.sparse.csr_matrix], np.ndarray]


def popular(train: scipy.sparse.csr_matrix) -> Scores:
    """Ranks items by their number of interactions."""
    counts = np.asarray(train.sum(axis=0)).ravel()
    return lambda history: np.tile(counts, (history.shape[0], 1))


def item_knn(train: scipy.sparse.csr_matrix, neighbours: int) -> Scores:
    """Sums cosine similarities to the items of the history.

    Args:
        train: The interactions.
        neighbours: The number of an item's nearest items that count.
    """
    norms = np.sqrt(np.asarray(train.sum(axis=0)).ravel())
    unit = train @ scipy.sparse.diags_array(1 / np.maximum(norms, 1))
    similarity = (unit.T @ unit).toarray()
    np.fill_diagonal(similarity, 0.0)
    k = min(neighbours, len(similarity) - 1)
    least = np.partition(similarity, -k, axis=0)[-k]
    similarity = np.where(similarity >= least, similarity, 0.0)
    return lambda history: history @ similarity


def ease(train: scipy.sparse.csr_matrix, penalty: float) -> Scores:
    """Multiplies histories with EASE's matrix (Steck, 2019)."""
    gram = (train.T @ train).toarray().astype(np.float64)
    weights = linear.ease(gram, penalty).astype(np.float32)
    return lambda history: history @ weights


def implicit_models(
    train: scipy.sparse.csr_matrix,
    seed: int,
    als: dict[str, float],
    bpr: dict[str, float],
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and scores `(users, items + 1)` of ALS and BPR.

    Args:
        train: The interactions.
        seed: The seed of both models.
        als: Settings of ALS in the package `implicit`.
        bpr: Settings of BPR in that package.
    """
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking

    common = {"factors": FACTORS, "random_state": seed, "num_threads": 1}
    # `implicit` has its own threads: with BLAS's threads as well it is slow.
    with threadpoolctl.threadpool_limits(1, "blas"):
        models = {
            "ALS": AlternatingLeastSquares(**common, iterations=15, **als),
            "BPR": BayesianPersonalizedRanking(**common, **bpr),
        }
        for model in models.values():
            model.fit(train, show_progress=False)
    for name, model in models.items():
        scores = model.user_factors @ model.item_factors.T
        yield f"{name} ({FACTORS})", scores


SETTINGS: dict[str, dict[str, Any]] = {
    "leave_last_out": {
        "neighbours": 300,
        "penalty": 100.0,
        "als": {"regularization": 0.1, "alpha": 1.0},
        "bpr": {
            "learning_rate": 0.05, "regularization": 0.01, "iterations": 100,
        },
    },
    "random_75_25": {
        "neighbours": 300,
        "penalty": 400.0,
        "als": {"regularization": 60.0, "alpha": 10.0},
        "bpr": {
            "learning_rate": 0.01, "regularization": 0.1, "iterations": 50,
        },
    },
}  # fmt: skip


def rank(scores: Scores, task: Task, num_items: int) -> np.ndarray:
    """Returns the best unseen items of the task's users, `(users, k) int`."""
    history = linear.matrix(task.history, num_items)
    parts = []
    for start in range(0, len(task.users), CHUNK):
        seen = history[task.users[start : start + CHUNK]]
        parts.append(best(np.asarray(scores(seen)), seen))
    return np.concatenate(parts)


def best(scores: np.ndarray, seen: scipy.sparse.csr_matrix) -> np.ndarray:
    """Returns the `LENGTH` best unseen items of each user.

    Args:
        scores: `(users, items + 1)`.
        seen: The histories as ones, `(users, items + 1)`.

    Returns:
        `(users, k) int`, best first; padding ends a list that is too short.
    """
    scores = scores.astype(np.float32)
    scores[seen.nonzero()] = -np.inf
    scores[:, PADDING] = -np.inf
    k = min(LENGTH, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, top, axis=1)
    order = np.lexsort((top, -values))
    top = np.take_along_axis(top, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    return np.where(np.isfinite(values), top, PADDING)


def lists(
    protocol: Protocol, seed: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Fits all baselines to train and validation and ranks for test.

    Returns:
        Lists `(test users, k)` by name, and notes on what was left out.
    """
    num_items, task = len(protocol.data.catalogue), protocol.test
    train = linear.matrix(task.history, num_items)
    settings = SETTINGS[protocol.name]
    by_name = {"most popular": rank(popular(train), task, num_items)}
    if num_items > MAX_ITEMS:
        return by_name, [
            f"baselines with item-item matrices and factors left out: more "
            f"than {MAX_ITEMS:,} items"
        ]
    k, penalty = settings["neighbours"], settings["penalty"]
    by_name[f"ItemKNN ({k})"] = rank(item_knn(train, k), task, num_items)
    by_name[f"EASE ({penalty:g})"] = rank(ease(train, penalty), task, num_items)
    if importlib.util.find_spec("implicit") is None:
        return by_name, [
            "ALS and BPR left out: `pip install implicit` for them"
        ]
    for name, scores in implicit_models(
        train, seed, settings["als"], settings["bpr"]
    ):
        by_name[name] = best(scores[task.users], train[task.users])
    return by_name, []
