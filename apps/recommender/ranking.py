"""Ranking: the best unseen items of users, part by part of the catalogue."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.training import inference

from .interactions import PADDING
from .protocols import Task
from .quality import LENGTH

# A million items and 64 users: 16 parts of 16 MB.
ITEMS_AT_A_TIME = 65_536
USERS_AT_A_TIME = 64


class Ranker:
    """A folded model that gives lists.

    Attributes:
        length: The last items of a history that the model looks at.
        num_items: Padding not among them.
        has_user: Whether the model knows users.
    """

    def __init__(
        self, model: keras.Model, items_at_a_time: int = ITEMS_AT_A_TIME
    ) -> None:
        self.num_items = model.output_shape[-1] - 1
        self.length = model.input["history"].shape[1]
        self.has_user = "user" in model.input
        self._at_a_time = items_at_a_time
        self._model = model
        self._products = None
        if model.layers[-1].name == "products":
            # The last layer's product can be computed in parts.
            self._products = model.layers[-1]
            query = model.get_layer("query").output
            self._model = keras.Model(model.input, query)

    def __call__(
        self, history: Any, user: Any = None, k: int = LENGTH
    ) -> tuple[Any, Any]:
        """Returns the best items that are not in the history.

        Args:
            history: `(batch, any) int32`, padding first.
            user: `(batch,) int32`; 0 for unknown.
            k: The length of the lists.

        Returns:
            Items `(batch, k) int32`, best first, and scores; padding and -inf
            where there are no more.
        """
        inputs = {"history": fit(history, self.length)}
        if self.has_user:
            unknown = tf.zeros_like(history[:, 0])
            inputs["user"] = unknown if user is None else user
        found = self._model(inputs, training=False)
        parts = []
        for start in range(0, self.num_items + 1, self._at_a_time):
            stop = min(start + self._at_a_time, self.num_items + 1)
            scores = self._part(found, start, stop)
            parts.append(best(scores, history, start, k))
        items, scores = (
            tf.concat(one, axis=1) for one in zip(*parts, strict=True)
        )
        scores, order = tf.math.top_k(scores, min(k, self.num_items))
        return tf.gather(items, order, batch_dims=1), scores

    def _part(self, found: Any, start: int, stop: int) -> Any:
        """Returns the scores of some items."""
        if self._products is None:
            return found[:, start:stop]
        kernel = self._products.kernel[:, start:stop]
        return tf.matmul(found, kernel) + self._products.bias[start:stop]


def fit(history: Any, length: int) -> Any:
    """Returns the last `length` items, with more padding if need be."""
    missing = tf.maximum(length - tf.shape(history)[1], 0)
    padded = tf.pad(history, [[0, 0], [missing, 0]], constant_values=PADDING)
    return tf.ensure_shape(padded[:, -length:], (None, length))


def best(scores: Any, history: Any, start: int, k: int) -> tuple[Any, Any]:
    """Returns the best `k` of some items, those of the history left out."""
    size = scores.shape[1]
    batch, length = tf.unstack(tf.shape(history))
    row = tf.repeat(tf.range(batch), length)
    column = tf.reshape(history, [-1]) - start
    here = (column >= 0) & (column < size)
    indices = tf.boolean_mask(tf.stack([row, column], axis=1), here)
    low = tf.fill(tf.shape(indices)[:1], -np.inf)
    scores = tf.tensor_scatter_nd_update(scores, indices, low)
    if start == PADDING:
        scores = tf.concat([tf.fill((batch, 1), -np.inf), scores[:, 1:]], 1)
    scores, places = tf.math.top_k(scores, min(k, size))
    items = tf.where(scores > -np.inf, places + start, PADDING)
    return items, scores


def rank(ranker: Ranker, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Returns lists and scores for the users of a task, `(users, k)`."""
    width = max(int(task.history.lengths[task.users].max()), 1)
    starts = range(0, len(task.users), USERS_AT_A_TIME)
    parts = (task.users[start : start + USERS_AT_A_TIME] for start in starts)
    feeds = (
        ((task.history.padded(users, width), np.int32(users + 1)), ())
        for users in parts
    )
    (lists, scores), _ = inference.outputs(lambda feed: ranker(*feed), feeds)
    return lists, scores
