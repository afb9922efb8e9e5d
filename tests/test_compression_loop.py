"""The loop that fine-tunes twins, compared with Keras 2's own `fit`."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_algorithm,
)

from common.compression import clustering, loop, wrappers
from common.data import pipelines
from common.keras2 import bridge
from common.shared_options import Options

OPTIONS = Options(sparsity=0.5, num_clusters=4)
STEPS, EPOCHS = 5, 4


@pytest.fixture(scope="module")
def model() -> keras.Model:
    image = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Softmax()(x))


@pytest.fixture(scope="module")
def batches() -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.random((4 * STEPS - 1, 6, 6, 1), np.float32)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, len(images))]
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)


def wrapped(model: keras.Model, technique: str) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(0)
    twin = bridge.to_tf_keras(model, check=False)
    model = wrappers.wrap(twin, (technique,), STEPS * EPOCHS, OPTIONS)
    model.compile(tf_keras.optimizers.Adam(0.01), "categorical_crossentropy")
    return model


@pytest.mark.parametrize("technique", ["prune", "cluster", "qat"])
def test_weights_are_those_that_fit_gives(model, batches, technique) -> None:
    ours, theirs = wrapped(model, technique), wrapped(model, technique)
    loss = loop.train(ours, batches, pipelines.Position(), EPOCHS, STEPS)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    history = theirs.fit(batches, epochs=EPOCHS, verbose=0, callbacks=[update])
    assert loss == pytest.approx(history.history["loss"][-1], abs=1e-6)
    for weight, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(
            weight.numpy(), expected.numpy(), atol=1e-6, err_msg=weight.name
        )
    if technique == "prune":
        masks = [w.numpy() for w in ours.weights if "mask" in w.name]
        assert [np.mean(mask) for mask in masks] == pytest.approx([0.5, 0.5])


def test_the_nearest_centroids_are_those_of_tf_mot() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 3, 8, 16)).astype(np.float32)
    centroids = tf.Variable(rng.normal(size=7).astype(np.float32))
    theirs = clustering_algorithm.ClusteringAlgorithm(centroids)
    expected = theirs.get_pulling_indices(tf.constant(weights))
    indices = clustering.nearest(tf.constant(weights), centroids)
    assert indices.dtype == expected.dtype
    np.testing.assert_array_equal(indices, expected)


def test_the_step_is_traced_once(model, batches, monkeypatch) -> None:
    twin, traces = wrapped(model, "prune"), []
    step = twin.train_step

    def counted(batch: Iterator) -> dict:
        traces.append(batch)
        return step(batch)

    monkeypatch.setattr(twin, "train_step", counted)
    loop.train(twin, batches, pipelines.Position(), EPOCHS, STEPS)
    assert len(traces) == 1


def test_runs_begin_where_masks_change() -> None:
    assert list(loop.runs({0, 3, 4}, 0, 6)) == [(0, 3), (3, 1), (4, 2)]
    assert list(loop.runs({7}, 6, 6)) == [(6, 1), (7, 5)]
    long = list(loop.runs(set(), 10, 40))
    assert long == [(10, 16), (26, 16), (42, 8)]
