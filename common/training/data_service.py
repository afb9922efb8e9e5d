"""Training input prepared by other machines, with tf.data service.

The trainer decides which examples each batch has, as it does without the
service. The service's workers take these lists of indices in turn, read, decode
and augment the examples, and send the batches back in the order in which they
are done. So every example still comes once in an epoch, in the same batch and
with the same random numbers as without the service; only the order of the
batches is left to chance.
"""

import socket
from typing import Any

import numpy as np
import tensorflow as tf

from common.data import pipelines, replicas
from common.data.replicas import Replica
from common.data.splits import MemorySplit, Split
from common.options import InputError

CONNECT_SECONDS = 10.0


def check(address: str, split: Split) -> None:
    """Checks that a split can be read through the service.

    Args:
        address: The dispatcher, `grpc://host:port`.
        split: The training examples.

    Raises:
        InputError: If `address` is malformed, no dispatcher answers there, or
            the split cannot be read in any order.
    """
    kind, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if kind != "grpc" or not host or not port.isdecimal():
        raise InputError(
            "--data_service must be grpc://host:port, the address of a "
            f"dispatcher; received {address!r}."
        )
    if not isinstance(split, MemorySplit) and split.at is None:
        raise InputError(
            "--data_service needs examples that can be read in any order: "
            "files of your own, or data in memory; not a stream of TFRecords. "
            "Pass --pipeline=in_memory, or leave --data_service out."
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"--data_service must be where a dispatcher listens; {address} "
            f"does not answer: {error.strerror or error}. `python -m "
            "apps.data_service --port=5050` starts one."
        ) from None


def for_training(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    position: pipelines.Position,
    transform: pipelines.TrainingTransform,
    address: str,
    replica: Replica = replicas.ALONE,
) -> tf.data.Dataset:
    """Returns the batches of one epoch; see `pipelines.for_training`.

    The epoch is the one that `position` has at the time of the call, however
    often the data set is iterated.

    Args:
        split: The examples, which `check` has accepted.
        batch_size: Examples per batch, of all replicas together.
        seed: Fixes the batches and the transform's random numbers.
        position: The epoch and the first step.
        transform: Maps a batch and its own seed, `(2,)` int64, to the
            features and targets that the model is fitted to.
        address: The dispatcher, `grpc://host:port`.
        replica: Which part of every batch to return.

    Raises:
        InputError: If a batch cannot be shared equally among replicas.
    """
    replicas.check(batch_size, replica)
    epoch, step = (int(tensor) for tensor in position.read())
    key = pipelines.epoch_key(seed, epoch)
    rows = _places(split.num_examples, batch_size, replica)[step:]
    steps = np.arange(step, step + len(rows), dtype=np.int64)
    # A last batch that does not divide takes examples from the epoch's start.
    wrapped_places = (
        tf.range(split.num_examples + batch_size) % split.num_examples
    )
    order = tf.gather(pipelines.order(split, key, batch_size), wrapped_places)
    make = pipelines.maker(split, batch_size, transform, replica)

    def prepare(index: tf.Tensor, row: tf.Tensor) -> tuple[Any, ...]:
        places = tf.boolean_mask(row, row >= 0)
        examples = _read(split, tf.gather(order, places))
        batch = examples if replica.count == 1 else (places, examples)
        return make(key, index, batch)

    # The service shares the elements of the source out among its workers. Here
    # an element is a batch, so that no batch is divided.
    return (
        tf.data.Dataset.from_tensor_slices((steps, rows))
        .map(prepare, tf.data.AUTOTUNE)
        .apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, address
            )
        )
        .apply(tf.data.experimental.assert_cardinality(len(rows)))
        .prefetch(tf.data.AUTOTUNE)
    )


def _places(num: int, batch_size: int, replica: Replica) -> np.ndarray:
    """Returns the examples' places in the epoch, for each step of a replica.

    Args:
        num: The number of examples in the epoch.
        batch_size: Examples per batch, of all replicas together.
        replica: Which part of every batch to return.

    Returns:
        `(num_steps, examples_per_step)` int64. A smaller last step is filled up
        with -1. Places from `num` on stand for examples that come again; see
        `replicas.share`.
    """
    part = batch_size // replica.count
    filled = num + -(num % batch_size) % replica.count
    places = np.arange(replica.index, filled, replica.count, dtype=np.int64)
    rows = np.full((-(-len(places) // part), part), -1, np.int64)
    rows.reshape(-1)[: len(places)] = places
    return rows


def _read(split: Split, indices: tf.Tensor) -> Any:
    """Returns the examples at `indices`, `(num,)`.

    For a split in memory it returns the indices themselves:
    `pipelines.maker` gathers the examples.
    """
    if isinstance(split, MemorySplit):
        return indices
    at = split.at or (lambda index: index)
    examples = (
        tf.data.Dataset.from_tensor_slices(indices)
        .map(at)
        .map(split.parse, tf.data.AUTOTUNE)
        .batch(tf.size(indices, tf.int64))
    )
    return examples.get_single_element()
