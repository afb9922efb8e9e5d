"""The tf_keras layer that computes any operation of keras.ops."""

import importlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from . import twin_layers

_PACKAGE = "keras.src.ops."


@twin_layers.register
class OperationLayer(twin_layers.OpLayer):
    """Calls one operation of keras.ops as a graph recorded it.

    Its inputs are the tensors of that call; all other arguments of the call are
    configuration, so that the layer can be cloned and saved.

    Args:
        operation: The module and the class, such as `numpy.Mean`.
        config: The arguments of the operation's constructor, encoded.
        arguments: The call's args and kwargs, encoded; see `encode`.
        **kwargs: The name and the dtype of the layer.
    """

    def __init__(
        self,
        operation: str,
        config: dict[str, Any],
        arguments: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.operation = operation
        self.config = config
        self.arguments = arguments
        module, name = operation.split(".")
        cls = getattr(importlib.import_module(_PACKAGE + module), name)
        self._function = cls(**decode(config, []))

    def call(self, inputs: Any) -> Any:
        """Returns the operation's output, or a flat list of several outputs."""
        args, kwargs = decode(self.arguments, tf.nest.flatten(inputs))
        outputs = keras.tree.flatten(self._function.call(*args, **kwargs))
        return outputs if len(outputs) > 1 else outputs[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "operation": self.operation,
            "config": self.config,
            "arguments": self.arguments,
        }


def describe(node: Any) -> dict[str, Any]:
    """Returns the configuration of the layer for a call of an operation.

    Args:
        node: The call, as the Keras 3 graph holds it.

    Raises:
        TypeError: If the operation is not of keras.ops, or an argument cannot
            be encoded, such as a function or a variable.
    """
    cls = type(node.operation)
    if not cls.__module__.startswith(_PACKAGE):
        raise TypeError(f"{cls} is not one of keras.ops")
    config = dict(node.operation.get_config())
    config.pop("name", None)
    arguments = [list(node.arguments.args), dict(node.arguments.kwargs)]
    return {
        "operation": f"{cls.__module__.removeprefix(_PACKAGE)}.{cls.__name__}",
        "config": encode(config, []),
        "arguments": encode(arguments, []),
        "dtype": _layer_dtype(node),
    }


def _layer_dtype(node: Any) -> str:
    """Returns a float dtype for the layer, which computes nothing in it."""
    dtype = node.outputs[0].dtype
    return dtype if "float" in dtype else "float32"


def encode(value: Any, seen: list[Any]) -> Any:
    """Returns call arguments as JSON types.

    Args:
        value: Tensors, constants, and containers of them.
        seen: Collects the tensors in the order of their numbers.

    Returns:
        The value, with `{"tensor": number}` for a tensor, `{"slice": [...]}`
        for a slice, and so on.

    Raises:
        TypeError: If a value is a function, a variable or the like.
    """
    if isinstance(value, keras.KerasTensor):
        seen.append(value)
        return {"tensor": len(seen) - 1}
    if isinstance(value, dict):
        items = [[k, encode(value[k], seen)] for k in sorted(value)]
        return {"dict": items}
    if isinstance(value, list):
        return [encode(x, seen) for x in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(x, seen) for x in value]}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return {"slice": [encode(x, seen) for x in parts]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype | tf.DType):
        return value.name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _encode_array(value)


def _encode_array(value: Any) -> Any:
    """Returns a constant array as JSON types; raises TypeError for others."""
    if isinstance(value, tf.Variable | keras.Variable) or callable(value):
        raise TypeError(f"{type(value)} is not a constant")
    if isinstance(value, tf.Tensor):
        value = value.numpy()
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return {"array": array.tolist(), "dtype": array.dtype.name}
    raise TypeError(f"{type(value)} is not a constant")


def decode(value: Any, tensors: list[Any]) -> Any:
    """Returns the value that `encode` encoded, with tensors in their places.

    Args:
        value: The encoded value.
        tensors: The tensors, in the order of their numbers.
    """
    if isinstance(value, list):
        return [decode(x, tensors) for x in value]
    if not isinstance(value, dict):
        return value
    (kind, content), *rest = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {k: decode(x, tensors) for k, x in content}
    if kind == "tuple":
        return tuple(decode(x, tensors) for x in content)
    if kind == "slice":
        return slice(*(decode(x, tensors) for x in content))
    if kind == "ellipsis":
        return Ellipsis
    return np.array(content, dtype=rest[0][1])
