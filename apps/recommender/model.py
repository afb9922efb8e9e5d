"""The networks, as they are trained: towers, items, softmax over items.

A tower makes query vectors of a history (and a user); `Items` has a vector and
a bias for each item, and a score is their product. `folding.fold` makes stock
layers of the result.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import keras_rs
import numpy as np
import tensorflow as tf
from keras import layers

from .interactions import PADDING, Catalogue
from .items import Items, NeuralItems

MODELS = ("two_tower", "sequential", "mf", "neumf")
# Up to here a history becomes a row of zeros and ones in training, whose
# product with a table is far faster than looking up hundreds of items.
DENSE_ITEMS = 20_000
MAX_NEGATIVES = 1024


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that a network is made with.

    Attributes:
        model: One of `MODELS`.
        num_users: Users with a vector of their own; 0 for none.
        length: The last items of a history that are looked at.
        dim: The size of the vectors.
        blocks: Convolutions of `sequential`; each sees twice as far back.
        dropout: The part of the items of a history dropped in training; of
            `sequential`, the part of the features.
        full_softmax: Whether the loss takes all items, or a sample.
    """

    model: str
    num_users: int
    length: int
    dim: int
    blocks: int
    dropout: float
    full_softmax: bool = True


class Bag(layers.Layer):
    """The sum of the vectors of a history, over the root of their number.

    The padding has no vector. In training some items are left out at random.
    """

    def __init__(self, num_items: int, dim: int, dropout: float) -> None:
        super().__init__(name="bag")
        self.num_items, self.dim, self.dropout = num_items, dim, dropout
        self._random = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        """Makes the table."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_items + 1, self.dim),
            initializer="glorot_uniform",
        )
        super().build(input_shape)

    def call(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the vector of each history, `(batch, dim) float32`.

        Args:
            history: `(batch, length) int32`, padding first.
            training: Whether items are left out at random.
        """
        keep = tf.cast(history != PADDING, tf.float32)
        if training and self.dropout:
            chance = keras.random.uniform(tf.shape(keep), seed=self._random)
            keep *= tf.cast(chance >= self.dropout, tf.float32)
        count = tf.maximum(tf.reduce_sum(keep, axis=1, keepdims=True), 1.0)
        if self.num_items > DENSE_ITEMS:
            vectors = tf.gather(self.embeddings, history)
            total = tf.reduce_sum(vectors * keep[..., None], axis=1)
        else:
            rows = rows_of(history, keep, self.num_items + 1)
            total = tf.matmul(rows, self.embeddings)
        return total / tf.sqrt(count)


def rows_of(
    history: tf.Tensor, weights: tf.Tensor, num_columns: int
) -> tf.Tensor:
    """Returns histories as rows of zeros and weights, `(batch, columns)`.

    Args:
        history: `(batch, length)` integers, the columns of the weights.
        weights: `(batch, length) float32`.
        num_columns: The number of columns.
    """
    batch, length = tf.unstack(tf.shape(history))
    rows = tf.repeat(tf.range(batch), length)
    columns = tf.cast(tf.reshape(history, [-1]), tf.int32)
    indices = tf.stack([rows, columns], axis=1)
    shape = (batch, num_columns)
    return tf.scatter_nd(indices, tf.reshape(weights, [-1]), shape)


def convolutions(x: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    """Returns the queries of item vectors, both `(batch, length, dim)`.

    Residual blocks of causal, dilated convolutions (Yuan et al., 2019,
    NextItNet): a query knows the items up to its own place only.
    """
    dim = settings.dim
    x = layers.Dropout(settings.dropout)(x)
    for block in range(settings.blocks):
        y = layers.LayerNormalization(epsilon=1e-6, name=f"norm_{block}")(x)
        y = layers.Conv1D(
            dim, 3, dilation_rate=2**block, padding="causal",
            activation="relu", name=f"convolution_{block}",
        )(y)  # fmt: skip
        y = layers.Dropout(settings.dropout)(y)
        y = layers.Dense(dim, name=f"dense_{block}")(y)
        x = layers.Add()([x, y])
    return layers.LayerNormalization(epsilon=1e-6, name="norm")(x)


class Recommender(keras.Model):
    """A network in training: from histories to queries; softmax over items.

    Attributes:
        settings: The settings that the network was made with.
        items: The item tower.
        users: The table of users' vectors, row 0 for unknown ones, or None.
        bag: The bag of histories of `two_tower`, `mf` and `neumf`; else None.
        network: The network of `sequential`, from item vectors to queries at
            every place; else None.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        counts: np.ndarray | None = None,
    ) -> None:
        super().__init__(name=settings.model)
        self.settings = settings
        num_items, dim = len(catalogue), settings.dim
        kind = NeuralItems if settings.model == "neumf" else Items
        features = None
        if settings.model == "two_tower" and catalogue.features.shape[1]:
            features = catalogue.features
        self.items = kind(num_items, dim, features)
        self.items.build()
        self.bag: Any = None
        self.users: layers.Embedding | None = None
        self.network: keras.Model | None = None
        if settings.model == "sequential":
            vectors = keras.Input((settings.length, dim), name="vectors")
            queries = convolutions(vectors, settings)
            self.network = keras.Model(vectors, queries, name="network")
        else:
            self.bag = Bag(num_items, dim, settings.dropout)
        if self.bag and settings.num_users:
            self.users = layers.Embedding(
                settings.num_users + 1, dim, name="users",
                embeddings_initializer="zeros",
            )  # fmt: skip
        # The chance of each item to be among the negatives.
        total = None if counts is None else np.maximum(counts, 1) / counts.sum()
        self._chance = None if total is None else total.astype(np.float32)
        self.correct = keras_rs.layers.SamplingProbabilityCorrection(1e-9)
        self({"history": np.zeros((1, settings.length), np.int32),
              "user": np.zeros(1, np.int32)})  # fmt: skip

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Returns queries: `(batch, dim)`, or one for each place."""
        history = inputs["history"]
        if self.network is not None:
            return self.network(self.items(history), training=training)
        query = self.bag(history, training=training)
        if self.users is not None:
            # Unknown users have row 0, which stays zero.
            known = tf.cast(inputs["user"] > 0, tf.float32)[:, None]
            query += known * self.users(inputs["user"])
        if self.settings.model == "two_tower":
            query = tf.tanh(query)
        return query

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the mean cross-entropy of the targets.

        Args:
            x: The inputs; not used.
            y: Targets `(batch, targets) int32`, padding among them. Queries
                for each place have one target each.
            y_pred: The queries.
            sample_weight: The weight of each example, `(batch,)`, if there are
                several devices: 0 for examples that only fill up a batch.
            training: If false, only the last place has a target.
        """
        if len(y_pred.shape) == 3 and not training:
            y_pred, y = y_pred[:, -1:], y[:, -1:]
        weight = tf.cast(y != PADDING, tf.float32)
        if sample_weight is not None:
            weight *= sample_weight[:, None]
        if len(y_pred.shape) == 2:
            # All targets of a user are one example, as in Mult-DAE (Liang
            # et al., 2018).
            count = tf.reduce_sum(weight, axis=1, keepdims=True)
            weight /= tf.maximum(count, 1.0)
            y_pred = y_pred[:, None, :]
        if self.settings.full_softmax:
            losses = self._full(y_pred, y)
        else:
            losses = self._sampled(y_pred, y)
        mean = tf.reduce_sum(losses * weight) / tf.maximum(
            tf.reduce_sum(weight), 1.0
        )
        # As Keras's own losses do: the gradients of all devices are summed.
        return mean / tf.distribute.get_strategy().num_replicas_in_sync

    def _full(self, queries: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy over all items, `(batch, targets)`."""
        logits = self.items.scores(queries)
        total = tf.reduce_logsumexp(logits, axis=-1)
        if queries.shape[1] == 1:
            return total - tf.gather(logits[:, 0], targets, batch_dims=1)
        return total - tf.gather(logits, targets, batch_dims=2)

    def _sampled(self, queries: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy over the target and a sample of negatives.

        The sample is from the batch's other targets, in which popular items
        are more frequent. Each item is weighted by one over its expected
        number, so that the sum over the sample is on average the sum over all
        items (Bengio and Senecal, 2008). An item is no negative of itself:
        keras_rs's `RemoveAccidentalHits` 0.4.0 adds 1e-40 to it, which changes
        nothing.
        """
        pool = tf.reshape(targets, [-1])
        pool = tf.boolean_mask(pool, pool != PADDING)
        step = tf.maximum(tf.size(pool) // MAX_NEGATIVES, 1)
        pool = pool[::step]
        chance = tf.constant(self._chance)
        own = self.items.score_own(queries, targets)
        others = self.items.score(queries, pool)
        others = self.correct(others, tf.gather(chance, pool))
        others -= tf.math.log(tf.cast(tf.size(pool), tf.float32))
        same = targets[..., None] == pool
        others = tf.where(same, -np.inf, others)
        logits = tf.concat([own[..., None], others], axis=-1)
        return tf.reduce_logsumexp(logits, axis=-1) - own
