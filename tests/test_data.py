import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from common.data import pipelines, splits, tfds_sets
from common.data.replicas import Replica
from common.data.splits import MemorySplit, StreamSplit
from common.options import InputError


def plain(features, labels):
    return features, labels


def noisy(features, labels, seed):
    noise = tf.random.stateless_uniform(tf.shape(features), seed)
    return features + noise, labels


def memory_split(num=23):
    return MemorySplit(
        np.arange(num, dtype=np.float32)[:, None], np.arange(num)
    )


def stream_split(num=23):
    def records(key):
        rows = tf.data.Dataset.range(num)
        return rows if key is None else splits.shuffle(rows, num, key)

    def parse(row):
        return tf.cast(row, tf.float32)[None], row

    return StreamSplit(num, (1,), records, parse)


SPLITS = pytest.mark.parametrize("split", [memory_split(), stream_split()])


def epoch(split, position, seed=0, batch=4):
    batches = pipelines.for_training(
        split, batch, seed=seed, position=position, transform=noisy
    )
    return list(batches.as_numpy_iterator())


def labels_of(batches):
    return np.concatenate([labels for _, labels in batches])


@SPLITS
def test_an_epoch_has_every_example_once_in_a_new_order(split) -> None:
    position = pipelines.Position()
    first = labels_of(epoch(split, position))
    position.set(1)
    second = labels_of(epoch(split, position))
    assert sorted(first) == sorted(second) == list(range(23))
    assert list(first) != list(range(23))
    assert list(first) != list(second)


@SPLITS
def test_the_order_is_a_function_of_seed_and_epoch(split) -> None:
    one, same, other = (
        epoch(split, pipelines.Position(3), seed) for seed in (0, 0, 1)
    )
    for (x, y), (u, v) in zip(one, same, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
    assert list(labels_of(one)) != list(labels_of(other))


@SPLITS
def test_an_epoch_continues_in_the_middle(split) -> None:
    whole = epoch(split, pipelines.Position(2, 0))
    rest = epoch(split, pipelines.Position(2, 4))
    assert len(rest) == 2
    for (x, y), (u, v) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


@SPLITS
def test_one_data_set_gives_the_epoch_that_the_position_says(split) -> None:
    position = pipelines.Position()
    batches = pipelines.for_training(
        split, 4, seed=0, position=position, transform=noisy
    )
    first = labels_of(batches.as_numpy_iterator())
    position.set(5)
    sixth = labels_of(batches.as_numpy_iterator())
    assert list(first) != list(sixth)
    assert list(sixth) == list(labels_of(epoch(split, pipelines.Position(5))))


@SPLITS
def test_evaluation_drops_nothing_and_keeps_the_order(split) -> None:
    batches = pipelines.for_evaluation(split, 10, transform=plain)
    rows = list(batches.as_numpy_iterator())
    assert [len(labels) for _, labels in rows] == [10, 10, 3]
    assert list(labels_of(rows)) == list(range(23))


@SPLITS
def test_pick_and_sample(split) -> None:
    picked = split.pick(np.array([7, 2, 19]))
    assert list(picked.labels) == [7, 2, 19]
    assert list(picked.features[:, 0]) == [7, 2, 19]
    sample = split.sample(5, seed=1)
    assert len(set(sample.labels)) == 5
    assert list(sample.labels) == list(split.sample(5, seed=1).labels)
    assert split.sample(100, seed=0).num_examples == 23


@pytest.mark.parametrize(
    ("pipeline", "kind"),
    [
        ("auto", MemorySplit),
        ("in_memory", MemorySplit),
        ("streaming", StreamSplit),
    ],
)
def test_the_pipeline_is_chosen(pipeline: str, kind: type) -> None:
    assert isinstance(splits.load(stream_split(), pipeline), kind)


def test_large_sets_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MAX_MEMORY_BYTES", 22)
    assert isinstance(splits.load(stream_split(), "auto"), StreamSplit)


class FakeBuilder:
    name = "fake"

    def __init__(self, *splits: str) -> None:
        self.info = type("Info", (), {"splits": dict.fromkeys(splits)})()


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (("train", "validation", "test"), ("train", "validation", "test")),
        (("train", "test"), ("train[:90%]", "train[90%:100%]", "test")),
        (
            ("train", "validation"),
            ("train[:90%]", "train[90%:100%]", "validation"),
        ),
        (("train",), ("train[:80%]", "train[80%:90%]", "train[90%:100%]")),
    ],
)
def test_missing_splits_are_carved_from_train(have, want) -> None:
    names = tfds_sets.split_names(FakeBuilder(*have))
    assert (names["train"], names["valid"], names["test"]) == want


def test_batches_of_like_length_are_random_and_resume_exactly() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1003)
    split = MemorySplit(
        np.arange(1003, dtype=np.float32)[:, None], np.arange(1003), lengths
    )
    position = pipelines.Position()
    first = epoch(split, position)
    assert sorted(labels_of(first)) == list(range(1003))
    spans = [np.ptp(lengths[labels]) for _, labels in first[:-1]]
    assert np.mean(spans) < 10  # Of random fours: about 60.
    means = [np.mean(lengths[labels]) for _, labels in first[:-1]]
    assert abs(np.corrcoef(means, np.arange(250))[0, 1]) < 0.2
    position.set(1)
    assert list(labels_of(epoch(split, position))) != list(labels_of(first))
    position.set(0, step=5)
    rest = epoch(split, position)
    for one, other in zip(rest, first[5:], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    few = split.pick(np.array([7, 3]))
    np.testing.assert_array_equal(few.lengths, lengths[[7, 3]])


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("num", [21, 23, 24])
@pytest.mark.parametrize("make", [memory_split, stream_split])
def test_replicas_share_the_batches_that_one_would_have(
    make, num, count
) -> None:
    split, position = make(num), pipelines.Position(epoch=1)
    alone = epoch(split, position)
    shares = [
        list(
            pipelines.for_training(
                split, 4, seed=0, position=position, transform=noisy,
                replica=Replica(index, count),
            ).as_numpy_iterator()
        )
        for index in range(count)
    ]  # fmt: skip
    assert {len(one) for one in shares} == {len(alone)}
    for step, (_, whole) in enumerate(alone):
        parts = [one[step] for one in shares]
        seen = np.concatenate([y[w > 0] for _, y, w in parts])
        assert sorted(seen) == sorted(whole)
        # The mean over replicas of their mean losses is the batch's mean.
        means = [np.mean(y * w) for _, y, w in parts]
        assert np.mean(means) == pytest.approx(whole.mean(), rel=1e-6)


def test_replicas_have_random_numbers_of_their_own() -> None:
    same = MemorySplit(np.zeros((8, 1), np.float32), np.zeros(8))
    first, second = (
        next(
            pipelines.for_training(
                same, 8, seed=0, position=pipelines.Position(), transform=noisy,
                replica=Replica(index, 2),
            ).as_numpy_iterator()
        )[0]
        for index in range(2)
    )  # fmt: skip
    assert not np.intersect1d(first, second).size


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("num", [4, 15, 23, 24, 25])
@pytest.mark.parametrize("make", [memory_split, stream_split])
def test_replicas_evaluate_every_example_once_in_as_many_batches(
    make, num, count
) -> None:
    shares = [
        list(
            pipelines.for_evaluation(
                make(num), 8, transform=plain,
                replica=Replica(index, count),
            ).as_numpy_iterator()
        )
        for index in range(count)
    ]  # fmt: skip
    assert len({len(one) for one in shares}) == 1
    seen = np.concatenate([labels_of(one) for one in shares])
    assert sorted(seen) == list(range(num))


def test_what_replicas_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match="a multiple of 3"):
        pipelines.for_training(
            memory_split(), 4, seed=0, position=pipelines.Position(),
            transform=noisy, replica=Replica(0, 3),
        )  # fmt: skip
    with pytest.raises(InputError, match="each of 4 devices; received 3"):
        pipelines.for_evaluation(
            memory_split(3), 8, transform=plain, replica=Replica(0, 4)
        )


def endless_split(at: bool) -> StreamSplit:
    """A billion images of 224 x 224: no array holds them."""
    num = 10**9

    def parse(index):
        image = tf.fill((224, 224, 3), tf.cast(index % 256, tf.uint8))
        return image, index

    return StreamSplit(
        num,
        (224, 224, 3),
        lambda key: tf.data.Dataset.range(num),
        parse,
        (lambda index: index) if at else None,
    )


@pytest.mark.parametrize("at", [False, True])
def test_only_what_was_asked_for_is_read_and_held(at: bool) -> None:
    split = endless_split(at)
    few = split.sample(8, seed=0)
    assert few.features.shape == (8, 224, 224, 3)
    picked = split.pick(np.array([300, 7, 300, 20]))
    assert list(picked.labels) == [300, 7, 300, 20]
    assert picked.features[:, 0, 0, 0].tolist() == [44, 7, 44, 20]


def test_records_are_reached_in_any_order_where_the_stream_can() -> None:
    split = endless_split(at=True)
    last = split.num_examples - 1
    assert list(split.pick(np.array([last, 5])).labels) == [last, 5]
    few = split.sample(20, seed=1).labels
    assert len(set(few)) == 20 and max(few) > 10**8


@pytest.mark.parametrize("at", [False, True])
def test_a_part_of_a_stream_is_a_stream(at: bool) -> None:
    part = endless_split(at).choose(np.array([3, 5, 9]))
    assert isinstance(part, StreamSplit) and part.num_examples == 3
    batches = pipelines.for_evaluation(part, 2, transform=plain)
    labels = [list(label) for _, label in batches.as_numpy_iterator()]
    assert labels == [[3, 5], [9]]


def test_batches_are_bounded_by_bytes() -> None:
    split = MemorySplit(np.zeros((9, 1024, 1024, 3), np.uint8), np.arange(9))
    for one in (
        split,
        dataclasses.replace(
            endless_split(True).choose(np.arange(9)),
            feature_shape=(1024, 1024, 3),
        ),
    ):
        batches = pipelines.for_evaluation(one, 500, transform=plain)
        sizes = [len(label) for _, label in batches.as_numpy_iterator()]
        # 12 MiB each as float32.
        assert sizes == [2, 2, 2, 2, 1]


def test_calibration_is_bounded_by_bytes(monkeypatch) -> None:
    monkeypatch.setattr(splits, "CALIBRATION_BYTES", 5 * 4 * 224 * 224 * 3)
    few = splits.for_calibration(endless_split(True), 500, seed=0)
    assert few.num_examples == 5
