"""Layers, operations and refusals of the Keras 2 bridge."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers as L  # noqa: N812
from keras import ops
from keras2_stacks import STACKS, stack

from common.keras2 import bridge, check
from common.keras2.weights import weights_back

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


# As Activation layers, those that TF-MOT's quantization takes.
QUANTIZABLE = "linear relu relu6 sigmoid silu softmax swish tanh gelu"


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
    twin = bridge.to_tf_keras(model)
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
    weights_back(clone, model)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    return twin


def functional(
    shape: Any, build: Callable[..., Any], dtype: Any = None
) -> keras.Model:
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, build(inputs))


@pytest.mark.parametrize("name", STACKS)
def test_layers(name: str) -> None:
    check_twin(STACKS[name]())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    twin = check_twin(
        stack((8,), L.Dense(8, activation=name), L.Activation(name))
    )
    kind = "Activation" if name in QUANTIZABLE.split() else "OtherActivation"
    # TF-MOT quantizes these inside a dense layer, but relu6.
    inside = kind == "Activation" and name != "relu6"
    assert [type(layer).__name__ for layer in twin.layers[1:]] == [
        "Dense",
        *([] if inside else [kind]),
        kind,
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
