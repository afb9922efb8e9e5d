"""Splits of a data set, and the two pipelines that read them.

A `Split` is held in memory (`MemorySplit`) or streamed from disk
(`StreamSplit`). Both give the same examples; `pipeline="auto"` picks by size.
`for_training` shuffles and transforms, `for_evaluation` drops nothing and
changes nothing. The order of training is a pure function of seed and epoch, so
a run that was killed continues with the batch it would have had next.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from . import replicas
from .replicas import ALONE, Replica
from .splits import MemorySplit, Split, Splits, StreamSplit, within

__all__ = [
    "MemorySplit",
    "Position",
    "Replica",
    "Split",
    "Splits",
    "StreamSplit",
    "for_evaluation",
    "for_training",
    "num_steps",
]

MEMORY_CALLS = 2  # Batches prepared at a time, in memory.
# Batches prepared ahead in evaluation: by default tf.data takes up to half of
# the machine's memory for them.
PREPARED = 2
# The most bytes of batches prepared ahead in training on a stream.
PREPARED_BYTES = 64 * 2**20
LENGTH_WINDOW = 50  # Batches sorted by length at a time.

# (features, labels, seed) -> (features, labels) of one batch, seed (2,) int64.
TrainingTransform = Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]
Transform = Callable[[Any, Any], tuple[Any, Any]]


class Position:
    """The pipeline's place in training: the epoch and the step in it.

    `for_training` reads it when an epoch's iterator is made; set it before
    that.
    """

    def __init__(self, epoch: int = 0, step: int = 0) -> None:
        with tf.device("CPU"):
            self._value = tf.Variable([epoch, step], dtype=tf.int64)

    def set(self, epoch: int, step: int = 0) -> None:
        """Moves to `step` of `epoch`."""
        self._value.assign([epoch, step])

    def read(self) -> tuple[tf.Tensor, tf.Tensor]:
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
    replica: Replica = ALONE,
) -> tf.data.Dataset:
    """Returns the batches of one epoch, shuffled and transformed.

    Each new iterator gives the epoch that `position` holds at that time, from
    its step on; the step must be the same as now. The last batch may be
    smaller. If a split has lengths, the examples of a batch have similar
    lengths.

    Several replicas share the batches that a single replica would have. Each
    replica gets its part of every batch, and weights `(part,)` float32. The
    weights are 1, except in a last batch that cannot be shared equally: there
    they make the mean of the replicas' mean losses equal to the mean over the
    batch's examples.

    Args:
        split: The examples.
        batch_size: Examples per batch, of all replicas together.
        seed: Fixes the order and the transform's random numbers.
        position: The epoch and the first step.
        transform: Maps a batch and its own seed, `(2,)` int64, to the
            features and targets that the model is fitted to.
        replica: The replica whose part of every batch is returned.

    Returns:
        A data set of features and targets and, for several replicas, weights.

    Raises:
        InputError: If a batch cannot be shared equally.
    """
    replicas.check(batch_size, replica)

    def epoch_batches(_: Any) -> tf.data.Dataset:
        epoch, step = position.read()
        key = epoch_key(seed, epoch)
        batches = _shuffled(split, key, batch_size, replica).skip(step)
        return batches.enumerate(start=step).map(
            lambda index, batch: (key, index, batch)
        )

    examples = maker(split, batch_size, transform, replica)
    # The epoch's order is made inside flat_map, so that every new iterator
    # reads the position afresh; the heavy work stays outside, in parallel.
    batches = tf.data.Dataset.from_tensors(0).flat_map(epoch_batches)
    remaining = num_steps(split, batch_size) - int(position.read()[1])
    in_memory = isinstance(split, MemorySplit)
    # In memory, autotuning has nothing to tune. Its thread sleeps for 10 ms,
    # 20 ms, 40 ms and so on, and can delay the end of an epoch until it wakes:
    # measured, epochs of 2.1 s took 2.56 or 5.12 s.
    parallel = MEMORY_CALLS if in_memory else tf.data.AUTOTUNE
    tuning = tf.data.Options()
    tuning.autotune.enabled = not in_memory
    tuning.autotune.ram_budget = PREPARED_BYTES
    return (
        batches.map(examples, parallel)
        .apply(tf.data.experimental.assert_cardinality(remaining))
        .prefetch(parallel)
        .with_options(tuning)
    )


def for_evaluation(
    split: Split,
    batch_size: int,
    *,
    transform: Transform,
    replica: Replica = ALONE,
) -> tf.data.Dataset:
    """Returns every example once, in order, in batches.

    Args:
        split: The examples.
        batch_size: The most examples per batch; there are fewer if examples are
            large, see `splits.within`. The last batch may be smaller.
        transform: Maps a batch to features and targets.
        replica: One of several replicas gets only every count-th example, in
            as many batches as the others.
    """
    records = (
        tf.data.Dataset.range(split.num_examples)
        if isinstance(split, MemorySplit)
        else split.records(None)
    )
    batch_size = within(split.example_bytes, batch_size)
    least = split.num_examples // replica.count
    if replica.count > 1:
        records = records.shard(replica.count, replica.index)
        batch_size = replicas.even_size(
            split.num_examples, batch_size, replica.count
        )
    if isinstance(split, StreamSplit):
        records = records.map(split.parse, tf.data.AUTOTUNE)
    gather = _gather(split)
    return (
        records.batch(batch_size)
        .map(lambda *batch: transform(*gather(batch)), PREPARED)
        .apply(tf.data.experimental.assert_cardinality(-(-least // batch_size)))
        .prefetch(PREPARED)
    )


def num_steps(split: Split, batch_size: int) -> int:
    """Returns the number of batches in an epoch."""
    return -(-split.num_examples // batch_size)


def epoch_key(seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Returns the seed of an epoch's order and random numbers, `(2,)` int64."""
    # The result depends on the dtype of the number that is folded in.
    number = tf.cast(epoch, tf.int64)
    return tf.random.experimental.stateless_fold_in([seed, 0], number)


def order(split: Split, key: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Returns the examples' indices in an epoch's order, `(num,)` int64.

    Args:
        split: The examples.
        key: The epoch's key; see `epoch_key`.
        batch_size: Examples per batch, for splits that have lengths.
    """
    indices = tf.range(split.num_examples, dtype=tf.int64)
    shuffled = tf.random.experimental.stateless_shuffle(indices, seed=key)
    if isinstance(split, StreamSplit) or split.lengths is None:
        return shuffled
    return _by_length(shuffled, tf.constant(split.lengths), key, batch_size)


def maker(
    split: Split,
    batch_size: int,
    transform: TrainingTransform,
    replica: Replica,
) -> Callable[[tf.Tensor, tf.Tensor, Any], tuple[Any, ...]]:
    """Returns the function that prepares a replica's part of a batch.

    Args:
        split: The examples.
        batch_size: Examples per batch, of all replicas together.
        transform: See `for_training`.
        replica: The replica whose part is prepared.

    Returns:
        A function of the epoch's key, the step and a batch of indices or
        examples; for several replicas, the batch also holds their places in
        the epoch, which come first. It returns features, targets and, for
        several replicas, weights.
    """
    gather = _gather(split)

    def make(key: tf.Tensor, step: tf.Tensor, batch: Any) -> tuple[Any, ...]:
        key = tf.random.experimental.stateless_fold_in(key, step + 1)
        if replica.count == 1:
            return transform(*gather(batch), key)
        places, own = batch
        key = tf.random.experimental.stateless_fold_in(key, replica.index)
        pair = transform(*gather(own), key)
        size = tf.minimum(split.num_examples - step * batch_size, batch_size)
        weights = replicas.weights(places, size, split.num_examples, replica)
        return *pair, weights

    return make


def _shuffled(
    split: Split, key: tf.Tensor, batch_size: int, replica: Replica
) -> tf.data.Dataset:
    """Returns batches of indices or of examples, in the order `key` fixes.

    If there are several replicas, a batch is a replica's part of it: first the
    places of its examples in the epoch, then the examples.
    """
    if isinstance(split, StreamSplit):
        records = split.records(key)
    else:
        indices = order(split, key, batch_size)
        records = tf.data.Dataset.from_tensor_slices(indices)
    if replica.count > 1:
        records = replicas.share(
            records, split.num_examples, batch_size, replica
        )
        batch_size //= replica.count
    if isinstance(split, StreamSplit):
        records = records.map(_parse(split, replica), tf.data.AUTOTUNE)
    return records.batch(batch_size)


def _parse(split: StreamSplit, replica: Replica) -> Callable[..., Any]:
    """Returns the parser of a record, or of a place and a record."""
    if replica.count == 1:
        return split.parse
    return lambda place, record: (
        place,
        split.parse(*record)
        if isinstance(record, tuple)
        else split.parse(record),
    )


def _by_length(
    order: tf.Tensor, lengths: tf.Tensor, key: tf.Tensor, batch_size: int
) -> tf.Tensor:
    """Returns `order` with examples of similar lengths in the same batch.

    It sorts within windows of `LENGTH_WINDOW` batches, and then shuffles the
    batches. An epoch thus stays random, except for which examples share a
    batch.
    """
    sizes = tf.cast(tf.gather(lengths, order), tf.int64)
    place = tf.range(tf.size(order, tf.int64), dtype=tf.int64)
    window = place // (LENGTH_WINDOW * batch_size)
    ranks = window * (tf.reduce_max(sizes) + 1) + sizes
    order = tf.gather(order, tf.argsort(ranks, stable=True))
    full = tf.size(order) // batch_size * batch_size
    batches = tf.reshape(order[:full], (-1, batch_size))
    # The key of the examples' order would make both shuffles depend on each
    # other.
    batch_key = tf.random.experimental.stateless_fold_in(key, 0)
    batches = tf.random.experimental.stateless_shuffle(batches, seed=batch_key)
    return tf.concat([tf.reshape(batches, (-1,)), order[full:]], axis=0)


def _gather(split: Split) -> Callable[[Any], tuple[Any, Any]]:
    """Returns the function from a batch of records to features and labels."""
    if isinstance(split, StreamSplit):
        return lambda batch: batch
    with tf.device("CPU"):
        features = tf.nest.map_structure(tf.constant, split.features)
        labels = tf.nest.map_structure(tf.constant, split.labels)

    def gather(batch: tf.Tensor | tuple) -> tuple[Any, Any]:
        indices = batch[0] if isinstance(batch, tuple) else batch
        return tf.nest.map_structure(
            lambda array: tf.gather(array, indices), (features, labels)
        )

    return gather
