"""Metrics, ranking and baselines, against figures made by hand."""

import math

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from apps.recommender import baselines, linear, quality, ranking
from apps.recommender.interactions import Ragged, ragged
from apps.recommender.protocols import Task


def lists_of(*rows: list[int]) -> Ragged:
    values = np.array([item for row in rows for item in row])
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return ragged(users, values, len(rows))


def task(history: list[list[int]], targets: list[list[int]]) -> Task:
    wanted = lists_of(*targets)
    return Task(np.flatnonzero(wanted.lengths), lists_of(*history), wanted)


def test_lists_are_padded_in_front() -> None:
    items = lists_of([1, 2, 3], [], [4]).padded(np.array([0, 1, 2]), 2)
    assert items.tolist() == [[2, 3], [0, 0], [0, 4]]


def test_figures_of_one_target() -> None:
    figures = quality.per_user(
        np.array([[5, 6, 7], [6, 5, 7]]), task([[1], [1]], [[6], [9]])
    )
    assert figures["ndcg@10"].tolist() == [1 / math.log2(3), 0.0]
    assert figures["hr@10"].tolist() == [1.0, 0.0]
    assert figures["mrr@10"].tolist() == [0.5, 0.0]
    assert figures["recall@20"].tolist() == [1.0, 0.0]


def test_ndcg_of_many_targets_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((4, 30))
    wanted = rng.random((4, 30)) < 0.4
    ranked = 1 + np.argsort(-scores, axis=1)[:, :20]
    targets = [(1 + np.flatnonzero(row)).tolist() for row in wanted]
    judged_task = task([[31]] * 4, targets)
    figures = quality.per_user(ranked, judged_task)
    for k in quality.CUTOFFS:
        expected = sklearn_metrics.ndcg_score(wanted, scores, k=k)
        assert np.mean(figures[f"ndcg@{k}"]) == pytest.approx(expected)
    padded = judged_task.targets.padded(judged_task.users, 30)
    assert quality.ndcg_of_padded(ranked, padded) == pytest.approx(
        np.mean(figures["ndcg@10"])
    )


def test_a_list_that_holds_every_item_says_nothing() -> None:
    judged_task = task([[1], [1]], [[6], [9]])
    lists = np.array([[5, 6, 7], [6, 5, 7]])
    names = set(quality.summarize(lists, judged_task, judged_task.history, 10))
    assert "ndcg@10" in names and "mrr@20" in names
    for name in ("hr", "recall", "coverage", "popularity"):
        assert f"{name}@10" not in names and f"{name}@20" not in names
    names = set(quality.summarize(lists, judged_task, judged_task.history, 11))
    assert {"hr@10", "coverage@10"} <= names and "hr@20" not in names


def test_padding_is_no_hit_and_users_without_targets_are_left_out() -> None:
    judged_task = task([[1], [1], [1]], [[2], [], [3]])
    figures = quality.per_user(np.array([[0, 2], [0, 0]]), judged_task)
    assert figures["hr@10"].tolist() == [1.0, 0.0]


def test_coverage_and_popularity() -> None:
    train = lists_of([1, 2], [1, 3], [1])  # Item 4 was never taken.
    figures = quality.beyond(np.array([[1, 4], [1, 0]]), train, 4)
    assert figures["coverage@10"] == 0.5
    assert figures["popularity@10"] == pytest.approx((7 / 8 * 2 + 1 / 8) / 3)


def test_summaries_have_intervals() -> None:
    judged_task = task([[1]] * 20, [[2]] * 20)
    ranked = np.array([[2, 3]] * 10 + [[3, 4]] * 10)
    figures = quality.summarize(ranked, judged_task, judged_task.history, 4)
    low, high = figures["intervals"]["ndcg@10"]
    assert low < figures["ndcg@10"] == 0.5 < high


def test_groups_by_activity() -> None:
    judged_task = task([[1] * n for n in (1, 2, 3, 9)], [[5]] * 4)
    ranked = np.array([[5, 6], [6, 7], [6, 7], [6, 5]])
    rows = quality.by_activity(
        quality.per_user(ranked, judged_task), judged_task, 2
    )
    assert [row[:2] for row in rows] == [("1 to 2", 2), ("3 to 9", 2)]
    assert rows[0][2] == 0.5


def test_ease_is_the_solution_of_its_equation() -> None:
    rng = np.random.default_rng(0)
    rows = [list(1 + rng.permutation(6)[:3]) for _ in range(30)]
    x = linear.matrix(lists_of(*rows), 6).toarray().astype(float)
    weights = linear.ease(x.T @ x, 5.0)
    assert not np.diag(weights).any()
    # The gradient is zero off the diagonal (Steck, 2019, equation 2).
    gradient = x.T @ (x @ weights - x) + 5.0 * weights
    np.fill_diagonal(gradient, 0.0)
    assert np.abs(gradient).max() < 1e-4


def test_the_linear_part_ranks_and_leaves_padding_out() -> None:
    pairs = lists_of(*([[1, 2, 3]] * 5 + [[4, 5, 6]] * 5))
    for rank in (0, 2):
        weights = linear.item_item(pairs, 6, 1.0, rank)
        assert not weights[0].any() and not weights[:, 0].any()
        assert weights[1, 2] > 0.2 > abs(weights[1, 4])
    assert weights.dtype == np.float32
    assert not np.allclose(linear.item_item(pairs, 6, 1.0, 0), weights)


def test_item_knn_counts_only_the_nearest() -> None:
    train = linear.matrix(lists_of([1, 2], [1, 2], [1, 3], [4]), 4)
    near = baselines.item_knn(train, 1)
    history = scipy.sparse.csr_matrix(np.array([[0, 1, 0, 0, 0]], float))
    scores = near(history)[0]
    assert scores[2] == pytest.approx(2 / math.sqrt(3 * 2))
    assert scores[4] == 0.0


def test_baselines_leave_out_what_was_seen() -> None:
    judged_task = task([[1, 2], [2, 3]], [[3], [4]])
    train = linear.matrix(judged_task.history, 4)
    lists = baselines.rank(baselines.popular(train), judged_task, 4)
    assert lists[:, :2].tolist() == [[3, 4], [1, 4]]
    assert not lists[:, 2:].any()


def model(num_items: int, dim: int = 3) -> keras.Model:
    """Scores are the mean of the history's vectors times the items'."""
    keras.utils.set_random_seed(0)
    history = keras.Input((4,), dtype="int32", name="history")
    vectors = keras.layers.Embedding(num_items + 1, dim)(history)
    query = keras.layers.GlobalAveragePooling1D(name="query")(vectors)
    scores = keras.layers.Dense(num_items + 1, name="products")(query)
    return keras.Model({"history": history}, scores)


@pytest.mark.parametrize("at_a_time", [3, 7, 100])
def test_ranking_in_parts_is_ranking_at_once(at_a_time) -> None:
    network = model(20)
    history = np.array([[0, 3, 4], [7, 8, 9], [0, 0, 0]], np.int32)
    items, scores = ranking.Ranker(network, at_a_time)(
        tf.constant(history), k=6
    )
    all_scores = network({"history": np.pad(history, ((0, 0), (1, 0)))}).numpy()
    for row, seen in enumerate(history):
        all_scores[row, [0, *seen]] = -np.inf
    expected = np.argsort(-all_scores, axis=1)[:, :6]
    assert items.numpy().tolist() == expected.tolist()
    np.testing.assert_allclose(
        scores, np.take_along_axis(all_scores, expected, axis=1), rtol=1e-5
    )


def test_a_short_catalogue_gives_padding() -> None:
    history = tf.constant([[1, 2, 3]])
    items, scores = ranking.Ranker(model(4))(history, k=4)
    assert items.numpy()[0].tolist() == [4, 0, 0, 0]
    assert np.isinf(scores.numpy()[0, 1:]).all()


def test_lists_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(0)
    history = [list(1 + rng.permutation(20)[:5]) for _ in range(70)]
    judged_task = task(history, [[1]] * 70)
    ranker = ranking.Ranker(model(20))
    lists, _ = ranking.rank(ranker, judged_task)
    last = task(history[69:], [[1]])
    assert ranking.rank(ranker, last)[0].tolist() == lists[69:].tolist()
