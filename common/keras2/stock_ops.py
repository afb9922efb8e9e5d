"""Finds stock tf_keras layers that compute operations of keras.ops."""

from collections.abc import Callable
from typing import Any

import tf_keras

_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")


def find(
    node: Any, args: list[Any], kwargs: dict[str, Any], layer_name: str
) -> tuple[Any, Any] | None:
    """Returns the stock layer for a call of an operation, and its inputs.

    Args:
        node: The call, as the Keras 3 graph holds it.
        args: The call's arguments, with tf_keras tensors for Keras 3's.
        kwargs: The call's arguments by name, with tf_keras tensors too.
        layer_name: The name of the layer.

    Returns:
        The layer and its inputs, or None if no stock layer is equal. There is
        none for tensors with a mask: operations drop masks, but stock layers
        pass them on.
    """
    flat = [x for part in args for x in _items(part)]
    if kwargs or any(getattr(x, "_keras_mask", None) is not None for x in flat):
        return None
    operation = node.operation
    name = type(operation).__name__
    # The dtype of the twin's tensors: mixed precision is float32 there.
    dtypes = [x.dtype.name for x in flat if is_tensor(x)]
    if "float" not in node.outputs[0].dtype or "float" not in dtypes[0]:
        return None
    common = {"name": layer_name, "dtype": dtypes[0]}
    if name in _MERGES:
        return _merge(name, flat, common)
    if name in _MAKERS and len(args) == 1:
        layer = _MAKERS[name](node, common)
        return None if layer is None else (layer, args[0])
    return None


def is_tensor(value: Any) -> bool:
    """Returns whether a value is a tf_keras symbolic tensor."""
    return hasattr(value, "_keras_history")


def _items(part: Any) -> list[Any]:
    return list(part) if isinstance(part, list | tuple) else [part]


def _merge(
    name: str, inputs: list[Any], common: dict[str, Any]
) -> tuple[Any, Any] | None:
    """Returns a merging layer and its inputs, or None.

    Only tensors of equal rank and dtype can be merged.
    """
    if not all(is_tensor(x) for x in inputs):
        return None
    if len({(x.shape.rank, x.dtype) for x in inputs}) > 1:
        return None
    return getattr(tf_keras.layers, name)(**common), inputs


def _concatenate(node: Any, common: dict[str, Any]) -> Any:
    inputs = node.arguments.args[0]
    axis = node.operation.axis
    if axis in (0, -len(inputs[0].shape)) or len(inputs) < 2:
        return None
    if len({x.dtype for x in inputs}) > 1:
        return None
    return tf_keras.layers.Concatenate(axis=axis, **common)


def _reshape(node: Any, common: dict[str, Any]) -> Any:
    """Returns a layer for a reshape that keeps the batch axis, else None."""
    source, shape = node.arguments.args[0].shape, node.operation.newshape
    if shape[0] not in (-1, None, source[0]) or None in shape[1:]:
        return None
    if node.outputs[0].shape[0] != source[0] or shape[1:].count(-1) > 1:
        return None
    if shape[0] == -1 and -1 in shape[1:]:
        return None
    if None in source[1:] and -1 not in shape[1:]:
        return None
    return tf_keras.layers.Reshape(tuple(shape[1:]), **common)


def _transpose(node: Any, common: dict[str, Any]) -> Any:
    axes = node.operation.axes
    if not axes or axes[0] != 0 or any(axis < 0 for axis in axes):
        return None
    return tf_keras.layers.Permute(tuple(axes[1:]), **common)


def _softmax(node: Any, common: dict[str, Any]) -> Any:
    axis = node.operation.axis
    if not isinstance(axis, int):
        return None
    return tf_keras.layers.Softmax(axis=axis, **common)


def _mean(node: Any, common: dict[str, Any]) -> Any:
    return _global_pool("Average", node, common)


def _max(node: Any, common: dict[str, Any]) -> Any:
    if node.operation.initial is not None:
        return None
    return _global_pool("Max", node, common)


def _global_pool(kind: str, node: Any, common: dict[str, Any]) -> Any:
    """Returns a layer for a reduction of all axes but the first and last."""
    source = node.arguments.args[0]
    rank = len(source.shape)
    axis = node.operation.axis
    axes = [axis] if isinstance(axis, int) else list(axis or [])
    axes = sorted(a % rank for a in axes)
    if rank not in (3, 4, 5) or axes != list(range(1, rank - 1)):
        return None
    cls = getattr(tf_keras.layers, f"Global{kind}Pooling{rank - 2}D")
    return cls(
        keepdims=node.operation.keepdims,
        data_format="channels_last",
        **common,
    )


def _relu(node: Any, common: dict[str, Any]) -> Any:
    return tf_keras.layers.ReLU(**common)


def _relu6(node: Any, common: dict[str, Any]) -> Any:
    return tf_keras.layers.ReLU(6.0, **common)


def _leaky_relu(node: Any, common: dict[str, Any]) -> Any:
    slope = float(node.operation.negative_slope)
    return tf_keras.layers.LeakyReLU(slope, **common)


def _activation(name: str) -> Callable[[Any, dict[str, Any]], Any]:
    def make(node: Any, common: dict[str, Any]) -> Any:
        return tf_keras.layers.Activation(name, **common)

    return make


_MAKERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "Concatenate": _concatenate,
    "LeakyRelu": _leaky_relu,
    "Max": _max,
    "Mean": _mean,
    "Relu": _relu,
    "Relu6": _relu6,
    "Reshape": _reshape,
    "Sigmoid": _activation("sigmoid"),
    "Silu": _activation("swish"),
    "Softmax": _softmax,
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
}
