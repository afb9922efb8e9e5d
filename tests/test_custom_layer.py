"""Layers of a user's own class in training, inside a twin."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from common.compression import wrappers
from common.keras2 import bridge, custom_layer, registry
from common.shared_options import Options


class Regularized(keras.layers.Layer):
    """Has weights of its own, dropout and moving averages; no `training`."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 64), name="kernel")
        self.normalize = keras.layers.BatchNormalization(momentum=0.5)
        self.normalize.build((None, 64))
        self.dropout = keras.layers.Dropout(0.5)
        self.dropout.build((None, 64))

    def call(self, x: Any) -> Any:
        return self.dropout(self.normalize(x @ self.kernel) + 5.0)


@pytest.fixture
def twin() -> Iterator[tf_keras.Model]:
    registry.converter(Regularized)(custom_layer.keep)
    inputs = keras.Input((4,), name="x")
    yield bridge.to_tf_keras(
        keras.Model(inputs, Regularized(name="own")(inputs))
    )
    del registry._USERS[Regularized]


X = tf.random.stateless_normal((32, 4), (0, 0))


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "pruned"])
def test_each_step_drops_other_units(
    twin: tf_keras.Model, wrapped: bool
) -> None:
    if wrapped:
        twin = wrappers.wrap(twin, ("prune",), 10, Options(sparsity=0.5))
        for layer in twin.layers[1:]:
            layer.pruning_step.assign(1)
    step = tf.function(lambda: twin(X, training=True))
    first, second = step().numpy() == 0, step().numpy() == 0
    assert 0.4 < first.mean() < 0.6 and 0.4 < second.mean() < 0.6
    assert 0.4 < np.mean(first != second) < 0.6
    assert not np.any(twin(X, training=False).numpy() == 0)


def test_moving_averages_follow_the_batches(twin: tf_keras.Model) -> None:
    layer = twin.get_layer("own")
    kernel, _, _, mean, variance = layer.source_weights
    twin(X, training=False)
    np.testing.assert_array_equal(mean, np.zeros(64))
    twin(X, training=True)
    products = X.numpy() @ kernel.numpy()
    np.testing.assert_allclose(mean, products.mean(0) / 2, atol=1e-5)
    expected = 0.5 + products.var(0) / 2
    np.testing.assert_allclose(variance, expected, atol=1e-4)
