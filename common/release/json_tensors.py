"""Tensors in the JSON of TF Serving's REST API, both ways.

The rules are those of TF Serving's "RESTful API" page: `instances` are rows,
`inputs` are columns. Bytes are `{"b64": ...}`; in answers, only outputs whose
names end in `_bytes` are written so. NaN and Infinity are numbers. For a float
input numbers are rounded; a whole number that does not fit its input, a string
and a truth value are refused.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .json_values import (
    TOO_BIG,
    JsonError,
    array,
    is_bytes,
    plain,
    sendable,
    shown,
)

# Maps an input's name to its NumPy dtype, `object` for strings.
Dtypes = Mapping[str, np.dtype]


def parse(
    body: bytes, inputs_of: Callable[[str], Dtypes]
) -> tuple[str, bool, dict[str, np.ndarray]]:
    """Reads the body of a predict request.

    Args:
        body: JSON.
        inputs_of: Returns the dtypes of a signature's inputs; raises if there
            is no such signature.

    Returns:
        The signature's name ("" for the default), whether the answer must be
        in rows, and the inputs by name.

    Raises:
        JsonError: If the body is no such request.
    """
    request = _load(body)
    signature = request.get("signature_name", "")
    if not isinstance(signature, str):
        raise JsonError("'signature_name' must be a string")
    dtypes = inputs_of(signature)
    if not dtypes:
        raise JsonError(f"The signature {signature!r} has no inputs")
    if "instances" in request and "inputs" in request:
        raise JsonError(
            "A request has either 'instances' or 'inputs'; received both"
        )
    if "instances" in request:
        inputs = _rows(request["instances"], dtypes)
    elif "inputs" in request:
        inputs = _columns(request["inputs"], dtypes)
    else:
        raise JsonError("A request must have 'instances' or 'inputs'")
    if any(v.dtype.kind == "f" and np.isinf(v).any() for v in inputs.values()):
        json.loads(body, parse_float=_finite)
    return signature, "instances" in request, inputs


def answer(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Returns the body of an answer.

    Args:
        outputs: The outputs by name; strings are an object array of bytes.
        rows: Whether the answer has `predictions` in rows, or `outputs` in
            columns.

    Raises:
        JsonError: If the answer must be in rows and the outputs have no common
            first axis.
    """
    columns = {name: plain(name, value) for name, value in outputs.items()}
    if not rows:
        only = next(iter(columns.values())) if len(columns) == 1 else columns
        return json.dumps({"outputs": only}).encode()
    sizes = {np.shape(value)[:1] for value in outputs.values()}
    if len(sizes) != 1 or () in sizes:
        raise JsonError(
            "The outputs are not rows of one batch: ask with 'inputs' instead "
            "of 'instances'"
        )
    names = list(columns)
    lines = zip(*columns.values(), strict=True)
    if len(names) == 1:
        predictions: list[Any] = [line[0] for line in lines]
    else:
        predictions = [dict(zip(names, line, strict=True)) for line in lines]
    return json.dumps({"predictions": predictions}).encode()


def request(
    inputs: Mapping[str, Any], signature: str = "", rows: bool = False
) -> bytes:
    """Returns the body of a predict request; bytes are written as `b64`.

    Args:
        inputs: Arrays, or nested lists, by name.
        signature: The signature's name; "" for the default.
        rows: Whether the inputs are sent as `instances`, or as `inputs`.
    """
    body: dict[str, Any] = {"signature_name": signature} if signature else {}
    columns = {name: sendable(value) for name, value in inputs.items()}
    if not rows:
        return json.dumps({**body, "inputs": columns}).encode()
    lines = zip(*columns.values(), strict=True)
    body["instances"] = [
        dict(zip(columns, line, strict=True)) for line in lines
    ]
    return json.dumps(body).encode()


def _load(body: bytes) -> dict[str, Any]:
    """Parses a body that must be a JSON object."""
    if not body:
        raise JsonError("The body must be JSON; it is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise JsonError(
            f"The body must be JSON: {error.msg} at character {error.pos}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise JsonError(f"The body must be JSON: {error}") from None
    if not isinstance(document, dict):
        raise JsonError(
            f"The body must be a JSON object; received {shown(document)}"
        )
    return document


def _finite(text: str) -> float:
    """Refuses a number such as 1e400, which Python reads as infinity."""
    value = float(text)
    if math.isinf(value):
        raise JsonError(TOO_BIG)
    return value


def _rows(instances: Any, dtypes: Dtypes) -> dict[str, np.ndarray]:
    """Returns the inputs by name; each instance is a row of all inputs."""
    if not isinstance(instances, list):
        raise JsonError("'instances' must be a list of rows")
    if not instances:
        raise JsonError("'instances' must have at least one row")
    if not _is_named(instances[0]):
        if len(dtypes) > 1:
            raise JsonError(
                "The signature has several inputs, so each row of 'instances' "
                f"must be an object of {', '.join(sorted(dtypes))}"
            )
        if any(_is_named(instance) for instance in instances):
            raise JsonError(
                "Rows of 'instances' must all be objects of inputs, or none"
            )
        (name,) = dtypes
        return {name: _named(name, instances, dtypes[name])}
    for index, instance in enumerate(instances):
        if not _is_named(instance) or set(instance) != set(dtypes):
            raise JsonError(
                f"Row {index} of 'instances' must be an object of "
                f"{', '.join(sorted(dtypes))}; received {shown(instance)}"
            )
    return {
        name: _named(name, [instance[name] for instance in instances], dtype)
        for name, dtype in dtypes.items()
    }


def _columns(inputs: Any, dtypes: Dtypes) -> dict[str, np.ndarray]:
    """Returns the inputs by name; each value holds all rows of an input."""
    if not _is_named(inputs):
        if len(dtypes) > 1:
            raise JsonError(
                "The signature has several inputs, so 'inputs' must be an "
                f"object of {', '.join(sorted(dtypes))}"
            )
        (name,) = dtypes
        return {name: _named(name, inputs, dtypes[name])}
    for name in dtypes:
        if name not in inputs:
            raise JsonError(f"'inputs' must have the input {name}")
    return {
        name: _named(name, inputs[name], dtype)
        for name, dtype in dtypes.items()
    }


def _named(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """Returns an input as an array; an error names the input."""
    try:
        return array(value, dtype)
    except JsonError as error:
        raise JsonError(f"Input {name}: {error}") from None


def _is_named(value: Any) -> bool:
    """Tells an object of named tensors from an object that holds bytes."""
    return isinstance(value, dict) and not is_bytes(value)
