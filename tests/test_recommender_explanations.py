"""Which items of a history moved a recommendation."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from apps.recommender import explanations, histories
from apps.recommender.interactions import Catalogue, Interactions, Ragged
from apps.recommender.ranking import Ranker
from common.options import InputError

ITEMS = 9
RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(ITEMS + 1, ITEMS + 1)).astype(np.float32)
WIDE[0] = 0  # The padding.


def linear(length: int) -> Ranker:
    """Returns a ranker that adds up a row of `WIDE` for each item."""
    history = keras.Input((length,), dtype="int32", name="history")
    rows = layers.Embedding(*WIDE.shape, weights=[WIDE])(history)
    return Ranker(keras.Model({"history": history}, ops.sum(rows, axis=1)))


def with_users(seed: int) -> tuple[keras.Model, Ranker]:
    """Returns a network that knows users; its last layer is `products`."""
    keras.utils.set_random_seed(seed)
    history = keras.Input((4,), dtype="int32", name="history")
    user = keras.Input((), dtype="int32", name="user")
    items = layers.Embedding(ITEMS + 1, 5)(history)
    query = layers.Add()([ops.sum(items, axis=1), layers.Embedding(3, 5)(user)])
    query = layers.Identity(name="query")(ops.tanh(9 * query))
    scores = layers.Dense(ITEMS + 1, name="products")(query)
    model = keras.Model({"history": history, "user": user}, scores)
    return model, Ranker(model)


def test_effects_of_a_linear_model_are_its_rows() -> None:
    explain = explanations.Explainer(linear(6))
    effects = explain([3, 1, 4], 0, [7, 2])
    assert effects.shape == (2, 3)
    expected = WIDE[[3, 1, 4]][:, [7, 2]].T
    np.testing.assert_allclose(effects, expected, atol=1e-6)


def test_an_older_item_takes_the_place_of_one_that_is_left_out() -> None:
    effects = explanations.Explainer(linear(2))([5, 6, 3, 1], 0, [7])
    assert not effects[0, :2].any()  # The model does not look at them.
    expected = WIDE[[3, 1], 7] - WIDE[6, 7]
    np.testing.assert_allclose(effects[0, 2:], expected, atol=1e-6)


def test_scores_of_given_items_are_those_of_the_whole_model() -> None:
    model, ranker = with_users(0)
    rows = RNG.integers(0, ITEMS + 1, (3, 4)).astype(np.int32)
    whole = model({"history": rows, "user": np.full(3, 2, np.int32)}).numpy()
    scores = ranker.scores(rows, np.array([8, 1], np.int32), 2).numpy()
    np.testing.assert_allclose(scores, whole[:, [8, 1]], atol=1e-5)
    assert not np.allclose(scores, ranker.scores(rows, np.array([8, 1])))


def test_other_weights_give_other_effects() -> None:
    """Sanity checks for saliency maps (Adebayo et al., 2018)."""
    items = list(range(1, ITEMS + 1))
    first, second, again = (
        explanations.Explainer(with_users(seed)[1])([3, 1, 4, 2], 1, items)
        for seed in (0, 1, 0)
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5
    np.testing.assert_allclose(first, again, atol=1e-5)


def test_histories_are_read_as_they_were_written(tmp_path) -> None:
    taken = Ragged(np.array([3, 1, 2], np.int32), np.array([0, 2, 2, 3]))
    names = ("Zo\u00e9", "b\nc", "7")
    catalogue = Catalogue(("", "x"), ("", "X"), np.zeros((2, 0)))
    histories.write(tmp_path, Interactions("mine", taken, names, catalogue))
    users, read = histories.read(tmp_path)
    assert list(users) == list(names)
    assert [read[users[name]].tolist() for name in names] == [[3, 1], [], [2]]
    (tmp_path / histories.FILE).write_bytes(b"PK damaged")
    with pytest.raises(InputError, match="is damaged"):
        histories.read(tmp_path)
    (tmp_path / histories.FILE).unlink()
    with pytest.raises(InputError, match="an earlier version made the release"):
        histories.read(tmp_path)


def test_a_list_has_a_row_for_each_item_that_moved_it() -> None:
    answer = {
        "item_ids": np.array([[b"i7", b"i2", b""]], object),
        "titles": np.array([[b"Seven", b"<b>", b""]], object),
        "scores": np.array([[2.0, 1.0, 0.0]]),
    }
    place = {f"i{index}": index for index in range(1, ITEMS + 1)}
    explain = explanations.Explainer(linear(6))

    def rows(history: list[int]) -> list[dict]:
        request = ("alice", history, 0, answer)
        return explanations._explained(
            explain, request, place, lambda index: (f"i{index}", f"T{index}")
        ).rows

    moved = rows([3, 1])
    assert [row["rank"] for row in moved] == [1, 1, 2, 2]
    strongest = max((3, 1), key=lambda index: abs(WIDE[index, 7]))
    assert moved[0]["because"] == f"i{strongest}"
    assert moved[0]["effect"] == pytest.approx(WIDE[strongest, 7], abs=1e-6)
    # Nothing moved the most popular items, which strangers get.
    assert [row["because"] for row in rows([])] == ["", ""]
