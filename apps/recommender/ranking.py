"""Ranking: the best unseen items of users, part by part of the catalogue."""

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
        num_items: The number of items, padding not among them.
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
        self,
        history: tf.Tensor,
        user: tf.Tensor | None = None,
        k: int = LENGTH,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best items that are not in the history.

        Args:
            history: `(batch, any) int32`, padding first.
            user: `(batch,) int32`, 0 for unknown; None if all are unknown.
            k: The length of the lists.

        Returns:
            Items `(batch, k) int32`, best first, and their scores `(batch, k)
            float32`. A list that is too short ends with padding and -inf.
        """
        inputs = {"history": fit(history, self.length)}
        if self.has_user:
            unknown = tf.zeros_like(history[:, 0])
            inputs["user"] = unknown if user is None else user
        outputs = self._model(inputs, training=False)
        parts = []
        for start in range(0, self.num_items + 1, self._at_a_time):
            stop = min(start + self._at_a_time, self.num_items + 1)
            scores = self._part(outputs, start, stop)
            parts.append(best(scores, history, start, k))
        items, scores = (
            tf.concat(arrays, axis=1) for arrays in zip(*parts, strict=True)
        )
        scores, order = tf.math.top_k(scores, min(k, self.num_items))
        return tf.gather(items, order, batch_dims=1), scores

    def scores(
        self, history: tf.Tensor, items: tf.Tensor, user: int = 0
    ) -> tf.Tensor:
        """Returns the scores of given items, `(batch, items) float32`.

        Args:
            history: `(batch, any) int32`, padding first.
            items: `(items,) int32`, any items of the catalogue.
            user: The user of all histories; 0 for an unknown one.
        """
        inputs = {"history": fit(history, self.length)}
        if self.has_user:
            inputs["user"] = tf.fill(tf.shape(history)[:1], user)
        outputs = self._model(inputs, training=False)
        if self._products is None:
            return tf.gather(outputs, items, axis=1)
        kernel = tf.gather(self._products.kernel, items, axis=1)
        return tf.matmul(outputs, kernel) + tf.gather(
            self._products.bias, items
        )

    def _part(self, outputs: tf.Tensor, start: int, stop: int) -> tf.Tensor:
        """Returns the scores of the items from `start` to before `stop`."""
        if self._products is None:
            return outputs[:, start:stop]
        kernel = self._products.kernel[:, start:stop]
        return tf.matmul(outputs, kernel) + self._products.bias[start:stop]


def fit(history: tf.Tensor, length: int) -> tf.Tensor:
    """Returns the last `length` items of histories, padded to that length.

    Args:
        history: `(batch, any) int32`, padding first.
        length: The length of the result.
    """
    missing = tf.maximum(length - tf.shape(history)[1], 0)
    padded = tf.pad(history, [[0, 0], [missing, 0]], constant_values=PADDING)
    return tf.ensure_shape(padded[:, -length:], (None, length))


def best(
    scores: tf.Tensor, history: tf.Tensor, start: int, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best `k` unseen items of a part of the catalogue.

    Args:
        scores: `(batch, items) float32`, of the items from `start` on.
        history: `(batch, any) int32`, the items that are left out.
        start: The first item of the part.
        k: The number of items to return.

    Returns:
        Items `(batch, k) int32`, padding where there are too few, and scores.
    """
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
