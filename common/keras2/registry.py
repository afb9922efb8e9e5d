"""The table of converters, and the error for layers without a converter."""

import re
from collections.abc import Callable
from typing import Any

from common.options import InputError

# A converter maps a Keras 3 layer to its replacement in the twin: a tf_keras
# layer, or a function of the tensors that the layer is called on.
Converter = Callable[[Any], Any]

_USERS: dict[str | type, Converter] = {}
_STOCK: dict[str, Converter] = {}


class UnsupportedLayerError(InputError):
    """Raised for a model with parts that have no equal in tf_keras."""


def converter(target: str | type) -> Callable[[Converter], Converter]:
    """Returns a decorator that registers a converter for a class of layers.

    The converter replaces the bridge's own for the same class. The layer that
    it returns must have the name of the Keras 3 layer: layers are matched by
    name, and their weights in the order of `layer.weights`, with equal shapes.
    A converter of a layer without weights may return a function, which is
    called with tf_keras tensors as the Keras 3 layer was with its own.

    Example:
        @converter("LayerScale")
        def _(layer):
            return TwinScale(layer.projection_dim, name=layer.name)

        @converter(DropPath)  # The identity, at inference.
        def _(layer):
            return lambda inputs, **kwargs: inputs

    The replacement must have `get_config`, since TF-MOT clones models. Register
    its class with `tf_keras.saving.register_keras_serializable`.

    Args:
        target: The Keras 3 class, or its name.

    Returns:
        The decorator; it returns the function unchanged.
    """

    def register(function: Converter) -> Converter:
        _USERS[target] = function
        return function

    return register


def stock_converter(*names: str) -> Callable[[Converter], Converter]:
    """Returns a decorator that registers a converter for Keras's own layers.

    Args:
        *names: The names of the layers' classes.
    """

    def register(function: Converter) -> Converter:
        for name in names:
            _STOCK[name] = function
        return function

    return register


def stock(name: str) -> Converter:
    """Returns the converter of a class of Keras's own, by the class's name."""
    return _STOCK[name]


def find(layer: Any) -> Converter | None:
    """Returns the converter registered for a layer, or None."""
    cls = type(layer)
    function = _USERS.get(cls) or _USERS.get(cls.__name__)
    if function is None and is_stock(layer):
        function = _STOCK.get(cls.__name__)
    return function


def is_stock(operation: Any) -> bool:
    """Returns whether a layer's or operation's class is part of Keras 3."""
    return type(operation).__module__.startswith("keras.src.")


def twin_name(name: str) -> str:
    """Returns a Keras 3 name in the characters that tf_keras accepts."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)
    return name if re.match(r"[A-Za-z0-9.]", name) else f"x{name}"
