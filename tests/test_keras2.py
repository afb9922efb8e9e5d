"""Layers, operations and refusals of the Keras 2 bridge."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers as L  # noqa: N812
from keras import ops

from common import keras2
from common.keras2 import check

ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]


def randomize(model: keras.Model) -> None:
    """Fills the weights, so that no layer passes by luck of initializers."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "states" in weight.path or "normalization" in weight.path:
            if "moving_variance" in weight.path:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            continue
        weight.assign(rng.normal(size=weight.shape) * 0.3)


def check_twin(model: keras.Model, tolerance: float = 1e-6) -> Any:
    """Converts, clones and copies back; all three must agree."""
    randomize(model)
    twin = keras2.to_tf_keras(model)
    assert check.compare(model, twin, seed=1) <= tolerance
    clone = tf_keras.models.clone_model(twin)
    clone.set_weights(twin.get_weights())
    assert check.compare(model, clone, seed=1) <= tolerance
    weights = [np.array(w) for w in model.get_weights()]
    for weight in model.weights:
        if "states" not in weight.path and "vector_u" not in weight.path:
            weight.assign(weight * 0)
    for layer in model.layers:
        if isinstance(layer, L.Normalization):
            return twin  # Its statistics are constants in the twin.
    keras2.weights_back(clone, model)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    return twin


def stack(shape: Any, *layers: Any, dtype: Any = None) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def functional(
    shape: Any, build: Callable[..., Any], dtype: Any = None
) -> keras.Model:
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, build(inputs))


IMAGE, SIGNAL, VOLUME, STEPS = (16, 16, 3), (16, 3), (8, 8, 8, 2), (6, 4)

STACKS = {
    "cnn": lambda: stack(
        IMAGE,
        L.Rescaling(1 / 255),
        L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
        L.BatchNormalization(scale=False),
        L.DepthwiseConv2D(3),
        L.MaxPooling2D(),
        L.Dropout(0.2),
        L.Flatten(),
        L.Dense(10, activation="softmax"),
    ),
    "conv1d": lambda: stack(
        SIGNAL,
        L.Conv1D(4, 3, padding="causal"),
        L.SeparableConv1D(4, 3),
        L.Conv1DTranspose(3, 2),
        L.DepthwiseConv1D(3),
        L.UpSampling1D(),
        L.ZeroPadding1D(),
        L.Cropping1D(),
        L.AveragePooling1D(2),
        L.SpatialDropout1D(0.1),
        L.GlobalAveragePooling1D(keepdims=True),
        L.Permute((2, 1)),
        L.Reshape((-1, 1)),
        L.Flatten(),
        L.RepeatVector(3),
    ),
    "conv2d": lambda: stack(
        IMAGE,
        L.SeparableConv2D(4, 3),
        L.Conv2DTranspose(4, 3, strides=2),
        L.UpSampling2D(2, interpolation="bilinear"),
        L.ZeroPadding2D(1),
        L.Cropping2D(1),
        L.AveragePooling2D(2),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.1),
        L.AlphaDropout(0.1),
        L.GlobalMaxPooling2D(),
    ),
    "conv3d": lambda: stack(
        VOLUME,
        L.Conv3D(3, 3),
        L.Conv3DTranspose(2, 3),
        L.MaxPooling3D(),
        L.GlobalAveragePooling3D(),
    ),
    "augmentation": lambda: stack(
        IMAGE,
        L.RandomFlip(seed=1),
        L.RandomRotation(0.1),
        L.RandomZoom(0.1),
        L.RandomTranslation(0.1, 0.1),
        L.RandomContrast(0.1),
        L.RandomBrightness(0.1),
        L.RandomHue(0.1, [0, 1]),
        L.RandomErasing(0.1),
        L.Resizing(12, 12),
        L.CenterCrop(8, 8),
        L.Rescaling([0.1, 0.2, 0.3]),
    ),
    "normalization": lambda: stack(
        (8, 8, 4),
        L.GroupNormalization(2),
        L.LayerNormalization(),
        L.UnitNormalization(),
        L.RMSNormalization(),
        L.BatchNormalization(),
    ),
    "activation_layers": lambda: stack(
        (8, 8),
        L.LeakyReLU(0.1),
        L.PReLU(),
        L.ELU(0.3),
        L.ReLU(6, 0.1, 0.2),
        L.Softmax(axis=1),
    ),
    "penalties": lambda: stack(
        (8,),
        L.Dense(
            4,
            kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2),
            kernel_constraint=keras.constraints.MaxNorm(2),
            bias_constraint="non_neg",
            activity_regularizer="l1",
        ),
        L.Dense(3, kernel_regularizer="orthogonal_regularizer"),
    ),
    "spectral": lambda: stack((8, 4), L.SpectralNormalization(L.Dense(3))),
    "einsum_dense": lambda: stack(
        (8, 4), L.EinsumDense("abc,cd->abd", (8, 5), bias_axes="d")
    ),
    "adaptive": lambda: stack(IMAGE, L.AdaptiveAveragePooling2D(4)),
    "category": lambda: stack(
        (1,), L.CategoryEncoding(7, output_mode="one_hot"), dtype="int32"
    ),
    "discretization": lambda: stack((1,), L.Discretization([0.0, 1.0])),
    "bytes": lambda: stack(
        IMAGE, L.Rescaling(1 / 255), L.Conv2D(2, 3), dtype="uint8"
    ),
    "float64": lambda: stack((6,), L.Dense(3, dtype="float64")),
    "simple_rnn": lambda: stack(STEPS, L.SimpleRNN(3)),
    "gru": lambda: stack(
        STEPS, L.GRU(3, return_sequences=True), L.GRU(3, reset_after=False)
    ),
    "lstm": lambda: stack(
        STEPS,
        L.LSTM(3, return_sequences=True, go_backwards=True),
        L.LSTM(3, recurrent_activation="hard_sigmoid", unroll=True),
    ),
    "cell": lambda: stack(STEPS, L.RNN(L.LSTMCell(3))),
    "cells": lambda: stack(STEPS, L.RNN([L.LSTMCell(3), L.GRUCell(2)])),
    "bidirectional": lambda: stack(
        STEPS,
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
        L.Bidirectional(L.SimpleRNN(3)),
    ),
    "backward_layer": lambda: stack(
        STEPS,
        L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True)),
    ),
    "conv_lstm": lambda: stack((3, 8, 8, 2), L.ConvLSTM2D(2, 3)),
    "masking": lambda: stack(STEPS, L.Masking(), L.LSTM(3)),
    "time_distributed": lambda: stack((3, 4), L.TimeDistributed(L.Dense(3))),
    "time_distributed_model": lambda: stack(
        (3, 8, 8, 1),
        L.TimeDistributed(
            stack((8, 8, 1), L.Conv2D(2, 3), L.BatchNormalization())
        ),
    ),
    "stateful": lambda: keras.Sequential(
        [keras.Input(batch_shape=(2, 6, 4)), L.LSTM(3, stateful=True)]
    ),
    "odd_name": lambda: stack((4,), L.Dense(2, name="my layer ($)")),
}


@pytest.mark.parametrize("name", STACKS)
def test_layers(name: str) -> None:
    check_twin(STACKS[name]())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    twin = check_twin(
        stack((8,), L.Dense(8, activation=name), L.Activation(name))
    )
    assert [type(layer).__name__ for layer in twin.layers[1:]] == [
        "Dense",
        "Activation",
    ]


CALLS = {
    "initial_state": lambda x: L.LSTM(3)(
        x, initial_state=[L.Dense(3)(x[:, 0]), L.Dense(3)(x[:, 1])]
    ),
    "return_state": lambda x: L.LSTM(3, return_state=True)(x),
    "states_both_ways": lambda x: L.Bidirectional(
        L.GRU(3, return_state=True, return_sequences=True)
    )(x),
    "attention": lambda x: L.Attention(use_scale=True)([x, x]),
    "additive_attention": lambda x: L.AdditiveAttention()([x, x, x]),
    "heads_causal": lambda x: L.MultiHeadAttention(
        2, 3, value_dim=2, output_shape=5
    )(query=x, value=x, use_causal_mask=True),
    "heads_scores": lambda x: L.MultiHeadAttention(2, 3)(
        x, x, return_attention_scores=True
    ),
    "heads_mask": lambda x: L.MultiHeadAttention(2, 3)(
        x, x, attention_mask=np.tril(np.ones((1, 6, 6)))
    ),
    "training_is_ignored": lambda x: L.Dropout(0.5)(x, training=True),
    "dot": lambda x: L.Dot(2)([L.Dense(3)(x), L.Dense(3)(x)]),
    "merges": lambda x: L.Average()(
        [L.Maximum()([x, L.Dense(4)(x)]), L.Subtract()([x, x])]
    ),
    "arithmetic": lambda x: (
        x * 2 + x - 1 / x + x**2 - (-x) + (x + L.Dense(4)(x)) * x
    ),
    "matmul": lambda x: ops.softmax(
        ops.matmul(x, ops.transpose(x, (0, 2, 1))) / 2.0
    ),
    "reductions": lambda x: ops.concatenate(
        [
            ops.reshape(x, (-1, 24)),
            ops.sum(x, 1),
            ops.max(x, (1,)),
            ops.mean(x, axis=1),
            ops.var(x, 1),
            ops.logsumexp(x, 1),
        ],
        axis=-1,
    ),
    "indexing": lambda x: [x[:, 2], x[:, ::2, None, 1:], x[..., -1]],
    "split_stack": lambda x: ops.stack(ops.split(x, 2, axis=1), axis=1),
    "einsum": lambda x: ops.einsum("abc,adc->abd", x, x),
    "comparison": lambda x: ops.where(x > 0, x, ops.zeros_like(x)),
    "cast": lambda x: ops.cast(ops.cast(x > 0, "int32") + 1, "float32"),
    "shapes": lambda x: ops.pad(
        ops.squeeze(ops.tile(ops.expand_dims(x, 1), (1, 1, 2, 1)), 1),
        ((0, 0), (1, 1), (0, 0)),
    ),
    "functions": lambda x: [
        function(ops.abs(x) + 0.1)
        for function in (
            ops.relu,
            ops.relu6,
            ops.sigmoid,
            ops.tanh,
            ops.gelu,
            ops.silu,
            ops.hard_silu,
            ops.leaky_relu,
            ops.exp,
            ops.log,
            ops.sqrt,
            ops.rsqrt,
            ops.erf,
            ops.normalize,
        )
    ],
    "clip": lambda x: ops.maximum(ops.minimum(ops.clip(x, -1, 1), 0.5), x),
    "several_outputs": lambda x: {
        "best": ops.top_k(x, 2),
        "moments": ops.moments(x, [1]),
        "hot": ops.one_hot(ops.argmax(x, -1), 4),
    },
    "constants": lambda x: x @ np.ones((4, 3), "float32") + ops.arange(3.0),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_and_operations(name: str) -> None:
    twin = check_twin(functional((6, 4), CALLS[name]))
    kinds = {type(layer).__name__ for layer in twin.layers}
    assert not {k for k in kinds if "OpLambda" in k}
