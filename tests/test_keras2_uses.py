"""What twins are for: TF-MOT, TFLite, and the models of keras.applications."""

import collections
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L  # noqa: N812
from keras import ops

from common.keras2 import bridge, check
from common.keras2.weights import weights_back

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras

# The smallest of each family, and the smallest input it takes.
FAMILIES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
# They are tested with all others in the large tier only.
LARGE_FAMILIES = {
    "DenseNet121",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "NASNetMobile",
    "Xception",
}
ALL = sorted(name for name in dir(keras.applications) if name[0].isupper())


def text_model(*layers: Any, mask_zero: bool = False) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            L.Embedding(50, 8, mask_zero=mask_zero),
            *layers,
            L.Dense(3),
        ]
    )


def transformer() -> keras.Model:
    tokens = keras.Input((12,), dtype="int32")
    x = L.Embedding(50, 8)(tokens)
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
    y = L.Dense(8)(L.Dense(16, activation="gelu")(x))
    x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x + y))
    return keras.Model(tokens, L.Dense(3)(x))


def recurrent() -> keras.Model:
    return text_model(
        L.Bidirectional(L.LSTM(6, return_sequences=True)),
        L.RNN([L.LSTMCell(4), L.GRUCell(4)]),
    )


def images() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = L.Rescaling(1 / 255)(L.RandomFlip()(inputs))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3)(x)))
    x = ops.concatenate([x[:, 1:, 1:], 2.0 * x[:, :-1, :-1]], axis=-1)
    inner = keras.Sequential([keras.Input((13, 13, 16)), L.Conv2D(4, 3)])
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(inner(x))))


def kernels(model: keras.Model) -> list[np.ndarray]:
    """Returns the weights that TF-MOT prunes: not biases, not scales."""
    names = ("kernel", "recurrent_kernel", "embeddings")
    return [w.numpy() for w in model.weights if w.name in names]


def step(model: Any, inputs: Any, *callbacks: Any) -> None:
    """Trains for a moment on zeros."""
    model.compile("sgd", "mse")
    targets = np.zeros((len(inputs), 3), "float32")
    model.fit(inputs, targets, epochs=2, verbose=0, callbacks=list(callbacks))


MODELS = [
    images,
    pytest.param(recurrent, marks=pytest.mark.slow),
    transformer,
]


@pytest.mark.parametrize("build", MODELS)
def test_pruning_round_trip(build: Any) -> None:
    model = build()
    inputs = check.random_inputs(model)
    pruned = sparsity.prune_low_magnitude(
        bridge.to_tf_keras(model),
        pruning_schedule=sparsity.ConstantSparsity(0.5, 0, frequency=1),
    )
    with pytest.raises(ValueError, match="Strip"):
        weights_back(pruned, model)
    step(pruned, inputs, sparsity.UpdatePruningStep())
    stripped = sparsity.strip_pruning(pruned)
    weights_back(stripped, model)
    assert check.compare(model, stripped) <= 1e-6
    assert min(np.mean(w == 0) for w in kernels(model)) >= 0.49


@pytest.mark.parametrize("build", MODELS)
def test_clustering_round_trip(build: Any) -> None:
    model = build()
    clustered = clustering.cluster_weights(
        bridge.to_tf_keras(model),
        number_of_clusters=4,
        cluster_centroids_init=clustering.CentroidInitialization.LINEAR,
    )
    step(clustered, check.random_inputs(model))
    stripped = clustering.strip_clustering(clustered)
    weights_back(stripped, model)
    assert check.compare(model, stripped) <= 1e-6
    assert max(len(np.unique(w)) for w in kernels(model)) <= 4


def test_quantization_aware_training() -> None:
    inputs = keras.Input((16, 16, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3)(inputs)))
    x = ops.mean(ops.concatenate([x, x], axis=-1), axis=(1, 2))
    model = keras.Model(inputs, L.Dense(3)(x))
    quantized = tfmot.quantization.keras.quantize_model(
        bridge.to_tf_keras(model)
    )
    outputs = quantized(check.random_inputs(model))
    assert outputs.shape == (2, 3)


def to_tflite(twin: Any, samples: Any = None) -> bytes:
    """Converts with batch 1; to int8 if there are samples."""
    shape = (1, *twin.inputs[0].shape[1:])
    spec = tf.TensorSpec(shape, twin.inputs[0].dtype)
    function = tf.function(lambda x: twin(x, training=False))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function(spec)], twin
    )
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in samples)
    return converter.convert()


def run_tflite(model: bytes, inputs: Any) -> tuple[Any, Any]:
    """Returns the outputs and the number of each operation's occurrences."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    operations = [x["op_name"] for x in interpreter._get_ops_details()]
    (entry,), (end,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    outputs = []
    for row in inputs:
        interpreter.reset_all_variables()  # The LSTM's state stays otherwise.
        interpreter.set_tensor(entry["index"], row[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(end["index"])[0])
    return np.stack(outputs), collections.Counter(operations)


RECURRENT = {
    "lstm": (lambda: text_model(L.LSTM(6)), 1),
    "stacked": (
        lambda: text_model(L.LSTM(6, return_sequences=True), L.LSTM(5)),
        2,
    ),
    "both_ways": (lambda: text_model(L.Bidirectional(L.LSTM(6))), 2),
    # No fused operation: loops, or plain operations where unrolled.
    "masked": (lambda: text_model(L.LSTM(6), mask_zero=True), 0),
    "gru": (lambda: text_model(L.GRU(6)), 0),
    "gru_unrolled": (lambda: text_model(L.GRU(6, unroll=True)), 0),
    "gru_both_ways": (lambda: text_model(L.Bidirectional(L.GRU(6))), 0),
    "cells": (lambda: text_model(L.RNN([L.LSTMCell(6), L.GRUCell(4)])), 0),
}


TIERS = {
    "lstm": [],
    "both_ways": [pytest.mark.slow],
    "gru": [pytest.mark.slow],
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=TIERS.get(name, [pytest.mark.large]))
        for name in RECURRENT
    ],
)
def test_recurrent_models_run_in_tflite(name: str) -> None:
    build, fused = RECURRENT[name]
    model = build()
    inputs = np.random.default_rng(0).integers(0, 50, (8, 12), "int32")
    inputs[:, 9:] = 0
    outputs, counts = run_tflite(to_tflite(bridge.to_tf_keras(model)), inputs)
    np.testing.assert_allclose(
        outputs, model.predict(inputs, verbose=0), atol=1e-5
    )
    assert counts["UNIDIRECTIONAL_SEQUENCE_LSTM"] == fused


def test_transformer_becomes_int8() -> None:
    model = transformer()
    inputs = np.random.default_rng(0).integers(0, 50, (32, 12), "int32")
    file = to_tflite(bridge.to_tf_keras(model), inputs)
    outputs, _ = run_tflite(file, inputs)
    expected = model.predict(inputs, verbose=0)
    assert np.abs(outputs - expected).max() <= 0.1 * np.ptp(expected)


def application(name: str, size: int) -> keras.Model:
    """Returns a model with logits as outputs, which show differences."""
    return getattr(keras.applications, name)(
        weights=None,
        input_shape=(size, size, 3),
        classes=10,
        classifier_activation=None,
    )


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("MobileNetV3Small", "ResNet50")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(set(FAMILIES) - LARGE_FAMILIES)
    ],
)
def test_applications(name: str) -> None:
    model = application(name, FAMILIES[name])
    twin = bridge.to_tf_keras(model, check=False)
    assert check.compare(model, twin) <= 1e-5
    kinds = {type(layer) for layer in twin.layers}
    assert not [kind for kind in kinds if "Lambda" in kind.__name__]
    if name == "MobileNetV3Small":  # It has operations in its graph.
        sparsity.prune_low_magnitude(twin)
    keras.backend.clear_session()
    tf_keras.backend.clear_session()


def adapt(model: keras.Model, images: np.ndarray) -> None:
    """Gives batch normalization the statistics of these images.

    With those of an untrained network, mean 0 and variance 1, the signal dies
    in MobileNets (all outputs are equal) and explodes in EfficientNetV2M and L
    (in Keras alone, a change in the last bit of the input changes the class):
    nothing could be compared.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0
        elif isinstance(layer, L.Dropout):
            layer.rate = 0.0
    model(images, training=True)


@pytest.mark.large
@pytest.mark.parametrize("name", ALL)
def test_every_application(name: str) -> None:
    # With the head it comes with: a softmax over 1000 classes.
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(80, 80, 3))
    inputs = np.random.default_rng(1).normal(size=(8, 80, 80, 3))
    if name.startswith(("EfficientNet", "MobileNet")):
        adapt(model, inputs)
    twin = bridge.to_tf_keras(model, check=False)
    outputs = model(inputs, training=False).numpy()
    difference = outputs - twin(inputs, training=False).numpy()
    assert outputs.shape == (8, 1000) and np.ptp(outputs) > 0
    assert np.abs(difference).max() <= 1e-5
    # Outputs are near 1/1000: this compares them relative to that.
    check.compare(model, twin)
    keras.backend.clear_session()
    tf_keras.backend.clear_session()
