"""Training input prepared by other machines, with tf.data service.

The trainer decides which examples each batch has, as it does without the
service. The service's workers take these small lists in turn, read, decode and
augment, and send whole batches back, in whatever order they are done. So every
example still comes once in an epoch, in the batch and with the random numbers
that it would have; only the order of the batches is left to chance.
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
    """Raises `InputError` if a split cannot be read through the service."""
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
            "Pass --pipeline=in_memory, or leave it away."
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
    """Returns the batches of one epoch; see `data.for_training`.

    The epoch is the one that `position` says now, however often it is iterated.

    Args:
        split: The examples; see `check`.
        batch_size: Examples per batch, of all replicas together.
        seed: Fixes the batches and the transform's random numbers.
        position: The epoch and the first step.
        transform: See `data.for_training`.
        address: The dispatcher, `grpc://host:port`.
        replica: Which part of every batch to give.
    """
    replicas.check(batch_size, replica)
    epoch, step = (int(one) for one in position.read())
    key = pipelines.epoch_key(seed, epoch)
    rows = _places(split.num_examples, batch_size, replica)[step:]
    steps = np.arange(step, step + len(rows), dtype=np.int64)
    again = tf.range(split.num_examples + batch_size) % split.num_examples
    order = tf.gather(pipelines.order(split, key, batch_size), again)
    make = pipelines.maker(split, batch_size, transform, replica)

    def prepare(index: Any, row: Any) -> Any:
        places = tf.boolean_mask(row, row >= 0)
        own = _read(split, tf.gather(order, places))
        return make(key, index, own if replica.count == 1 else (places, own))

    # What the service shares out among its workers are elements of the source:
    # here whole batches, so that none is torn apart.
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
    """Returns the places in the epoch of each step's part, `(steps, part)`.

    Where the last part is smaller, -1 follows; see `replicas.share`.
    """
    part = batch_size // replica.count
    filled = num + -(num % batch_size) % replica.count
    own = np.arange(replica.index, filled, replica.count, dtype=np.int64)
    rows = np.full((-(-len(own) // part), part), -1, np.int64)
    rows.reshape(-1)[: len(own)] = own
    return rows


def _read(split: Split, indices: Any) -> Any:
    """Returns the examples at `indices`, or the indices of those in memory."""
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
