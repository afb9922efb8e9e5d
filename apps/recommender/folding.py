"""Folding: a trained network as stock layers, from history to scores.

Item vectors are computed once, features included. The result is what is
evaluated, served, compressed and put on phones; it loads without this project.
"""

import keras
import numpy as np
from keras import layers, ops

from . import model as networks
from .interactions import PADDING
from .items import NeuralItems


def fold(
    trained: networks.Recommender,
    with_user: bool,
    wide: np.ndarray | None = None,
) -> keras.Model:
    """Returns a functional model of stock layers.

    Args:
        trained: The network.
        with_user: Whether there is an input for known users.
        wide: An item-item matrix `(items + 1, items + 1)` whose scores are
            added, or None.

    Returns:
        A model from `history (batch, length) int32` and, perhaps, `user
        (batch,) int32`, 0 for unknown, to `scores (batch, items + 1)`. The
        layer `query` gives the vector that is multiplied with the items.
    """
    settings = trained.settings
    history = keras.Input((settings.length,), dtype="int32", name="history")
    inputs = {"history": history}
    if trained.network is not None:
        query = _last_query(trained, trained.network, history)
    else:
        query = _bag(trained.bag, history)
        if with_user and trained.users is not None:
            user = keras.Input((), dtype="int32", name="user")
            inputs["user"] = user
            table = trained.users.get_weights()[0]
            # Unknown users have row 0.
            table = np.concatenate([np.zeros_like(table[:1]), table[1:]])
            query = layers.Add()([query, _lookup(table, "users")(user)])
        if settings.model == "two_tower":
            query = ops.tanh(query)
    query = layers.Identity(name="query")(query)
    kernel = ops.convert_to_numpy(trained.items.table()).T
    bias = ops.convert_to_numpy(trained.items.bias)
    scores = _dense(kernel, bias, "products")(query)
    if settings.model == "neumf":
        scores = layers.Add()([scores, _pairs(trained.items, query)])
    if wide is not None:
        rows = _lookup(wide, "wide", trainable=False)(history)
        scores = layers.Add()([scores, ops.sum(rows, axis=1)])
    return keras.Model(inputs, scores, name=f"{settings.model}_scores")


def _lookup(
    table: np.ndarray, name: str, trainable: bool = True
) -> layers.Embedding:
    """Returns an embedding that holds `table`."""
    return layers.Embedding(
        *table.shape, weights=[table], trainable=trainable, name=name
    )


def _dense(kernel: np.ndarray, bias: np.ndarray, name: str) -> layers.Dense:
    """Returns a dense layer that holds a kernel and a bias."""
    layer = layers.Dense(kernel.shape[1], name=name)
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel, bias])
    return layer


def _last_query(
    trained: networks.Recommender,
    network: keras.Model,
    history: keras.KerasTensor,
) -> keras.KerasTensor:
    """Returns the query after the last item."""
    table = ops.convert_to_numpy(trained.items.table())
    vectors = _lookup(table, "history_vectors")(history)
    queries = networks.convolutions(vectors, trained.settings)
    copy = keras.Model(history, queries)
    for layer in network.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return queries[:, -1]


def _bag(bag: networks.Bag, history: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the sum of a history's vectors over the root of their number."""
    table = bag.get_weights()[0]
    vectors = _lookup(table, "history_vectors")(history)
    real = ops.cast(ops.not_equal(history, PADDING), "float32")
    total = ops.sum(ops.multiply(vectors, ops.expand_dims(real, -1)), axis=1)
    count = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)
    return ops.divide(total, ops.sqrt(count))


def _pairs(items: NeuralItems, query: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the scores of NeuMF's network for all items."""
    kernel, bias = items.of_query.get_weights()
    of_item = ops.convert_to_numpy(items.of_item(items.table()))
    of_query = _dense(kernel, bias, "of_query")(query)
    hidden = ops.add(ops.expand_dims(of_query, 1), of_item[None])
    last = layers.Dense(1, use_bias=False, name="last")
    scores = last(ops.relu(hidden))
    last.set_weights(items.last.get_weights())
    return ops.squeeze(scores, -1)
