"""Compares a model with its twin on random inputs."""

from typing import Any

import keras
import numpy as np

from . import graph

_TOLERANCE = 1e-4
_TOLERANCE_HALF = 3e-2  # The model computes in 16 bits, the twin may not.
_NOISE = 10.0  # Times what a change in the inputs' last bits makes.
_SMALL = 1e-3  # Outputs below this are compared as if this large.
_UNKNOWN_DIMENSION = 32
_LARGER_DIMENSION = 128  # For networks that shrink images below one pixel.
_BATCH = 2


def compare(model: Any, twin: Any, seed: int = 0) -> float:
    """Compares the outputs of a model and of its twin.

    Args:
        model: the Keras 3 model.
        twin: the tf_keras model.
        seed: of the random inputs.

    Returns:
        The largest difference, relative to the largest output, which counts
        as `_SMALL` where it is below that.

    Raises:
        ValueError: the difference exceeds the tolerance.
    """
    inputs, ours = _inputs_and_outputs(model, seed)
    _reset_states(twin)
    theirs = _numbers(twin(inputs, training=False))
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise ValueError(
                f"outputs of the twin must have the model's shape {a.shape}; "
                f"received {b.shape}. Please report the model."
            )
        difference, scale = _difference(a, b)
        limit = _tolerance(model) * max(_SMALL, scale)
        if difference > limit:  # Deep, untrained networks amplify rounding.
            limit = max(limit, _NOISE * _sensitivity(model, inputs, ours))
        if not difference <= limit:
            raise ValueError(
                f"outputs of the twin must equal the model's to {limit:.1e}; "
                f"received a difference of {difference:.1e}. Please report "
                "the model, or pass check=False."
            )
        worst = max(worst, difference / max(_SMALL, scale))
    return worst


def _inputs_and_outputs(model: Any, seed: int) -> tuple[Any, list[Any]]:
    """Runs a model; a second time with larger inputs if it must."""
    _reset_states(model)
    inputs = random_inputs(model, seed)
    try:
        return inputs, _numbers(model(inputs, training=False))
    except Exception:
        if all(None not in x.shape[1:] for x in model.inputs):
            raise
    inputs = random_inputs(model, seed, unknown=_LARGER_DIMENSION)
    return inputs, _numbers(model(inputs, training=False))


def _reset_states(model: Any) -> None:
    """Forgets what stateful layers remember."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            _reset_states(layer)
        elif getattr(layer, "stateful", False):
            layer.reset_states()


def random_inputs(
    model: Any, seed: int = 0, unknown: int = _UNKNOWN_DIMENSION
) -> Any:
    """Makes inputs in the structure, shapes and dtypes a model takes.

    Integers stay below the sizes of the embeddings that they reach; unknown
    dimensions become `unknown`, the batch 2.

    Args:
        model: a functional or Sequential Keras 3 model.
        seed: of the random numbers.
        unknown: the size of dimensions that the model leaves open.

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


def index_bounds(functional: Any) -> dict[int, int]:
    """Finds which tensors end up as indices, and what they must stay below.

    Returns:
        By id of a symbolic tensor: the size of the smallest table it indexes.
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
            found = index_bounds(inner)
            limits = [found.get(id(t)) for t in inner.inputs]
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
    """Draws one input: indices, bytes, booleans or floats."""
    if bound is not None or "int" in dtype:
        top = bound or (256 if dtype == "uint8" else 2)
        return rng.integers(0, top, shape).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(dtype)
    values = rng.normal(size=shape)
    values[0] = np.abs(values[0]) + 0.1  # Where logarithms and roots work.
    return keras.ops.convert_to_numpy(keras.ops.cast(values, dtype))


def _numbers(outputs: Any) -> list[Any]:
    """Returns the output tensors as a flat list of float64 arrays."""
    return [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float64"))
        for x in keras.tree.flatten(outputs)
    ]


def _difference(a: Any, b: Any) -> tuple[float, float]:
    """Returns the largest difference and the largest finite value."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    difference = np.where(same, 0.0, np.abs(a - b))
    finite = np.abs(a[np.isfinite(a)])
    return float(difference.max(initial=0.0)), float(finite.max(initial=0.0))


def _sensitivity(model: Any, inputs: Any, outputs: list[Any]) -> float:
    """Returns how far the last bits of float inputs move the outputs."""
    moved = keras.tree.map_structure(
        lambda x: x * (1 + 2.0**-22) if x.dtype.kind == "f" else x, inputs
    )
    moved = keras.tree.map_structure(
        lambda x, y: x.astype(y.dtype), moved, inputs
    )
    _reset_states(model)
    others = _numbers(model(moved, training=False))
    return max(
        _difference(a, b)[0] for a, b in zip(outputs, others, strict=True)
    )


def _tolerance(model: Any) -> float:
    """Returns the relative tolerance for the model's precision."""
    policies = {layer.dtype_policy.name for layer in model.layers}
    half = any("16" in name for name in policies)
    return _TOLERANCE_HALF if half else _TOLERANCE
