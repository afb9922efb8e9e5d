"""Serving: from a user's id, or the ids of a history, to a list with titles."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from common.release import export

from .interactions import PADDING
from .protocols import Protocol
from .ranking import Ranker

EXAMPLES = 4


class Server(tf.Module):
    """The tables and functions behind the signatures, saved with the model.

    A known user is served from the items that the user took. An unknown user,
    and a history without a known item, get the most popular items.
    """

    def __init__(self, model: keras.Model, protocol: Protocol, k: int) -> None:
        super().__init__()
        data = protocol.data
        self.k = k
        self.ranker = Ranker(model)
        # Unknown ids have index 0: the padding item, and the unknown user.
        self.item_index = _index(data.catalogue.ids[1:])
        self.user_index = _index(data.user_ids)
        self.ids = tf.constant(data.catalogue.ids)
        self.titles = tf.constant(data.catalogue.titles)
        self.values = tf.Variable(data.items.values, trainable=False)
        offsets = np.concatenate([[0], data.items.offsets])  # User 0 is empty.
        self.offsets = tf.Variable(offsets, trainable=False)
        counts = np.bincount(
            data.items.values, minlength=len(data.catalogue) + 1
        )
        # So long that the user with the longest history has k unseen items.
        longest = int(data.items.lengths.max()) + k
        popular = 1 + np.argsort(-counts[1:], kind="stable")[:longest]
        self.popular = tf.constant(popular.astype(np.int32))
        self.popular_counts = tf.constant(counts[popular].astype(np.float32))

    def user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the lists of users, `user_id (batch,) string`.

        The output `known` tells which users are.
        """
        user = tf.cast(self.user_index(user_id), tf.int32)
        start = tf.gather(self.offsets, user)
        end = tf.gather(self.offsets, user + 1)
        width = tf.maximum(tf.reduce_max(end - start), 1)
        position = end[:, None] + tf.range(-width, 0)
        inside = position >= start[:, None]
        items = tf.gather(self.values, tf.where(inside, position, 0))
        answer = self._answer(tf.where(inside, items, PADDING), user)
        return {**answer, "known": user > 0}

    def history(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the lists for histories, `item_ids (batch, any) string`.

        The ids are the oldest first.

        Empty strings and unknown ids are passed over; the output
        `unknown_items` is the number of the latter.
        """
        history = tf.cast(self.item_index(item_ids), tf.int32)
        unknown = (history == PADDING) & (item_ids != "")
        width = tf.shape(history)[1]
        # Known items last, in their order; at least one column.
        order = tf.argsort(
            tf.cast(history != PADDING, tf.int32), axis=1, stable=True
        )
        history = tf.gather(history, order, batch_dims=1)
        history = tf.pad(history, [[0, 0], [tf.cast(width == 0, tf.int32), 0]])
        answer = self._answer(history, tf.zeros_like(history[:, 0]))
        num_unknown = tf.math.count_nonzero(unknown, axis=1, dtype=tf.int32)
        return {**answer, "unknown_items": num_unknown}

    def _answer(
        self, history: tf.Tensor, user: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns ids, titles and scores of the best items."""
        items, scores = self.ranker(history, user, self.k)
        empty = tf.reduce_all(history == PADDING, axis=1, keepdims=True)
        k = min(self.k, self.popular.shape[0], items.shape[1])
        shape = (tf.shape(items)[0], k)
        items = tf.where(
            empty, tf.broadcast_to(self.popular[:k], shape), items[:, :k]
        )
        counts = tf.broadcast_to(self.popular_counts[:k], shape)
        return {
            "item_ids": tf.gather(self.ids, items),
            "titles": tf.gather(self.titles, items),
            "scores": tf.where(empty, counts, scores[:, :k]),
        }


def _index(ids: Sequence[str]) -> keras.layers.StringLookup:
    """Returns the lookup from an id to its place, from 1; 0 if unknown."""
    return keras.layers.StringLookup(vocabulary=list(ids))


def signatures(
    server: Server, protocol: Protocol
) -> dict[str, export.Signature]:
    """Returns the signatures: lists by a user's id, or by a history."""
    known = list(protocol.data.user_ids[:EXAMPLES])
    ids = protocol.data.catalogue.ids
    history = [[ids[1], ids[2], "no such item"], ["", "", ""]]
    return {
        "serving_default": export.Signature(
            server.user,
            (tf.TensorSpec((None,), tf.string, "user_id"),),
            (np.array([*known, "no such user"]),),
        ),
        "history": export.Signature(
            server.history,
            (tf.TensorSpec((None, None), tf.string, "item_ids"),),
            (np.array(history),),
        ),
    }
