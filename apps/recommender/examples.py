"""Training examples: windows of the users' lists, cut in the pipeline.

A split holds only where a window ends, so that ten million interactions fit in
memory; `transform` cuts the windows of a batch.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import MemorySplit

from .interactions import PADDING, Ragged
from .protocols import Task

# What is predicted: the next item at every place of a window, the item after
# the window, or all items of the user from a part of them.
MODES = ("sequence", "next", "set")


def mode_of(model: str, protocol: str) -> str:
    """Returns the mode of training examples, one of `MODES`.

    Args:
        model: See `Config.model`.
        protocol: See `Config.protocol`; the order of items is no help in a
            random split.
    """
    if model == "sequential":
        return "sequence"
    return "next" if protocol == "leave_last_out" else "set"


def training(lists: Ragged, mode: str, length: int) -> MemorySplit:
    """Returns the windows of the users' lists.

    Args:
        lists: The items to train on.
        mode: One of `MODES`.
        length: The length of a history.

    Returns:
        Features `user`, `start` (of the user's list) and `end` (of the
        window), `(num,) int64`; labels are the items before `end`.
    """
    starts, ends = lists.offsets[:-1], lists.offsets[1:]
    least = 1 if mode == "set" else 2  # A history and a target.
    users = np.flatnonzero(ends - starts >= least)
    if mode == "next":
        end = np.arange(1, len(lists.values) + 1)
        rows = lists.rows
        keep = end - starts[rows] >= least
        end, rows = end[keep], rows[keep]
    elif mode == "set":
        rows, end = users, ends[users]
    else:
        num = -(-(ends[users] - starts[users] - 1) // length)
        rows = np.repeat(users, num)
        first = np.repeat(np.cumsum(num) - num, num)
        end = ends[rows] - (np.arange(len(rows)) - first) * length
    features = {"user": rows, "start": starts[rows], "end": end}
    return MemorySplit(
        {name: values.astype(np.int64) for name, values in features.items()},
        lists.values[end - 1],
    )


def transform(
    lists: Ragged, mode: str, length: int, user_dropout: float = 0.0
) -> pipelines.TrainingTransform:
    """Returns the transform from windows to inputs and targets.

    Args:
        lists: The items to train on.
        mode: One of `MODES`.
        length: The length of a history.
        user_dropout: The part of examples whose user is made unknown, so that
            unknown users are served as well.
    """
    with tf.device("CPU"):
        values = tf.constant(lists.values)
        offsets = tf.constant(lists.offsets)

    def cut(features: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        end, start = features["end"], features["start"]
        if mode == "sequence":
            # Each epoch cuts windows at other places; a list's last stays.
            last = tf.gather(offsets, features["user"] + 1)
            shift = tf.random.stateless_uniform(
                tf.shape(end), seed, 0, length, tf.int64
            )
            end = tf.minimum(end + shift, last)
        window = _window(values, start, end, length + (mode != "set"))
        known = tf.random.stateless_uniform(tf.shape(end), seed + 1)
        user = tf.where(known >= user_dropout, features["user"] + 1, 0)
        inputs = {"user": tf.cast(user, tf.int32)}
        if mode == "set":
            return {**inputs, "history": window}, window
        inputs["history"] = window[:, :-1]
        return inputs, window[:, 1:] if mode == "sequence" else window[:, -1:]

    return cut


def _window(values: Any, start: Any, end: Any, length: int) -> Any:
    """Returns the last `length` items before `end`, padding first."""
    position = end[:, None] + tf.range(-length, 0, dtype=tf.int64)
    inside = position >= start[:, None]
    items = tf.gather(values, tf.where(inside, position, 0))
    window = tf.where(inside, items, PADDING)
    return tf.ensure_shape(window, (None, length))


def evaluation(task: Task, mode: str, length: int) -> MemorySplit:
    """Returns the users of a task, for the validation loss of training.

    Returns:
        Features `user` and `history` as the model takes them; labels are the
        first target, at the last place.
    """
    history = task.history.padded(task.users, length)
    first = task.targets.values[task.targets.offsets[task.users]]
    labels = first[:, None]
    if mode == "sequence":
        labels = np.zeros_like(history)
        labels[:, -1] = first
    users = (task.users + 1).astype(np.int32)
    return MemorySplit({"user": users, "history": history}, labels)
