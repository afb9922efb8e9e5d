"""Splits of a data set: in memory, or streamed from disk."""

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import tensorflow as tf

from common import console
from common.options import InputError

# In-memory sets above this many bytes are streamed, if `pipeline` is "auto".
MAX_MEMORY_BYTES = 2 * 2**30
PIPELINES = ("auto", "in_memory", "streaming")
# The part of the data that evaluates a release: the test split, or everything.
TEST, ALL = "test", "all"
# The most bytes of a batch, as float32, when no gradient is kept: the model's
# activations are many times as large.
BATCH_BYTES = 32 * 2**20
SHOWN_CLASSES = 20

# The most bytes, as float32, of the examples that give the ranges of int8.
CALIBRATION_BYTES = 64 * 2**20

# Which examples of a split: sorted indices, or all of them.
Rows = np.ndarray | slice


def for_calibration(split: "Split", most: int, seed: int) -> "MemorySplit":
    """Returns at most `most` random examples; fewer if they are large.

    Args:
        split: The examples to choose from.
        most: The largest number of examples to return.
        seed: Fixes the choice.
    """
    num = within(split.example_bytes, most, CALIBRATION_BYTES)
    return split.sample(num, seed)


def within(example_bytes: int, most: int, max_bytes: int = BATCH_BYTES) -> int:
    """Returns the number of examples to hold at a time: from 1 to `most`.

    Args:
        example_bytes: The bytes that an example takes.
        most: The largest number of examples to return.
        max_bytes: The bytes that all of them may take.
    """
    return max(1, min(most, max_bytes // max(1, example_bytes)))


@dataclasses.dataclass(frozen=True)
class MemorySplit:
    """Examples as arrays.

    Attributes:
        features: `(num_examples, ...)` array, or a dict of such by name for
            models of several inputs.
        labels: `(num_examples,)` int64 array of classes; for other tasks
            `(num_examples, ...)` targets, or a dict of such by name for models
            of several outputs.
        lengths: `(num_examples,)` integers, for sequences that are padded to
            one length: a training batch then holds sequences of similar
            lengths. None for other data.
    """

    features: Any  # An array, or a dict of arrays.
    labels: Any  # Likewise.
    lengths: np.ndarray | None = None

    def digest(self) -> int:
        """Returns a number that changes when the examples do."""
        checksum = 0
        for array in [*_arrays(self.labels), *_arrays(self.features)]:
            checksum = zlib.crc32(array.tobytes(), checksum)
        return checksum

    @property
    def num_examples(self) -> int:
        """The number of examples."""
        return len(_arrays(self.labels)[0])

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one example's features."""
        return self.features.shape[1:]

    @property
    def example_bytes(self) -> int:
        """The bytes that an example's features take as float32."""
        arrays = _arrays(self.features)
        return sum(4 * math.prod(array.shape[1:]) for array in arrays)

    def sample(self, num: int, seed: int) -> "MemorySplit":
        """Returns `num` random examples, or all if there are fewer."""
        order = np.random.default_rng(seed).permutation(self.num_examples)
        return self.pick(order[:num])

    def choose(self, rows: Rows) -> "MemorySplit":
        """Returns the examples of `rows`, as a split of the same kind."""
        return self.pick(rows)

    def pick(self, indices: Rows) -> "MemorySplit":
        """Returns the examples at `indices`."""
        lengths = None if self.lengths is None else self.lengths[indices]
        return MemorySplit(
            _pick(self.features, indices), _pick(self.labels, indices), lengths
        )


def _arrays(part: Any) -> list[np.ndarray]:
    """Returns the arrays of features or labels."""
    return list(part.values()) if isinstance(part, dict) else [part]


def _pick(part: Any, indices: Rows) -> Any:
    """Returns features or labels at `indices`."""
    if isinstance(part, dict):
        return {name: array[indices] for name, array in part.items()}
    return part[indices]


@dataclasses.dataclass(frozen=True)
class StreamSplit:
    """Examples read from disk each epoch, in bounded memory.

    Attributes:
        num_examples: The number of examples.
        feature_shape: The shape of one example's features.
        records: Returns the data set of raw records. The order is that of the
            files if its argument is None, else it is fixed by this key, `(2,)`
            int64.
        parse: Returns `(features, label)` of one raw record.
        at: Returns the raw record at an index, scalar int64; None if records
            cannot be read in any order.
        labels: `(num_examples,)` int64 array of classes, if they are known
            before the examples are read.
    """

    num_examples: int
    feature_shape: tuple[int, ...]
    records: Callable[[tf.Tensor | None], tf.data.Dataset]
    parse: Callable[..., tuple[Any, Any]]
    at: Callable[[tf.Tensor], Any] | None = None
    labels: np.ndarray | None = None

    def digest(self) -> int:
        """Returns a number that changes when the number of examples does.

        The examples themselves are not read: that would take an epoch.
        """
        return zlib.crc32(
            repr((self.num_examples, self.feature_shape)).encode()
        )

    @property
    def example_bytes(self) -> int:
        """The bytes that an example's features take as float32."""
        return 4 * math.prod(self.feature_shape)

    def sample(self, num: int, seed: int) -> MemorySplit:
        """Returns `num` random examples, or all if there are fewer."""
        num = min(num, self.num_examples)
        if self.at:
            generator = np.random.default_rng(seed)
            return self.pick(
                generator.choice(self.num_examples, num, replace=False)
            )
        records = self.records(tf.constant([seed, 1], tf.int64)).take(num)
        return _to_memory(records, self, num)

    def choose(self, rows: Rows) -> "StreamSplit":
        """Returns the examples of `rows`, as a stream.

        If records cannot be read in any order, all records from the first to
        the last of `rows` are read.
        """
        if isinstance(rows, slice):
            rows = np.arange(self.num_examples)[rows]
        wanted, at = np.sort(rows), self.at
        last = int(wanted[-1]) if len(wanted) else -1

        def records(key: tf.Tensor | None) -> tf.data.Dataset:
            if at:
                return tf.data.Dataset.from_tensor_slices(wanted).map(at)
            places = tf.constant(wanted, tf.int64)
            return (
                self.records(None)
                .take(last + 1)
                .enumerate()
                .filter(lambda index, *_: tf.reduce_any(index == places))
                .map(lambda index, record: record)
            )

        return StreamSplit(len(wanted), self.feature_shape, records, self.parse)

    def pick(self, indices: np.ndarray) -> MemorySplit:
        """Returns the examples at `indices`; see `choose`."""
        rows, places = np.unique(indices, return_inverse=True)
        part = self.choose(rows)
        return _to_memory(part.records(None), part, len(rows)).pick(places)


Split = MemorySplit | StreamSplit


@dataclasses.dataclass(frozen=True)
class Splits:
    """The three splits of a data set.

    Attributes:
        name: What the report calls the data set, e.g. `mnist/3.0.1`.
        class_names: The classes; a label is an index into it.
        train: The examples for fitting weights.
        valid: The examples for every choice: epochs, thresholds, settings.
        test: The examples for the reported figures, which are used once.
        notes: Repairs made while loading, for the user to read.
        judged: The part of the data that `test` holds: `test`, or `all`; see
            `whole`.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    valid: Split
    test: Split
    notes: tuple[str, ...] = ()
    judged: str = TEST

    @classmethod
    def whole(
        cls,
        name: str,
        class_names: tuple[str, ...],
        examples: Split,
        notes: tuple[str, ...] = (),
        judged: str = ALL,
    ) -> Self:
        """Returns splits that evaluate a release: `test` holds all examples.

        The splits for training and validation are empty.

        Args:
            name: See `Splits`.
            class_names: The release's classes; some may have no example.
            examples: The examples to evaluate.
            notes: See `Splits`.
            judged: `TEST` if `examples` are the data's own test split.
        """
        shape = (0, *examples.feature_shape)
        empty: Any = MemorySplit(np.empty(shape, "f4"), np.empty(0, np.int64))
        test: Any = examples
        return cls(name, class_names, empty, empty, test, notes, judged)

    def digest(self) -> str:
        """Returns 8 hex digits that identify the classes and the examples."""
        splits = (self.train, self.valid, self.test)
        parts = [split.digest() for split in splits]
        return f"{zlib.crc32(repr((self.class_names, parts)).encode()):08x}"

    def announce(self) -> None:
        """Prints sizes, classes and notes, before anything is trained."""
        description = self.describe()
        sizes = ", ".join(
            f"{description[key]:,} {key}" for key in ("train", "valid", "test")
        )
        console.get().print(f"{self.name}: {sizes}")
        self._announce_classes()
        for note in self.notes:
            console.get().print(f"note: {note}")

    def _announce_classes(self) -> None:
        """Prints the classes, and the number of examples of each if known."""
        if not self.class_names:
            return
        counts = [""] * len(self.class_names)
        if self.train.labels is not None:  # Those of a TFDS stream come later.
            labels = self.train.labels.astype(np.int64)
            numbers = np.bincount(labels, minlength=len(counts))
            counts = [f" ({number:,})" for number in numbers]
        shown = [
            f"{name}{count}"
            for name, count in zip(self.class_names, counts, strict=True)
        ]
        if len(shown) > SHOWN_CLASSES:
            shown[SHOWN_CLASSES:] = [f"{len(counts) - SHOWN_CLASSES} more"]
        console.get().print(f"classes (train): {', '.join(shown)}")

    def describe(self) -> dict[str, Any]:
        """Returns the name and the sizes, as in `report.json`."""
        return {
            "name": self.name,
            "train": self.train.num_examples,
            "valid": self.valid.num_examples,
            "test": self.test.num_examples,
        }

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of examples by split and class.

        Splits whose labels are not known before they are read are left out; so
        are targets that are no classes.
        """
        counts, num_classes = {}, len(self.class_names)
        for split in ("train", "valid", "test"):
            labels = getattr(self, split).labels
            if num_classes and isinstance(labels, np.ndarray) and len(labels):
                if labels.ndim != 1 or labels.min() < 0:
                    return {}
                if labels.max() >= num_classes:
                    return {}
                numbers = np.bincount(
                    labels.astype(np.int64), None, num_classes
                )
                counts[split] = dict(
                    zip(self.class_names, numbers.tolist(), strict=True)
                )
        return counts


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
    return _to_memory(split.records(None), split, split.num_examples)


def _to_memory(
    records: tf.data.Dataset, split: StreamSplit, num: int
) -> MemorySplit:
    """Reads records of a split into arrays that are allocated once.

    Args:
        records: At most `num` raw records.
        split: The split whose `parse` reads the records.
        num: The number of examples to allocate.
    """
    features, labels, start = None, np.empty(num, np.int64), 0
    size = within(split.example_bytes, 1024)
    dataset = records.map(split.parse, tf.data.AUTOTUNE).batch(size)
    for batch, label in dataset.prefetch(1).as_numpy_iterator():
        if features is None:
            features = np.empty((num, *batch.shape[1:]), batch.dtype)
        features[start : start + len(label)] = batch
        labels[start : start + len(label)] = label
        start += len(label)
    if features is None:
        raise InputError(
            "--dataset must have examples; received an empty split."
        )
    return MemorySplit(features[:start], labels[:start])


def shuffle(
    dataset: tf.data.Dataset, buffer_size: int, key: tf.Tensor
) -> tf.data.Dataset:
    """Returns `dataset` shuffled by a key that is a tensor.

    `tf.data.Dataset.shuffle` refuses a symbolic seed; the operation that it
    calls accepts one.

    Args:
        dataset: The elements.
        buffer_size: The number of elements that wait at a time.
        key: The seed, `(2,)` int64.
    """
    spec = dataset.element_spec
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer_size,
        seed=key[0],
        seed2=2 * key[1] + 1,  # Odd: two zeros would mean a random seed.
        output_types=tf.nest.flatten(
            tf.nest.map_structure(lambda part: part.dtype, spec)
        ),
        output_shapes=tf.nest.flatten(
            tf.nest.map_structure(lambda part: part.shape, spec)
        ),
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, spec)
