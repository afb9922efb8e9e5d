"""Several copies of a model, and the examples that each copy gets.

Each copy gets every count-th example of a batch. Together the copies get the
same batches, in the same order, as a single model.
"""

import dataclasses

import tensorflow as tf

from common.options import InputError


@dataclasses.dataclass(frozen=True)
class Replica:
    """A copy of the model: its index, and the number of copies."""

    index: int = 0
    count: int = 1


ALONE = Replica()


def check(batch_size: int, replica: Replica) -> None:
    """Raises `InputError` if a batch cannot be shared equally."""
    if batch_size % replica.count:
        raise InputError(
            f"--batch_size must be a multiple of {replica.count}, the number "
            f"of devices that share a batch; received {batch_size}."
        )


def share(
    records: tf.data.Dataset,
    num_examples: int,
    batch_size: int,
    replica: Replica,
) -> tf.data.Dataset:
    """Returns a replica's part of an epoch: `(place in the epoch, record)`.

    A last batch that cannot be shared equally is filled up with repeated
    records, at places from `num_examples` on: all replicas must take part in
    every step.

    Args:
        records: The epoch's records, in order.
        num_examples: The number of examples in the epoch.
        batch_size: Examples per batch, of all replicas together.
        replica: The replica whose part is returned.
    """
    last = num_examples % batch_size
    repeated = records.take(-last % replica.count)
    numbered = records.concatenate(repeated).enumerate()
    return numbered.shard(replica.count, replica.index)


def weights(
    places: tf.Tensor, whole: tf.Tensor, num_examples: int, replica: Replica
) -> tf.Tensor:
    """Returns weights that make the mean of replicas' means the batch's mean.

    Args:
        places: The places in the epoch of a replica's part of a batch,
            `(part,)` int64.
        whole: The number of examples in the batch of all replicas, int64.
        num_examples: The number of examples in the epoch.
        replica: The replica whose part it is.

    Returns:
        `(part,)` float32. The weights are 1, except in a last batch that was
        filled up.
    """
    filled = tf.size(places, tf.int64) * replica.count
    weight = tf.cast(filled, tf.float32) / tf.cast(whole, tf.float32)
    return tf.where(places < num_examples, weight, 0.0)


def even_size(num_examples: int, batch_size: int, count: int) -> int:
    """Returns a batch size that gives `count` replicas equally many batches.

    The replicas' numbers of examples may differ by 1. No batch may be empty,
    since an empty batch has no mean.

    Args:
        num_examples: The number of examples of all replicas together.
        batch_size: Examples per batch, of all replicas together.
        count: The number of replicas.

    Raises:
        InputError: If there are fewer examples than replicas.
    """
    least, rest = divmod(num_examples, count)
    if not least:
        raise InputError(
            f"a split must have an example for each of {count} devices; "
            f"received {num_examples}."
        )
    size = -(-batch_size // count)
    while rest and least % size == 0:
        size += 1
    return size
