"""Puts a user's raw examples through the front end of the model."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.splits import MemorySplit, Split, Splits
from common.options import InputError
from common.release import export

from . import archive, user_data, user_model
from .front_end import FrontEnd


def numbers(front: FrontEnd | None, splits: Splits) -> Splits:
    """Returns splits as the files take them, behind the front end.

    Args:
        front: The front end; None if the model has none.
        splits: Examples in the form of the model's own inputs.

    Raises:
        InputError: If an example does not fit the model or its vocabulary, or
            if the numbers do not fit into memory.
    """
    if front is None:
        return splits
    changed: dict[str, Any] = {}
    for name in ("train", "valid", "test"):
        split = getattr(splits, name)
        inputs = _inputs(front, split.features, splits.name)
        _check_size(front, inputs, splits.name)
        changed[name] = MemorySplit(_applied(front, inputs), split.labels)
    return dataclasses.replace(splits, **changed)


def signature(
    front: FrontEnd,
    split: Split,
    serve: Callable[[dict[str, Any]], dict[str, tf.Tensor]],
) -> export.Signature:
    """Returns the signature of a model with its front end.

    Args:
        front: The front end.
        split: Raw examples.
        serve: Returns the outputs by name for inputs of the files by name.
    """
    tensors = dict(
        zip(user_model.input_names(front.model), front.model.inputs,
            strict=True)
    )  # fmt: skip
    example = _inputs(front, split.sample(8, seed=0).features, "")

    def function(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        return serve(front.model(dict(zip(tensors, values, strict=True))))

    return export.Signature(
        function,
        tuple(
            tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name)
            for name, tensor in tensors.items()
        ),
        tuple(example.values()),
    )


def _inputs(
    front: FrontEnd, features: Any, source: str
) -> dict[str, np.ndarray]:
    """Returns raw examples by the name of their input, in its form.

    Args:
        front: The front end.
        features: An array `(num, ...)`, or arrays by the name of the input.
        source: The name of the data, for messages.
    """
    names = user_model.input_names(front.model)
    if not isinstance(features, Mapping):
        features = {names[0]: features}
    inputs = {}
    for name, tensor in zip(names, front.model.inputs, strict=True):
        array, shape = features[name], tuple(tensor.shape[1:])
        user_data.check_input(source, name, array, shape, tensor.dtype)
        if array.dtype.kind == "U":
            array = np.char.encode(array, "utf-8")
        elif array.dtype.kind != "S":
            array = array.astype(tensor.dtype)
        if array.ndim != len(tensor.shape):
            array = array.reshape(
                len(array), *(-1 if n is None else n for n in shape)
            )
        inputs[name] = array
    return inputs


def _applied(front: FrontEnd, inputs: dict[str, np.ndarray]) -> Any:
    """Returns what a front end gives: an array, or arrays by name."""
    try:
        outputs = front.model(inputs, training=False)
    except tf.errors.InvalidArgumentError as error:
        # Keras marks the first line as bold.
        reason = re.sub(r"\x1b\[\d*m", "", str(error.message))
        raise InputError(
            "the data must fit the model's front end, which fails with "
            f"{' '.join(reason.split())[:400]}"
        ) from None
    arrays = {name: np.asarray(x) for name, x in outputs.items()}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _check_size(
    front: FrontEnd, inputs: dict[str, np.ndarray], source: str
) -> None:
    """Refuses examples whose numbers need more than half of the memory."""
    num = len(next(iter(inputs.values())))
    size = num * sum(
        math.prod(n or 1 for n in tensor.shape[1:])
        * tf.as_dtype(tensor.dtype).size
        for tensor in front.model.outputs
    )
    memory = archive.memory()
    if size > memory / 2:
        raise InputError(
            f"the examples of {source} must fit into half of the memory "
            f"({memory / 2**30:,.1f} GiB) behind the model's front end; they "
            f"need {size / 2**30:,.1f} GiB. Pass fewer examples."
        )
