"""Converts operations of keras.ops: to stock layers, or to `OperationLayer`."""

from typing import Any

import keras

from . import op_layer, registry, stock_ops
from .registry import UnsupportedLayerError


def check_input(layer: Any) -> None:
    """Raises `UnsupportedLayerError` for inputs that TFLite cannot have."""
    if layer.dtype == "string":
        raise UnsupportedLayerError(
            "is a string input; put string preprocessing in the serving "
            "signature and give the bridge the model behind it"
        )
    if getattr(layer, "optional", False):
        raise UnsupportedLayerError("is optional; make it a required input")
    if layer.sparse or getattr(layer, "ragged", False):
        raise UnsupportedLayerError(
            "is a sparse or ragged input; use a dense one"
        )


def check(node: Any) -> None:
    """Raises `UnsupportedLayerError` if the twin cannot repeat an operation.

    Args:
        node: The operation's call, as the Keras 3 graph holds it.
    """
    operation = node.operation
    if not registry.is_stock(operation):
        raise UnsupportedLayerError(
            "is an operation of your own; write it with keras.ops or as a "
            "layer with a converter"
        )
    try:
        op_layer.describe(node)
    # Keras raises RuntimeError if an operation has no configuration.
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnsupportedLayerError(
            "has an argument that a configuration cannot hold (a function, a "
            "variable); use stock layers in its place"
        ) from error


def replacement(
    node: Any, args: list[Any], kwargs: dict[str, Any], name: str
) -> tuple[Any, Any]:
    """Returns the layer for an operation, and its tf_keras tensors.

    Args:
        node: The operation's call, as the Keras 3 graph holds it.
        args: The call's arguments, with tf_keras tensors for Keras 3's.
        kwargs: The call's arguments by name, with tf_keras tensors too.
        name: The name of the layer.
    """
    stock = stock_ops.find(node, args, kwargs, name)
    if stock is not None:
        return stock
    inputs = [
        x for x in keras.tree.flatten((args, kwargs)) if stock_ops.is_tensor(x)
    ]
    layer = op_layer.OperationLayer(name=name, **op_layer.describe(node))
    return layer, inputs if len(inputs) > 1 else inputs[0]


def flatten(structure: Any) -> list[Any]:
    """Returns the leaves of a structure of tensors."""
    return keras.tree.flatten(structure)
