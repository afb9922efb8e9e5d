"""Compares a model with its twin on random inputs."""

from typing import Any

import keras
import numpy as np
import tf_keras

from . import graph

_TOLERANCE = 1e-4
_TOLERANCE_HALF = 3e-2  # The model computes in 16 bits, the twin may not.
# The tolerance, in multiples of the difference that a change of the inputs'
# last bits makes, where rounding is amplified.
_NOISE = 10.0
_SMALL = 1e-3  # The least size of outputs that differences are relative to.
_UNKNOWN_DIMENSION = 32
_LARGER_DIMENSION = 128  # For networks that shrink images below one pixel.
_BATCH = 2


def compare(model: keras.Model, twin: tf_keras.Model, seed: int = 0) -> float:
    """Returns the difference between the outputs of a model and of its twin.

    Args:
        model: The Keras 3 model.
        twin: The tf_keras model.
        seed: The seed of the random inputs.

    Returns:
        The largest difference, relative to the output's largest value or to
        `_SMALL`, whichever is larger.

    Raises:
        ValueError: If a difference exceeds the tolerance.
    """
    inputs, outputs = _inputs_and_outputs(model, seed)
    _reset_states(twin)
    twin_outputs = _numbers(twin(inputs, training=False))
    worst = 0.0
    for expected, actual in zip(outputs, twin_outputs, strict=True):
        if expected.shape != actual.shape:
            raise ValueError(
                "outputs of the twin must have the model's shape "
                f"{expected.shape}; received {actual.shape}. Please report the "
                "model."
            )
        difference, scale = _difference(expected, actual)
        limit = _tolerance(model) * max(_SMALL, scale)
        if difference > limit:  # Deep, untrained networks amplify rounding.
            limit = max(limit, _NOISE * _sensitivity(model, inputs, outputs))
        if not difference <= limit:
            raise ValueError(
                f"outputs of the twin must equal the model's to {limit:.1e}; "
                f"received a difference of {difference:.1e}. Please report "
                "the model, or pass check=False."
            )
        worst = max(worst, difference / max(_SMALL, scale))
    return worst


def _inputs_and_outputs(
    model: keras.Model, seed: int
) -> tuple[Any, list[np.ndarray]]:
    """Returns random inputs and a model's outputs for them.

    If the model fails and has open dimensions, larger inputs are tried.
    """
    _reset_states(model)
    inputs = random_inputs(model, seed)
    try:
        return inputs, _numbers(model(inputs, training=False))
    except Exception:
        if all(None not in x.shape[1:] for x in model.inputs):
            raise
    inputs = random_inputs(model, seed, unknown=_LARGER_DIMENSION)
    return inputs, _numbers(model(inputs, training=False))


def _reset_states(model: keras.Model | tf_keras.Model) -> None:
    """Resets the states of stateful layers."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            _reset_states(layer)
        elif getattr(layer, "stateful", False):
            layer.reset_states()


def random_inputs(
    model: keras.Model, seed: int = 0, unknown: int = _UNKNOWN_DIMENSION
) -> Any:
    """Returns random inputs in a model's structure, shapes and dtypes.

    Integers are below the size of the embeddings that they index. The batch
    size is 2 if the model leaves it open.

    Args:
        model: A functional or Sequential Keras 3 model.
        seed: The seed of the random numbers.
        unknown: The size of other dimensions that the model leaves open.

    Returns:
        Arrays in the structure of the model's inputs.
    """
    functional = graph.as_functional(model)
    bounds = index_bounds(functional)
    rng = np.random.default_rng(seed)
    values = {}
    for tensor in model.inputs:
        shape = [unknown if n is None else n for n in tensor.shape]
        if tensor.shape[0] is None:
            shape[0] = _BATCH
        bound = bounds.get(id(tensor))
        values[id(tensor)] = _sample(shape, tensor.dtype, bound, rng)
    return keras.tree.map_structure(
        lambda t: values[id(t)], functional._inputs_struct
    )


def index_bounds(functional: keras.Model) -> dict[int, int]:
    """Returns the bounds of the tensors that are used as indices.

    Args:
        functional: A functional Keras 3 model.

    Returns:
        The size of the smallest table that a symbolic tensor indexes, by the
        tensor's id. Its values must be below that size.
    """
    bounds: dict[int, int] = {}
    for node in reversed(graph.live_nodes(functional)):
        operation = node.operation
        inputs = graph.tensors(graph.call_arguments(node))
        limit = getattr(operation, "input_dim", None) or getattr(
            operation, "num_tokens", None
        )
        if graph.is_nested(operation):
            inner = graph.as_functional(operation)
            inner_bounds = index_bounds(inner)
            limits = [inner_bounds.get(id(t)) for t in inner.inputs]
        elif limit and type(operation).__name__ in _TABLES:
            limits = [limit] * len(inputs)
        else:
            below = [bounds[id(t)] for t in node.outputs if id(t) in bounds]
            limits = [min(below, default=None)] * len(inputs)
        for tensor, bound in zip(inputs, limits, strict=False):
            if bound is not None:
                old = bounds.get(id(tensor), bound)
                bounds[id(tensor)] = min(bound, old)
    return bounds


_TABLES = ("CategoryEncoding", "Embedding", "ReversibleEmbedding")


def _sample(shape: list[int], dtype: str, bound: int | None, rng: Any) -> Any:
    """Returns one random input: indices, bytes, booleans or floats."""
    if bound is not None or "int" in dtype:
        top = bound or (256 if dtype == "uint8" else 2)
        return rng.integers(0, top, shape).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(dtype)
    values = rng.normal(size=shape)
    values[0] = np.abs(values[0]) + 0.1  # For logarithms and roots.
    return keras.ops.convert_to_numpy(keras.ops.cast(values, dtype))


def _numbers(outputs: Any) -> list[np.ndarray]:
    """Returns the output tensors as a flat list of float64 arrays."""
    return [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float64"))
        for x in keras.tree.flatten(outputs)
    ]


def _difference(
    expected: np.ndarray, actual: np.ndarray
) -> tuple[float, float]:
    """Returns the largest difference and the largest finite value expected."""
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    difference = np.where(same, 0.0, np.abs(expected - actual))
    finite = np.abs(expected[np.isfinite(expected)])
    return float(difference.max(initial=0.0)), float(finite.max(initial=0.0))


def _sensitivity(
    model: keras.Model, inputs: Any, outputs: list[np.ndarray]
) -> float:
    """Returns how much the outputs change with the float inputs' last bits."""
    changed = keras.tree.map_structure(
        lambda x: x * (1 + 2.0**-22) if x.dtype.kind == "f" else x, inputs
    )
    changed = keras.tree.map_structure(
        lambda x, y: x.astype(y.dtype), changed, inputs
    )
    _reset_states(model)
    changed_outputs = _numbers(model(changed, training=False))
    return max(
        _difference(before, after)[0]
        for before, after in zip(outputs, changed_outputs, strict=True)
    )


def _tolerance(model: keras.Model) -> float:
    """Returns the relative tolerance for the model's precision."""
    policies = {layer.dtype_policy.name for layer in model.layers}
    half = any("16" in name for name in policies)
    return _TOLERANCE_HALF if half else _TOLERANCE
