"""A float head on a twin."""

import keras
import numpy as np
import pytest
import tf_keras
from keras import ops

from common.keras2 import bridge
from common.keras2.attach import attach

X = np.random.default_rng(0).random((5, 6), np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    x = keras.Input((6,), name="x")
    inner = keras.layers.Dense(3, name="inner")(x)
    return keras.Model(x, keras.layers.Dense(6, name="y")(inner))


@pytest.fixture(scope="module")
def head() -> keras.Model:
    """Returns a model of x, y and the inner layer: an error and a sum."""
    x, y, inner = keras.Input((6,)), keras.Input((6,)), keras.Input((3,))
    error = ops.mean(ops.square(x - y), axis=-1)
    return keras.Model([x, y, inner], [error, ops.sum(inner, -1)], name="head")


def expected(twin: tf_keras.Model, inner: np.ndarray) -> list[np.ndarray]:
    """Returns the outputs of the twin and of the head, computed by NumPy."""
    y = twin.predict(X, verbose=0)
    return [y, np.mean((X - y) ** 2, -1), inner.sum(-1)]


def test_the_head_takes_inputs_outputs_and_layers(model, head) -> None:
    twin = bridge.to_tf_keras(model)
    outputs = attach(twin, head, ["inner"]).predict(X, verbose=0)
    inner = np.asarray(model.get_layer("inner")(X))
    for output, array in zip(outputs, expected(twin, inner), strict=True):
        np.testing.assert_allclose(output, array, atol=1e-5)


def test_layers_of_two_graphs_have_the_outputs_of_the_twins(
    model, head
) -> None:
    # TF-MOT's stripping also calls the same layers again, in a new graph.
    twin = tf_keras.models.clone_model(
        bridge.to_tf_keras(model), clone_function=lambda layer: layer
    )
    with_head = attach(twin, head, ["inner"])
    inner = np.asarray(model.get_layer("inner")(X))
    outputs = with_head.predict(X, verbose=0)
    for output, array in zip(outputs, expected(twin, inner), strict=True):
        np.testing.assert_allclose(output, array, atol=1e-5)
    assert "head" in [layer.name for layer in with_head.layers]
