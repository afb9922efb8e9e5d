"""The network, its batches, its word vectors and its linear path."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.text_sentiment import (
    batches,
    corpus,
    data,
    linear,
    results,
    self_training,
    vectors,
)
from apps.text_sentiment import model as networks
from common import variants
from common.data.splits import MemorySplit
from common.keras2 import bridge
from common.mobile import conversion, litert

SIZES = {"embedding_dim": 8, "units": 6}
RNG = np.random.default_rng(0)


def ids(num: int = 4, length: int = 12) -> np.ndarray:
    """Returns texts of several lengths, padded at their ends."""
    rows = RNG.integers(2, 50, (num, length)).astype(np.int32)
    for row in range(num):
        rows[row, 3 + 2 * row :] = 0
    return rows


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "mean_max", "num_pairs": 97},
        {"pooling": "mean"},
        {"pooling": "last", "bidirectional": True},
        {"pooling": "max", "bidirectional": True, "num_layers": 2},
    ],
    ids=str,
)
def test_padding_changes_nothing(changes: dict) -> None:
    model = networks.build(50, 3, dropout=0.2, **SIZES, **changes)
    if "num_pairs" in changes:
        networks.set_tables(
            model, RNG.normal(size=(50, 3)), RNG.normal(size=(97, 3))
        )
    short = ids()
    output = model(short).numpy()
    other = model(np.pad(short, ((0, 0), (0, 30)))).numpy()
    np.testing.assert_allclose(output, other, atol=1e-6)
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)
    alone = [model(short[i : i + 1, : 3 + 2 * i])[0] for i in range(4)]
    np.testing.assert_allclose(output, alone, atol=1e-6)


def test_the_last_state_of_a_backward_lstm_is_that_of_the_first_word() -> None:
    model = networks.build(50, 2, pooling="last", bidirectional=True, **SIZES)
    text = np.array([[5, 6, 7, 0]], np.int32)
    features = model.get_layer("logits").input
    read = keras.Model(model.input, features)(text).numpy()[0]
    embedded = model.get_layer("embedding")(text[:, :3])
    forward = model.get_layer("lstm_1")(embedded).numpy()[0, -1]
    back = model.get_layer("lstm_1_backward")(embedded[:, ::-1]).numpy()[0, -1]
    np.testing.assert_allclose(read, [*forward, *back], atol=1e-6)


def test_batches_are_cut_to_their_longest_text_and_words_dropped() -> None:
    rows = np.zeros((3, 80), np.int32)
    rows[0, :17], rows[1, :5] = 7, 7
    seed = tf.constant([1, 2], tf.int64)
    cut, targets = batches.for_training(2, 0.0)(rows, [1, 0, 1], seed)
    assert cut.shape == (3, 20)
    np.testing.assert_array_equal(targets, [[0, 1], [1, 0], [0, 1]])
    dropped, _ = batches.for_training(2, 0.5)(rows, [1, 0, 1], seed)
    counts = np.bincount(dropped.numpy().ravel(), minlength=8)
    assert counts[0] == np.sum(cut == 0)  # Padding stays padding.
    assert 3 < counts[1] < 19 and counts[1] + counts[7] == 22
    again, _ = batches.for_training(2, 0.5)(rows, [1, 0, 1], seed)
    np.testing.assert_array_equal(dropped, again)


def test_evaluation_batches_hold_every_text_once() -> None:
    split = MemorySplit(ids(7, 20), np.arange(7))
    seen = []
    for places, rows in batches.by_length(split):
        seen += places.tolist()
        np.testing.assert_array_equal(
            rows, split.features[places, : rows.shape[1]]
        )
        assert not split.features[places, rows.shape[1] :].any()
    assert sorted(seen) == list(range(7))


def test_words_of_the_same_company_get_like_vectors() -> None:
    # 2 and 3 stand between the same words, 4 and 5 between others.
    texts = [[6, 7, w, 8, 9] for w in (2, 3)] * 30
    texts += [[10, 11, w, 12, 13] for w in (4, 5)] * 30 + [[1, 1]]
    learnt = vectors.learn(texts, 14, 6, seed=0)
    assert learnt.shape == (14, 6) and not learnt[:2].any()

    def likeness(a: int, b: int) -> float:
        x, y = learnt[a], learnt[b]
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    assert likeness(2, 3) > 0.9 and likeness(4, 5) > 0.9
    assert likeness(2, 4) < 0.5
    np.testing.assert_array_equal(learnt, vectors.learn(texts, 14, 6, seed=0))
    assert vectors.learn(texts, 14, 20, seed=0).shape == (14, 20)


def test_pairs_are_hashed_alike_everywhere_and_within_int32() -> None:
    for num_words in (10, 30_000, 1_000_000):
        rows = np.array([[2, 3, 2, 3], [num_words - 1] * 4], np.int32)
        pairs = np.asarray(networks.pair_ids(rows, num_words, 1009))
        factor = (2**31 - 1) // num_words - 1
        before = np.pad(rows[:, :-1], ((0, 0), (1, 0))).astype(np.int64)
        np.testing.assert_array_equal(pairs, (before * factor + rows) % 1009)
        assert pairs[0, 1] == pairs[0, 3]  # The same pair twice.


def of_ids(
    rows: np.ndarray, labels: np.ndarray, num_classes: int
) -> data.TextSplits:
    """Returns splits whose texts are all the same, unlabelled ones too."""
    lengths = np.count_nonzero(rows, axis=1)
    texts = [f"word{index}" for index in range(6)]
    classes = tuple(map(str, range(num_classes)))
    split = corpus.Texts(texts, np.arange(6) % num_classes)
    known = corpus.Corpus(
        "ids", classes, dict.fromkeys(("train", "valid", "test"), split)
    )
    split = MemorySplit(rows, labels, lengths)
    return dataclasses.replace(
        data.tokenize(known, 8, rows.shape[1]),
        train=split, valid=split, test=split, unlabelled=rows[::-1],
    )  # fmt: skip


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_linear_path_adds_what_pairs_tell(num_classes: int) -> None:
    # The label is in the pair alone: which word follows which.
    labels = RNG.integers(0, num_classes, 300)
    rows = np.full((300, 6), 0, np.int32)
    rows[:, 0] = RNG.integers(2, 8, 300)
    rows[:, 1] = 2 + (rows[:, 0] - 2 + labels) % 6
    splits = of_ids(rows, labels, num_classes)
    tables = linear.fit(splits, 1009)
    model = networks.build(8, num_classes, num_pairs=1009, **SIZES)
    networks.set_tables(model, tables.words, tables.pairs)
    logits = keras.Model(model.input, model.get_layer("joined").output)
    outputs = logits(rows).numpy()
    assert np.mean(outputs.argmax(axis=1) == labels) > 0.95
    alone = keras.Model(model.input, model.get_layer("logits").output)(rows)
    np.testing.assert_allclose(
        outputs - alone.numpy(), linear.log_odds(rows, tables), atol=1e-4
    )


def test_unlabelled_texts_are_taught_as_the_linear_path_sees_them() -> None:
    labels = np.array([0, 1, 2] * 20)
    rows = np.zeros((60, 4), np.int32)
    rows[:, 0], rows[::2, 1] = 2 + labels, 6
    splits = of_ids(rows, labels, 3)
    taught = self_training.teach(splits, linear.fit(splits, 101)).train
    assert taught.num_examples == 120 and taught.labels.dtype == np.float32
    np.testing.assert_array_equal(taught.labels[:60], np.eye(3)[labels])
    soft_labels = taught.labels[60:]
    assert (
        soft_labels.argmax(axis=1) == labels[::-1]
    ).all() and soft_labels.max() < 1
    np.testing.assert_array_equal(taught.features[60:], rows[::-1])
    np.testing.assert_array_equal(
        taught.lengths[60:], splits.train.lengths[::-1]
    )
    transform = batches.for_training(3, 0.0)
    _, targets = transform(rows, taught.labels[:60], tf.constant([1, 2]))
    np.testing.assert_array_equal(targets, taught.labels[:60])
    none = dataclasses.replace(splits, unlabelled=rows[:0])
    assert self_training.teach(none, linear.fit(none, 101)) is none


def test_int8_is_as_right_on_short_texts_as_on_long_ones() -> None:
    rng = np.random.default_rng(0)
    model = networks.build(50, 2, num_pairs=11, **SIZES)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    (int8,) = variants.parse(["int8"])[1:]
    twin = bridge.to_tf_keras(model)
    long = rng.integers(2, 50, (30, 200)).astype(np.int32)
    short = np.where(np.arange(200) < 5, long, 0)
    content = conversion.convert(
        twin, int8, {"token_ids": long}, ("p",), results._int8([twin])
    )
    # The sum of 200 words in 256 steps is too coarse for that of five words.
    for rows in (short, long[:, ::-1]):
        outputs = litert.Runner(content)(token_ids=rows)["p"]
        odds = [np.log(p[:, 1] / p[:, 0]) for p in (outputs, model(rows))]
        spread = np.std(odds[1])
        assert np.abs(odds[0] - odds[1]).mean() < 0.05 * spread


def test_metrics_of_each_class_and_of_all() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    figures = results.measure(probabilities, np.array([0, 0, 1, 1]))
    assert figures["accuracy"] == 0.75
    assert figures["roc_auc"] == 0.75
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_long_text_is_shown_by_its_ends() -> None:
    assert results.shorten("a\nb   c") == "a b c"
    line = results.shorten("x" * 500 + "end", 90)
    assert len(line) <= 95 and line.endswith("end") and "…" in line


def test_an_lstm_that_is_too_sure_is_scaled_down() -> None:
    labels = RNG.integers(0, 2, 500)
    truth = np.stack([1 - 2 * labels, 2 * labels - 1], axis=1)
    noisy = truth + RNG.normal(size=(500, 2))
    other = truth + RNG.normal(size=(500, 2))
    shares = linear._best_shares(5 * noisy, other, labels)
    assert shares[0] < 0.5 and shares[1] > 0.4
    model = networks.build(8, 2, num_pairs=11, **SIZES)
    layer = model.get_layer("logits")
    before = layer.get_weights()[0].copy()
    networks.scale_logits(model, shares[0])
    np.testing.assert_allclose(layer.get_weights()[0], shares[0] * before)
