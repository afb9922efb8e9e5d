"""Arrays as values of JSON, both ways."""

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

import numpy as np

BYTES_SUFFIX = "_bytes"
SHOWN = 80
MOST_AXES = 16
TOO_BIG = "A number is beyond the range of 64-bit floats"


class JsonError(ValueError):
    """An error whose one line says why a JSON document is refused."""


def array(value: Any, dtype: np.dtype) -> np.ndarray:
    """Returns a JSON value as a dense array of exactly this dtype.

    Args:
        value: A value, or nested lists of values.
        dtype: The NumPy dtype; `object` for strings.

    Returns:
        The array; strings become bytes.

    Raises:
        JsonError: If the lists are ragged, or a value does not fit the dtype.
    """
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MOST_AXES:
        raise JsonError(f"lists are nested deeper than {MOST_AXES} levels")
    leaves: list[Any] = []
    _collect(value, shape, 0, leaves)
    if dtype.kind != "O":
        return _numbers(leaves, dtype).reshape(shape)
    strings = np.empty(len(leaves), object)
    strings[:] = [_string(leaf) for leaf in leaves]
    return strings.reshape(shape)


def plain(name: str, value: np.ndarray) -> Any:
    """Returns an output as JSON's own types.

    Args:
        name: The output's name; one that ends in `_bytes` is written as `b64`.
        value: The output; strings are bytes.
    """
    if value.dtype.kind not in "OSU":
        return value.tolist()
    if name.endswith(BYTES_SUFFIX):
        return _mapped(value, _encoded)
    return _mapped(value, lambda content: content.decode("utf-8", "replace"))


def sendable(value: Any) -> Any:
    """Returns an input as JSON's own types; bytes are written as `b64`."""
    value = np.asarray(value, object if _holds_strings(value) else None)
    if value.dtype.kind not in "OSU":
        return value.tolist()
    return _mapped(
        value,
        lambda text: _encoded(text) if isinstance(text, bytes) else str(text),
    )


def is_bytes(value: Any) -> bool:
    """Tells whether a value is an object that holds bytes."""
    return (
        isinstance(value, dict)
        and list(value) == ["b64"]
        and isinstance(value["b64"], str)
    )


def shown(value: Any) -> str:
    """Returns the start of a value as JSON, for an error."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _collect(
    value: Any, shape: list[int], level: int, leaves: list[Any]
) -> None:
    """Appends the leaves of a nested list that must have this shape."""
    if level == len(shape):
        if isinstance(value, list):
            raise JsonError(
                f"a list stands where a value must: {shown(value)}; other "
                f"lists are {level} levels deep"
            )
        leaves.append(value)
        return
    if not isinstance(value, list):
        raise JsonError(
            f"a value stands where a list must: {shown(value)}; other lists "
            f"are {len(shape)} levels deep"
        )
    if len(value) != shape[level]:
        raise JsonError(
            f"lists at level {level} must be of one length: {len(value)} "
            f"values stand where {shape[level]} must"
        )
    if level == len(shape) - 1 and list not in set(map(type, value)):
        leaves.extend(value)
        return
    for element in value:
        _collect(element, shape, level + 1, leaves)


def _string(leaf: Any) -> bytes:
    """Returns a string's bytes."""
    if is_bytes(leaf):
        text = "".join(leaf["b64"].split()).rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), None, True)
        except (binascii.Error, ValueError):
            raise JsonError("a value of b64 is not in base64") from None
    if not isinstance(leaf, str):
        raise _type_error(leaf, "string")
    try:
        return leaf.encode("utf-8")
    except UnicodeEncodeError:
        raise JsonError(f"{shown(leaf)} cannot be written in UTF-8") from None


def _numbers(leaves: list[Any], dtype: np.dtype) -> np.ndarray:
    """Returns an array of numbers or truth values.

    Raises:
        JsonError: If a leaf has another type, or does not fit the dtype.
    """
    if dtype.kind not in "biuf":
        raise JsonError(f"JSON has no values of type {dtype}")
    kinds = {"b": (bool,), "f": (float, int)}.get(dtype.kind, (int,))
    # `type` and not `isinstance`: a bool is an instance of int.
    if not set(map(type, leaves)) <= set(kinds):
        raise _type_error(
            next(leaf for leaf in leaves if type(leaf) not in kinds), dtype.name
        )
    if dtype.kind == "f":
        # As in TF Serving: rounded, and infinite beyond the dtype's range.
        try:
            wide = np.array(leaves, np.float64)
        except OverflowError:
            raise JsonError(TOO_BIG) from None
        with np.errstate(over="ignore"):
            return wide.astype(dtype)
    unfit = _unfit(leaves, dtype)
    if unfit is not None:
        raise JsonError(f"{shown(unfit)} is outside the range of {dtype.name}")
    return np.array(leaves, dtype)


def _unfit(leaves: list[Any], dtype: np.dtype) -> int | None:
    """Returns a whole number that this dtype cannot hold; None if all fit."""
    if dtype.kind == "b" or not leaves:
        return None
    info = np.iinfo(dtype)
    ends = min(leaves), max(leaves)
    return next((x for x in ends if not info.min <= x <= info.max), None)


def _type_error(leaf: Any, wanted: str) -> JsonError:
    return JsonError(f"{shown(leaf)} is no value of type {wanted}")


def _holds_strings(value: Any) -> bool:
    """Tells whether a nested list or an array holds strings or bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "OSU"
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (str, bytes))


def _mapped(value: np.ndarray, change: Callable[[Any], Any]) -> Any:
    """Returns an array of strings as nested lists, each string changed."""
    flat = np.empty(value.size, object)
    flat[:] = [change(string) for string in value.ravel()]
    return flat.reshape(value.shape).tolist()


def _encoded(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode("ascii")}
