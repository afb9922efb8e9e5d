"""The item tower: vectors, biases, and scores of queries."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class Items(layers.Layer):
    """The vectors and biases of all items, padding included.

    Attributes:
        embeddings: `(items + 1, dim)`.
        bias: `(items + 1,)`.
    """

    def __init__(
        self, num_items: int, dim: int, features: np.ndarray | None = None
    ) -> None:
        super().__init__(name="items")
        self.num_items, self.dim = num_items, dim
        self._features = features

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights."""
        rows = self.num_items + 1
        normal = keras.initializers.RandomNormal(stddev=self.dim**-0.5)
        self.embeddings = self.add_weight(
            name="embeddings", shape=(rows, self.dim), initializer=normal
        )
        self.bias = self.add_weight(
            name="bias", shape=(rows,), initializer="zeros"
        )
        self.kernel = None
        if self._features is not None:
            self.kernel = self.add_weight(
                name="kernel", shape=(self._features.shape[1], self.dim),
                initializer="zeros",
            )  # fmt: skip
        super().build(input_shape)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the vectors of items: `ids.shape + (dim,)`."""
        vectors = tf.gather(self.embeddings, ids)
        if self.kernel is None:
            return vectors
        features = tf.cast(tf.gather(self._features, ids), tf.float32)
        return vectors + tf.tensordot(features, self.kernel, 1)

    def table(self) -> tf.Tensor:
        """Returns the vectors of all items, `(items + 1, dim)`."""
        if self.kernel is None:
            return tf.convert_to_tensor(self.embeddings)
        features = tf.cast(self._features, tf.float32)
        return self.embeddings + tf.matmul(features, self.kernel)

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """Returns the scores of all items, `(..., items + 1)`."""
        product = tf.tensordot(queries, tf.transpose(self.table()), 1)
        return product + self.bias

    def score(self, queries: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Returns the scores of items `ids`, one list for all queries."""
        vectors = tf.transpose(self(ids))
        return tf.tensordot(queries, vectors, 1) + tf.gather(self.bias, ids)

    def score_own(self, queries: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Returns the scores of each query's own items, `ids.shape`."""
        product = tf.reduce_sum(queries * self(ids), axis=-1)
        return product + tf.gather(self.bias, ids)


class NeuralItems(Items):
    """Scores by a product and by a small network (He et al., 2017, NeuMF)."""

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights of the network beside those of the product."""
        super().build(input_shape)
        self.of_query = layers.Dense(self.dim, name="of_query")
        self.of_item = layers.Dense(self.dim, use_bias=False, name="of_item")
        self.last = layers.Dense(1, use_bias=False, name="last")
        for layer in (self.of_query, self.of_item, self.last):
            layer.build((None, self.dim))

    def _network(self, queries: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(self.of_query(queries) + self.of_item(vectors))
        return tf.squeeze(self.last(hidden), -1)

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """Returns the scores of all items, `(..., items + 1)`."""
        pairs = self._network(queries[..., None, :], self.table())
        return super().scores(queries) + pairs

    def score(self, queries: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Returns the scores of items `ids`, one list for all queries."""
        pairs = self._network(queries[..., None, :], self(ids))
        return super().score(queries, ids) + pairs

    def score_own(self, queries: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Returns the scores of each query's own items, `ids.shape`."""
        product = super().score_own(queries, ids)
        return product + self._network(queries, self(ids))
