"""Tells whether a model scales bytes to small numbers itself.

The input is followed through the model's graph, through layers and operations
without a kernel, as far as the first layers with a kernel. The numbers that
reach these for bytes, and for the same bytes divided by 255, show which of the
two inputs the model was made for.
"""

from typing import Any

import keras
import numpy as np

from common.keras2 import graph
from common.options import InputError

from . import user_model

# Scaled numbers span less than this, bytes more.
SMALL = 20.0
SIDE = 32  # The height and width, in pixels, of a model that fixes neither.


def scales_itself(model: keras.Model, name: str) -> bool:
    """Tells whether a model is made for bytes from 0 to 255, unscaled.

    Args:
        model: A functional or Sequential model.
        name: The name of the input that is fed bytes.

    Raises:
        InputError: If the graph does not show it.
    """
    functional = graph.as_functional(model)
    tensor = functional.inputs[user_model.input_names(functional).index(name)]
    shape = [size or SIDE for size in tensor.shape[1:]]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape))
    pixels = pixels.astype(np.float32)
    pixels[0].flat[0], pixels[0].flat[-1] = 0, 255
    try:
        bytes_span = _span(functional, tensor, pixels)
        unit_span = _span(functional, tensor, pixels / 255)
    # An operation can raise any error for numbers that it is not made for.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(_uncertain(name, reason)) from None
    if bytes_span is None or unit_span is None:
        return False  # Bytes reach no kernel: their scale hardly matters.
    if bytes_span == (0.0, 255.0):
        return False  # Bytes reach the first kernel unchanged.
    if bytes_span[1] - bytes_span[0] <= SMALL:
        return True
    if _is_centred(unit_span):
        return False
    if _is_centred(bytes_span):
        return True
    low, high = bytes_span
    raise InputError(
        _uncertain(name, f"bytes arrive as {low:.3g} to {high:.3g}")
    )


def _uncertain(name: str, reason: str) -> str:
    """Returns the message that asks for `--scale`."""
    return (
        "--scale must be given, as 1 or as 1/255: the model changes the bytes "
        f"of {name} before its first kernel in a way that does not show "
        f"which scale it was trained with ({reason})."
    )


def _is_centred(span: tuple[float, float]) -> bool:
    """Tells whether numbers lie around zero or begin near zero."""
    low, high = span
    return high - low > 0.05 and abs(low + high) / 2 <= 0.6 * (high - low)


def _span(
    functional: keras.Model, tensor: keras.KerasTensor, pixels: np.ndarray
) -> tuple[float, float] | None:
    """Returns the least and the greatest number that reaches a kernel.

    Args:
        functional: The graph.
        tensor: The input that is fed the pixels.
        pixels: `(num, *shape) float32`.

    Returns:
        The two numbers, None if no kernel is reached.
    """
    reached: list[np.ndarray] = []
    _follow(functional, {id(tensor): pixels}, reached)
    if not reached:
        return None
    return (
        float(min(array.min() for array in reached)),
        float(max(array.max() for array in reached)),
    )


def _follow(
    functional: keras.Model, values: dict[int, Any], reached: list[np.ndarray]
) -> None:
    """Computes all tensors that can be computed without a kernel.

    Args:
        functional: The graph.
        values: The known arrays, by the id of their symbolic tensor; those
            that are computed are added.
        reached: The inputs of layers with a kernel are added to it.
    """
    for node in graph.live_nodes(functional):
        arguments = graph.call_arguments(node)
        needed = graph.tensors(arguments)
        known = [
            values[id(tensor)] for tensor in needed if id(tensor) in values
        ]
        if not known:
            continue
        operation = node.operation
        if graph.is_nested(operation):
            inner = graph.as_functional(operation)
            if len(known) == len(inner.inputs) == 1:
                inside = {id(inner.inputs[0]): known[0]}
                _follow(inner, inside, reached)
                outputs = [inside.get(id(tensor)) for tensor in inner.outputs]
                for tensor, value in zip(node.outputs, outputs, strict=True):
                    if value is not None:
                        values[id(tensor)] = value
            continue
        if _has_kernel(operation):
            reached += [np.asarray(array, np.float32) for array in known]
            continue
        if len(known) < len(needed):
            continue  # An argument depends on the output of a kernel.
        args, kwargs = keras.tree.map_structure(
            lambda leaf: values[id(leaf)] if graph.is_symbolic(leaf) else leaf,
            arguments,
        )
        outputs = keras.tree.flatten(operation(*args, **kwargs))
        for tensor, value in zip(node.outputs, outputs, strict=True):
            values[id(tensor)] = keras.ops.convert_to_numpy(value)


def _has_kernel(operation: Any) -> bool:
    """Tells whether a layer has weights of two axes or more."""
    weights = getattr(operation, "weights", ())
    # Statistics for each channel are vectors, but may have axes of size 1.
    return any(
        np.prod(weight.shape) > max(weight.shape, default=1)
        for weight in weights
    )
