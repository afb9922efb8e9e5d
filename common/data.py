"""Splits of a data set, and the two pipelines that read them.

A `Split` is held in memory (`MemorySplit`) or streamed from disk
(`StreamSplit`). Both give the same examples; `pipeline="auto"` picks by size.
`for_training` shuffles and transforms, `for_evaluation` drops nothing and
changes nothing. The order of training is a pure function of seed and epoch, so
a run that was killed continues with the batch it would have had next.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epy

from common.config import InputError

with epy.lazy_imports():
    import tensorflow as tf

# In-memory sets above this many bytes are streamed, if `pipeline` is "auto".
MAX_MEMORY_BYTES = 2 * 2**30
SHUFFLE_BUFFER = 10_000
PIPELINES = ("auto", "in_memory", "streaming")

# (features, labels, seed) -> (features, labels) of one batch, seed (2,) int64.
TrainingTransform = Callable[[Any, Any, Any], tuple[Any, Any]]
Transform = Callable[[Any, Any], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class MemorySplit:
    """Examples as arrays.

    Attributes:
        features: `(num_examples, ...)` array.
        labels: `(num_examples,)` int64 array.
    """

    features: np.ndarray
    labels: np.ndarray

    @property
    def num_examples(self) -> int:
        """The number of examples."""
        return len(self.labels)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one example's features."""
        return self.features.shape[1:]

    def sample(self, num: int, seed: int) -> "MemorySplit":
        """Returns `num` random examples, or all if there are fewer."""
        order = np.random.default_rng(seed).permutation(self.num_examples)
        return self.pick(order[:num])

    def pick(self, indices: np.ndarray) -> "MemorySplit":
        """Returns the examples at `indices`."""
        return MemorySplit(self.features[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class StreamSplit:
    """Examples read from disk each epoch, in bounded memory.

    Attributes:
        num_examples: The number of examples.
        feature_shape: The shape of one example's features.
        records: Gives the data set of raw records: in file order if its
            argument is None, else in an order that the scalar int64 seed fixes.
        parse: Makes `(features, label)` from one raw record.
    """

    num_examples: int
    feature_shape: tuple[int, ...]
    records: Callable[[Any], "tf.data.Dataset"]
    parse: Callable[..., tuple[Any, Any]]

    def sample(self, num: int, seed: int) -> MemorySplit:
        """Returns `num` random examples, or all if there are fewer."""
        few = self.records(tf.constant(seed, tf.int64)).take(num)
        return _to_memory(dataclasses.replace(self, records=lambda seed: few))

    def pick(self, indices: np.ndarray) -> MemorySplit:
        """Returns the examples at `indices`; reads the whole split."""
        order = np.argsort(indices)
        wanted = tf.constant(indices[order], tf.int64)
        rows = (
            self.records(None)
            .enumerate()
            .filter(lambda index, *row: tf.reduce_any(index == wanted))
            .map(lambda index, row: row)
        )
        found = _to_memory(dataclasses.replace(self, records=lambda seed: rows))
        return found.pick(np.argsort(order))


Split = MemorySplit | StreamSplit


@dataclasses.dataclass(frozen=True)
class Splits:
    """The three splits of a data set.

    Attributes:
        name: What the report calls the data set, e.g. `mnist/3.0.1`.
        class_names: The classes; a label is an index into it.
        train: For fitting weights.
        valid: For every choice: epochs, thresholds, settings.
        test: For reporting, once.
        notes: Repairs made while loading, for the user to read.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    valid: Split
    test: Split
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Returns the name and the sizes, as `report.json` has them."""
        return {
            "name": self.name,
            "train": self.train.num_examples,
            "valid": self.valid.num_examples,
            "test": self.test.num_examples,
        }


def load(split: StreamSplit, pipeline: str, itemsize: int = 1) -> Split:
    """Returns `split` in memory if it is small enough, else as it is.

    Args:
        split: A stream.
        pipeline: One of `PIPELINES`.
        itemsize: Bytes per element of the features.
    """
    size = split.num_examples * int(np.prod(split.feature_shape)) * itemsize
    if pipeline == "streaming" or (
        pipeline == "auto" and size > MAX_MEMORY_BYTES
    ):
        return split
    return _to_memory(split)


def _to_memory(split: StreamSplit) -> MemorySplit:
    """Reads a stream into arrays that are allocated once."""
    features, labels, start = None, np.empty(split.num_examples, np.int64), 0
    dataset = split.records(None).map(split.parse, tf.data.AUTOTUNE)
    for batch, label in dataset.batch(1024).prefetch(2).as_numpy_iterator():
        if features is None:
            shape = (split.num_examples, *batch.shape[1:])
            features = np.empty(shape, batch.dtype)
        features[start : start + len(label)] = batch
        labels[start : start + len(label)] = label
        start += len(label)
    if features is None:
        raise InputError("--dataset must have examples; a split has none.")
    return MemorySplit(features[:start], labels[:start])


class Position:
    """Where in training the pipeline is: the epoch and the step in it.

    `for_training` reads it when an epoch's iterator is made; set it before.
    """

    def __init__(self, epoch: int = 0, step: int = 0) -> None:
        with tf.device("CPU"):
            self._value = tf.Variable([epoch, step], dtype=tf.int64)

    def set(self, epoch: int, step: int = 0) -> None:
        """Moves to `step` of `epoch`."""
        self._value.assign([epoch, step])

    def read(self) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Returns the epoch and the step, scalar int64."""
        value = self._value.read_value()
        return value[0], value[1]


def for_training(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    position: Position,
    transform: TrainingTransform,
) -> "tf.data.Dataset":
    """Returns the batches of one epoch, shuffled and transformed.

    Iterating again gives the epoch that `position` then says, from its step on;
    the step must stay what it is now. The last batch may be smaller.

    Args:
        split: The examples.
        batch_size: Examples per batch.
        seed: Fixes the order and the transform's random numbers.
        position: The epoch and the first step.
        transform: Maps a batch and its own seed, `(2,)` int64, to the
            features and targets that the model is fitted to.
    """

    def epoch_batches(_: Any) -> tf.data.Dataset:
        epoch, step = position.read()
        key = tf.random.experimental.stateless_fold_in([seed, 0], epoch)
        batches = _shuffled(split, key).batch(batch_size).skip(step)
        return batches.enumerate(start=step).map(
            lambda index, batch: (
                tf.random.experimental.stateless_fold_in(key, index + 1),
                batch,
            )
        )

    gather = _gather(split)

    def examples(key: Any, batch: Any) -> tuple[Any, Any]:
        return transform(*gather(batch), key)

    # The epoch's order is made inside flat_map, so that every new iterator
    # reads the position afresh; the heavy work stays outside, in parallel.
    batches = tf.data.Dataset.from_tensors(0).flat_map(epoch_batches)
    remaining = num_steps(split, batch_size) - int(position.read()[1])
    return (
        batches.map(examples, tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(remaining))
        .prefetch(tf.data.AUTOTUNE)
    )


def for_evaluation(
    split: Split, batch_size: int, *, transform: Transform
) -> "tf.data.Dataset":
    """Returns every example once, in order, in batches.

    Args:
        split: The examples.
        batch_size: Examples per batch; the last one may be smaller.
        transform: Maps a batch to features and targets.
    """
    if isinstance(split, MemorySplit):
        records = tf.data.Dataset.range(split.num_examples)
    else:
        records = split.records(None).map(split.parse, tf.data.AUTOTUNE)
    gather = _gather(split)
    return (
        records.batch(batch_size)
        .map(lambda *batch: transform(*gather(batch)), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def shuffle(
    dataset: "tf.data.Dataset", buffer_size: int, seed: "tf.Tensor"
) -> "tf.data.Dataset":
    """Returns `dataset` shuffled by a seed that is a tensor.

    `tf.data.Dataset.shuffle` refuses a symbolic seed; the op below it does not.

    Args:
        dataset: The elements.
        buffer_size: How many wait at a time.
        seed: Scalar int64.
    """
    spec = dataset.element_spec
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer_size,
        seed=seed,
        seed2=1,  # Two zeros would mean a random seed.
        output_types=tf.nest.flatten(
            tf.nest.map_structure(lambda one: one.dtype, spec)
        ),
        output_shapes=tf.nest.flatten(
            tf.nest.map_structure(lambda one: one.shape, spec)
        ),
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, spec)


def num_steps(split: Split, batch_size: int) -> int:
    """Returns the number of batches in an epoch."""
    return -(-split.num_examples // batch_size)


def _shuffled(split: Split, key: "tf.Tensor") -> "tf.data.Dataset":
    """Returns indices or parsed examples in the order that `key` fixes."""
    if isinstance(split, MemorySplit):
        indices = tf.range(split.num_examples, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(indices, seed=key)
        return tf.data.Dataset.from_tensor_slices(order)
    return split.records(key[0]).map(split.parse, tf.data.AUTOTUNE)


def _gather(split: Split) -> Callable[[Any], tuple[Any, Any]]:
    """Returns the function from a batch of records to features and labels."""
    if isinstance(split, StreamSplit):
        return lambda batch: batch
    with tf.device("CPU"):
        features = tf.constant(split.features)
        labels = tf.constant(split.labels)

    def gather(batch: Any) -> tuple[Any, Any]:
        indices = batch[0] if isinstance(batch, tuple) else batch
        return tf.gather(features, indices), tf.gather(labels, indices)

    return gather
