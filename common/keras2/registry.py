"""The table of converters, and the error for what none of them takes."""

import re
from collections.abc import Callable
from typing import Any

from common.options import InputError

# A converter takes the Keras 3 layer and returns what stands for it in the
# twin: a tf_keras layer, or a function of the tensors the layer is called on.
Converter = Callable[[Any], Any]

_USERS: dict[str | type, Converter] = {}
_STOCK: dict[str, Converter] = {}


class UnsupportedLayerError(InputError):
    """Raised for a model with parts that have no equal in tf_keras."""


def converter(target: str | type) -> Callable[[Converter], Converter]:
    """Registers a converter for one more class of Keras 3 layers.

    It is preferred to the bridge's own for the same class. The layer that it
    returns should carry the name of the layer that it is given: weights are
    matched by it, in the order of `layer.weights`, and need equal shapes. A
    function is called with tf_keras tensors, as the Keras 3 layer was with
    its own; it suits layers without weights.

    Example:
        @converter("LayerScale")
        def _(layer):
            return TwinScale(layer.projection_dim, name=layer.name)

        @converter(DropPath)  # The identity, at inference.
        def _(layer):
            return lambda inputs, **kwargs: inputs

    The layer that stands in should have `get_config`: TF-MOT clones models.
    Register it with `tf_keras.saving.register_keras_serializable`.

    Args:
        target: the layer class, or its name.

    Returns:
        The decorator; it returns the function unchanged.
    """

    def register(function: Converter) -> Converter:
        _USERS[target] = function
        return function

    return register


def stock_converter(*names: str) -> Callable[[Converter], Converter]:
    """Registers a converter for layers of Keras itself, by class name."""

    def register(function: Converter) -> Converter:
        for name in names:
            _STOCK[name] = function
        return function

    return register


def stock(name: str) -> Converter:
    """Returns the converter of a class of Keras itself, by its name."""
    return _STOCK[name]


def find(layer: Any) -> Converter | None:
    """Returns the converter registered for a layer, or None."""
    cls = type(layer)
    found = _USERS.get(cls) or _USERS.get(cls.__name__)
    if found is None and is_stock(layer):
        found = _STOCK.get(cls.__name__)
    return found


def is_stock(operation: Any) -> bool:
    """Tells whether a layer's or operation's class is part of Keras 3."""
    return type(operation).__module__.startswith("keras.src.")


def twin_name(name: str) -> str:
    """Returns a Keras 3 name in the characters that tf_keras accepts."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)
    return name if re.match(r"[A-Za-z0-9.]", name) else f"x{name}"
