"""Tensors in the JSON of TF Serving's REST API, both ways.

The rules are those of TF Serving's "RESTful API" page: `instances` are rows,
`inputs` are columns; bytes are `{"b64": ...}`, in answers those of outputs
whose names end in `_bytes`; NaN and Infinity are numbers; a number is never
rounded to fit, nor a string or a truth value read as one.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .json_values import (
    JsonError,
    array,
    is_bytes,
    plain,
    sendable,
    shown,
)

# From an input's name to its dtype: NumPy's, `object` for strings.
Dtypes = Mapping[str, np.dtype]


def parse(
    body: bytes, inputs_of: Callable[[str], Dtypes]
) -> tuple[str, bool, dict[str, np.ndarray]]:
    """Reads the body of a predict request.

    Args:
        body: JSON.
        inputs_of: Gives a signature's inputs; raises if there is none such.

    Returns:
        The signature's name ("" for the default), whether the answer is to be
        in rows, and the inputs.
    """
    request = _load(body)
    signature = request.get("signature_name", "")
    if not isinstance(signature, str):
        raise JsonError("'signature_name' key must be a string value.")
    dtypes = inputs_of(signature)
    if not dtypes:
        raise JsonError(f"Failed to get input map for signature: {signature}")
    if "instances" in request and "inputs" in request:
        raise JsonError(
            "Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist"
        )
    if "instances" in request:
        return signature, True, _rows(request["instances"], dtypes)
    if "inputs" in request:
        return signature, False, _columns(request["inputs"], dtypes)
    raise JsonError("Missing 'inputs' or 'instances' key")


def answer(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Returns the body that answers a request in rows or in columns."""
    columns = {name: plain(name, value) for name, value in outputs.items()}
    if not rows:
        only = next(iter(columns.values())) if len(columns) == 1 else columns
        return json.dumps({"outputs": only}).encode()
    sizes = {np.shape(value)[:1] for value in outputs.values()}
    if len(sizes) != 1 or () in sizes:
        raise JsonError(
            "outputs have no common batch size: ask with 'inputs' instead of "
            "'instances'"
        )
    names = list(columns)
    lines = zip(*columns.values(), strict=True)
    if len(names) == 1:
        found: list[Any] = [line[0] for line in lines]
    else:
        found = [dict(zip(names, line, strict=True)) for line in lines]
    return json.dumps({"predictions": found}).encode()


def request(
    inputs: Mapping[str, Any], signature: str = "", rows: bool = False
) -> bytes:
    """Returns the body that a client sends; strings that are bytes as b64."""
    body: dict[str, Any] = {"signature_name": signature} if signature else {}
    columns = {name: sendable(value) for name, value in inputs.items()}
    if not rows:
        return json.dumps({**body, "inputs": columns}).encode()
    lines = zip(*columns.values(), strict=True)
    body["instances"] = [dict(zip(columns, one, strict=True)) for one in lines]
    return json.dumps(body).encode()


def _load(body: bytes) -> dict[str, Any]:
    """Parses a body that must be a JSON object."""
    if not body:
        raise JsonError("JSON Parse error: The document is empty")
    try:
        found = json.loads(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise JsonError(
            f"JSON Parse error: {error.msg} at offset: {error.pos}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise JsonError(f"JSON Parse error: {error}") from None
    if not isinstance(found, dict):
        raise JsonError(f"JSON Value: {shown(found)} Is not object")
    return found


def _rows(instances: Any, dtypes: Dtypes) -> dict[str, np.ndarray]:
    """Returns inputs of which each instance is a row."""
    if not isinstance(instances, list):
        raise JsonError("Excepting 'instances' to be an list/array")
    if not instances:
        raise JsonError("No values in 'instances' array")
    if not _is_named(instances[0]):
        if len(dtypes) > 1:
            raise JsonError(
                "instances is a plain list, but expecting list of objects as "
                "multiple input tensors required as per tensorinfo_map"
            )
        if any(_is_named(one) for one in instances):
            raise JsonError("Expecting value/list but got object in input list")
        (name,) = dtypes
        return {name: _named(name, instances, dtypes[name])}
    for index, one in enumerate(instances):
        if not _is_named(one) or set(one) != set(dtypes):
            raise JsonError(
                f"Failed to process element: {index} of 'instances' list. JSON "
                f"object: {shown(one)} keys must be equal to: "
                f"{','.join(sorted(dtypes))}"
            )
    return {
        name: _named(name, [one[name] for one in instances], dtype)
        for name, dtype in dtypes.items()
    }


def _columns(inputs: Any, dtypes: Dtypes) -> dict[str, np.ndarray]:
    """Returns inputs that are given whole."""
    if not _is_named(inputs):
        if len(dtypes) > 1:
            raise JsonError(
                "inputs is a plain value/list, but expecting an object as "
                "multiple input tensors required as per tensorinfo_map"
            )
        (name,) = dtypes
        return {name: _named(name, inputs, dtypes[name])}
    for name in dtypes:
        if name not in inputs:
            raise JsonError(f"Missing named input: {name} in 'inputs' object.")
    return {
        name: _named(name, inputs[name], dtype)
        for name, dtype in dtypes.items()
    }


def _named(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """Returns an input as an array; errors say which one."""
    try:
        return array(value, dtype)
    except JsonError as error:
        raise JsonError(f"Failed to process key: {name}. {error}") from None


def _is_named(value: Any) -> bool:
    """Tells an object of named tensors from an object that holds bytes."""
    return isinstance(value, dict) and not is_bytes(value)
