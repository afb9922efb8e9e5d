"""The networks: losses, folding, and what a phone's file computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.recommender import (
    baselines,
    linear,
    mobile,
    protocol_fit,
    protocols,
    quality,
)
from apps.recommender import model as networks
from apps.recommender import train as app
from apps.recommender.interactions import Catalogue, Interactions, ragged
from common import variants
from common.keras2 import bridge
from common.mobile import conversion, litert
from common.options import InputError

NUM_USERS, NUM_ITEMS, LENGTH = 12, 30, 8


def protocol() -> protocols.Protocol:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(NUM_USERS), 10)
    items = np.concatenate(
        [1 + rng.permutation(NUM_ITEMS)[:10] for _ in range(NUM_USERS)]
    )
    ids = ("", *(f"i{n}" for n in range(1, NUM_ITEMS + 1)))
    features = rng.integers(0, 2, (NUM_ITEMS + 1, 3)).astype(np.float32)
    data = Interactions(
        "mine", ragged(rows, items, NUM_USERS),
        tuple(f"u{n}" for n in range(NUM_USERS)),
        Catalogue(ids, ids, features, ("x", "y", "z")),
    )  # fmt: skip
    return protocols.split(data, "leave_last_out")


def config(**changes) -> app.Config:
    small = {"history": LENGTH, "dim": 4, "blocks": 2, "dropout": 0.25}
    return app.Config(**{**small, **changes})


def build(**changes) -> networks.Recommender:
    keras.utils.set_random_seed(0)
    model = app.build_model(config(**changes), protocol())
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    return model


def inputs(num: int = 5) -> dict[str, np.ndarray]:
    data = protocol()
    users = np.arange(num)
    history = data.train.padded(users, LENGTH)
    history[0] = 0
    return {"history": history, "user": users.astype(np.int32)}


def scores(model: networks.Recommender, given: dict) -> np.ndarray:
    queries = model(given)
    queries = queries[:, -1] if len(queries.shape) == 3 else queries
    return model.items.scores(queries).numpy()


@pytest.mark.parametrize("name", networks.MODELS)
def test_folding_keeps_the_scores(name) -> None:
    model, given = build(model=name, wide=0.0), inputs()
    folded = app.fold(model, None)
    taken = {key: given[key] for key in folded.input}
    assert ("user" in taken) == (name != "sequential")
    np.testing.assert_allclose(folded(taken), scores(model, given), atol=1e-5)
    kinds = {type(layer).__module__ for layer in folded.layers}
    assert all(kind.startswith("keras.src.") for kind in kinds)
    unknown = app.fold(model, None, with_user=False)
    given["user"][:] = 0
    np.testing.assert_allclose(
        unknown({"history": given["history"]}), scores(model, given), atol=1e-5
    )


@pytest.mark.parametrize("name", networks.MODELS)
def test_twins_give_the_same(name) -> None:
    folded = app.fold(build(model=name), None, with_user=False)
    twin = bridge.to_tf_keras(folded)
    given = {key: inputs()[key] for key in folded.input}
    np.testing.assert_allclose(twin(given), folded(given), atol=1e-5)


def test_the_wide_part_is_the_item_item_matrix() -> None:
    options = config(model="two_tower", wide=2.0, wide_penalty=3.0)
    model, given = build(model="two_tower"), inputs()
    plain = app.fold(model, None)
    joined = app.fold(model, app.item_item(options, protocol()))
    rows = networks.rows_of(
        given["history"], np.ones((5, LENGTH), np.float32), NUM_ITEMS + 1
    )
    added = rows @ app.item_item(options, protocol())
    np.testing.assert_allclose(joined(given) - plain(given), added, atol=1e-5)


def test_a_query_does_not_know_the_future() -> None:
    model, given = build(model="sequential"), inputs()
    before = model(given).numpy()
    given["history"][:, -1] = 5
    after = model(given).numpy()
    assert np.array_equal(before[:, :-1], after[:, :-1])
    assert not np.allclose(before[:, -1], after[:, -1])


def test_dropout_leaves_items_out_and_keeps_padding_silent() -> None:
    bag = networks.Bag(NUM_ITEMS, 4, dropout=0.5)
    history = np.array([[1, 2, 3, 4]])
    plain, padded = bag(history), bag(np.array([[0, 0, 1, 2, 3, 4]]))
    np.testing.assert_allclose(plain, padded, atol=1e-6)
    sums = [bag(history, training=True).numpy() for _ in range(5)]
    assert len({array.tobytes() for array in sums}) > 1
    assert not bag(np.zeros((1, 4), np.int32)).numpy().any()


def test_looking_up_is_the_product_with_rows(monkeypatch) -> None:
    model, given = build(model="mf"), inputs()
    before = model(given)
    monkeypatch.setattr(networks, "DENSE_ITEMS", 1)
    np.testing.assert_allclose(model(given), before, atol=1e-6)


def test_the_loss_is_the_cross_entropy_of_real_targets() -> None:
    model, given = build(model="mf"), inputs(2)
    targets = np.array([[3, 0, 5], [0, 0, 7]])
    queries = model(given)
    logs = tf.nn.log_softmax(model.items.scores(queries)).numpy()
    expected = -((logs[0, 3] + logs[0, 5]) / 2 + logs[1, 7]) / 2
    loss = model.compute_loss(y=targets, y_pred=queries)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_loss_at_every_place_leaves_padding_out() -> None:
    model, given = build(model="sequential"), inputs(2)
    targets = np.zeros((2, LENGTH), np.int32)
    targets[1, -1] = 7
    queries = model(given)
    logs = tf.nn.log_softmax(model.items.scores(queries)).numpy()
    loss = model.compute_loss(y=targets, y_pred=queries)
    assert float(loss) == pytest.approx(-logs[1, -1, 7], rel=1e-5)
    last = model.compute_loss(y=targets, y_pred=queries, training=False)
    assert float(last) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("name", networks.MODELS)
def test_sampled_softmax_is_corrected_for_popularity(name) -> None:
    # With all items in the pool, as often as expected, it is the whole sum.
    model, given = build(model=name, softmax="sampled"), inputs(NUM_USERS)
    num = LENGTH if name == "sequential" else NUM_ITEMS
    targets = np.resize(np.arange(1, NUM_ITEMS + 1), (NUM_USERS, num))
    counts = np.bincount(targets.ravel(), minlength=NUM_ITEMS + 1)
    model._chance = (counts / targets.size).astype(np.float32)
    # The padding, which is never sampled, out of the way.
    bias = model.items.bias.numpy()
    bias[0] = -1e9
    model.items.bias.assign(bias)
    queries = model(given)
    queries = queries if name == "sequential" else queries[:, None]
    np.testing.assert_allclose(
        model._sampled(queries, targets), model._full(queries, targets),
        rtol=1e-4,
    )  # fmt: skip


def test_softmax_is_sampled_for_large_catalogues(monkeypatch) -> None:
    assert build().settings.full_softmax
    assert not build(softmax="sampled").settings.full_softmax
    monkeypatch.setattr(networks, "DENSE_ITEMS", 5)
    assert not build().settings.full_softmax
    assert build(softmax="full").settings.full_softmax


def test_no_vectors_of_users_at_a_user_dropout_of_one() -> None:
    assert build(model="mf").users is not None
    assert build(model="mf", user_dropout=1.0).users is None


def test_item_features_move_the_vectors() -> None:
    model = build(model="two_tower")
    before = model.items(np.array([3])).numpy()
    model.items.kernel.assign(model.items.kernel + 1.0)
    moved = protocol().data.catalogue.features[3].sum()
    after = model.items(np.array([3])).numpy()
    np.testing.assert_allclose(after, before + moved, atol=1e-5)
    assert build(model="sequential").items.kernel is None


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_phones_file_leaves_out_what_was_seen(name) -> None:
    data = protocol()
    folded = app.fold(build(), None, with_user=False)
    twin = bridge.to_tf_keras(folded, check=False)
    histories = data.test.history.padded(np.arange(NUM_USERS), 12)
    (variant,) = (
        variant for variant in variants.parse((name,)) if variant.name == name
    )
    content = conversion.convert(
        twin, variant, {"history": histories}, ["indices", "scores"],
        mobile.INT8, wrap=lambda twin: mobile.answer(twin, LENGTH),
    )  # fmt: skip
    runner = litert.Runner(content)
    lists = runner(history=histories)
    assert lists["indices"].dtype == np.int32
    assert lists["indices"].shape == (NUM_USERS, quality.LENGTH)
    for row, seen in zip(lists["indices"], histories, strict=True):
        # 20 of the 21 unseen: the last may tie with the lowest in int8.
        assert len(set(row) & set(seen)) <= (name == "int8")
    if name == "float32":
        expected = app.evaluate(folded, data.test)
        assert np.array_equal(lists["indices"], expected)
    assert not any("Flex" in name for name in litert.ops(content))


def test_the_item_item_matrix_needs_a_small_catalogue(monkeypatch) -> None:
    assert app.item_item(config(wide=0.0), protocol()) is None
    monkeypatch.setattr(baselines, "MAX_ITEMS", 5)
    with pytest.raises(InputError, match=r"--wide must be 0 for more than 5"):
        app.item_item(config(wide=1.0), protocol())


def test_leading_directions_are_added_to_the_item_item_matrix() -> None:
    plain, more = (
        app.item_item(config(wide=1.0, wide_rank=rank), protocol())
        for rank in (0, 2)
    )
    assert np.linalg.matrix_rank(more - plain, tol=1e-4) == 2


def test_weights_but_no_biases_decay() -> None:
    options = config(weight_decay=0.5)
    model = app.make_model(options, protocol())
    optimizer = model.optimizer
    assert optimizer.weight_decay == 0.5
    assert optimizer._use_weight_decay(model.items.embeddings)
    assert not optimizer._use_weight_decay(model.items.bias)
    assert app.make_model(config(), protocol()).optimizer.weight_decay is None


def test_the_item_item_matrix_is_made_once_a_fit(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FitError(Exception):
        """Ends the run where the network would be fitted."""

    def fit(*args, **kwargs) -> None:
        raise FitError

    made: list[int] = []
    make = linear.item_item
    monkeypatch.setattr(
        linear, "item_item", lambda *args: made.append(1) or make(*args)
    )
    monkeypatch.setattr(protocol_fit, "fit", fit)
    options = config(
        dataset="tastes", wide=1.0, variants=("float32",),
        export_dir=str(tmp_path / "out"), work_dir=str(tmp_path / "work"),
    )  # fmt: skip
    with pytest.raises(FitError):
        app.run(options)
    assert len(made) == 1
