"""Whether a model brings bytes to small numbers itself.

The input is followed through the model's graph, through layers and operations
that have no kernel, as far as the first kernels. What reaches them for bytes,
and for the same divided by 255, tells which of the two the model was made for.
"""

from typing import Any

import keras
import numpy as np

from common.keras2 import graph
from common.options import InputError

from . import user_model

# Numbers that first kernels are trained on span less, bytes more.
SMALL = 20.0
SIDE = 32  # Pixels, where a model leaves the height and the width open.


def scales_itself(model: keras.Model, name: str) -> bool:
    """Tells whether a model takes bytes as they are.

    Args:
        model: A functional or Sequential model.
        name: The input that is given bytes.

    Raises:
        InputError: If that cannot be told.
    """
    functional = graph.as_functional(model)
    place = functional.inputs[user_model.input_names(functional).index(name)]
    shape = [size or SIDE for size in place.shape[1:]]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape))
    pixels = pixels.astype(np.float32)
    pixels[0].flat[0], pixels[0].flat[-1] = 0, 255
    try:
        bytes_span = _span(functional, place, pixels)
        unit_span = _span(functional, place, pixels / 255)
    except Exception as error:  # Any operation's own, on numbers not its own.
        reason = " ".join(str(error).split())[:120]
        raise InputError(_uncertain(name, reason)) from None
    if bytes_span is None or unit_span is None:
        return False  # No kernel is reached: nothing can be wrong by much.
    if bytes_span == (0.0, 255.0):
        return False  # Nothing happens to them on the way.
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
    """Returns the refusal to guess."""
    return (
        "--scale must be given, as 1 or as 1/255: the model changes the bytes "
        f"of {name} before its first kernel in a way that does not tell "
        f"which it was trained with ({reason})."
    )


def _is_centred(span: tuple[float, float]) -> bool:
    """Tells whether numbers lie around zero, or begin there."""
    low, high = span
    return high - low > 0.05 and abs(low + high) / 2 <= 0.6 * (high - low)


def _span(
    functional: keras.Model, place: keras.KerasTensor, pixels: np.ndarray
) -> tuple[float, float] | None:
    """Returns the least and the greatest number that reaches a kernel."""
    reached: list[np.ndarray] = []
    _follow(functional, {id(place): pixels}, reached)
    if not reached:
        return None
    return (
        float(min(one.min() for one in reached)),
        float(max(one.max() for one in reached)),
    )


def _follow(
    functional: keras.Model, values: dict[int, Any], reached: list[np.ndarray]
) -> None:
    """Computes what can be without a kernel, and notes what reaches one.

    Args:
        functional: The graph.
        values: Arrays by the id of the symbolic tensor; more are added.
        reached: Takes the inputs of layers with kernels.
    """
    for node in graph.live_nodes(functional):
        arguments = graph.call_arguments(node)
        needed = graph.tensors(arguments)
        known = [values[id(one)] for one in needed if id(one) in values]
        if not known:
            continue
        operation = node.operation
        if graph.is_nested(operation):
            inner = graph.as_functional(operation)
            if len(known) == len(inner.inputs) == 1:
                inside = {id(inner.inputs[0]): known[0]}
                _follow(inner, inside, reached)
                outputs = [inside.get(id(one)) for one in inner.outputs]
                for one, value in zip(node.outputs, outputs, strict=True):
                    if value is not None:
                        values[id(one)] = value
            continue
        if _has_kernel(operation):
            reached += [np.asarray(one, np.float32) for one in known]
            continue
        if len(known) < len(needed):
            continue  # It waits for what only kernels give.
        args, kwargs = keras.tree.map_structure(
            lambda one: values[id(one)] if graph.is_symbolic(one) else one,
            arguments,
        )
        found = keras.tree.flatten(operation(*args, **kwargs))
        for one, value in zip(node.outputs, found, strict=True):
            values[id(one)] = keras.ops.convert_to_numpy(value)


def _has_kernel(operation: Any) -> bool:
    """Tells whether a layer has weights of two axes or more."""
    weights = getattr(operation, "weights", ())
    # Statistics for each channel are vectors, kept with a batch axis.
    return any(
        np.prod(one.shape) > max(one.shape, default=1) for one in weights
    )
