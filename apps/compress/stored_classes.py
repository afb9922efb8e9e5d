"""The classes and functions that a user's file names, checked as text.

Nothing of a file is made before these checks: a name in it could be that of any
code on this machine.
"""

from collections.abc import Iterator
from typing import Any

import keras

from common.keras2 import graph
from common.keras2.registry import UnsupportedLayerError
from common.options import InputError

from . import custom_objects


def check_kind(path: str, config: dict[str, Any]) -> None:
    """Refuses a model that is no graph of layers."""
    name, module = config.get("class_name"), str(config.get("module") or "")
    if name in ("Functional", "Sequential") and _is_keras(module):
        return
    inner = config.get("config")
    has_layers = isinstance(inner, dict) and "layers" in inner
    if name == "Model" and _is_keras(module) and has_layers:
        return
    if not custom_objects.is_registered(config):
        raise InputError(_subclassed(path, name))


def check_graph(path: str, model: keras.Model) -> None:
    """Refuses a model of a registered class that is no graph of layers."""
    try:
        graph.as_functional(model)
    except UnsupportedLayerError:
        raise InputError(_subclassed(path, type(model).__name__)) from None


def _subclassed(path: str, name: Any) -> str:
    """Returns the message that refuses a model without a graph."""
    return (
        f"--model must be functional or Sequential; {path} holds a subclassed "
        f"model, {name!r}, whose graph only its own code knows. Rebuild it "
        "with keras.Model(inputs, outputs)."
    )


def check_classes(path: str, config: Any) -> None:
    """Refuses Lambda layers, and classes and functions that are not Keras's."""
    for owner, name, module, registered in classes(config):
        if name in ("Lambda", "__lambda__"):
            raise InputError(
                f"--model={path} has a Lambda layer, {owner!r}, which is code "
                "and is never run. Rebuild it with a layer or keras.ops."
            )
        if name == "function" or not _is_keras(module):
            if registered:
                continue
            raise InputError(
                f"--model={path} has {owner!r} of {module}.{name}, which is "
                "not Keras's own. Pass --import=my_layers.py (or the name of a "
                "module) with the code that defines it, or rebuild it with "
                "Keras's layers."
            )


def unless_own_code(config: Any) -> Any:
    """Returns a loss or metrics, but None if they refer to unknown code."""
    unknown = any(
        name in ("Lambda", "__lambda__")
        or not (registered or (_is_keras(module) and name != "function"))
        for _, name, module, registered in classes(config)
    )
    return None if unknown else config


def classes(
    node: Any, owner: str = "model"
) -> Iterator[tuple[str, str, str, bool]]:
    """Yields each class or function in a config.

    These are owner, name and module, and whether `--import` registered it.

    Args:
        node: A part of `config.json`.
        owner: The name of the innermost layer that the part belongs to.
    """
    if isinstance(node, list):
        for child in node:
            yield from classes(child, owner)
    if not isinstance(node, dict):
        return
    inner = node.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        owner = inner["name"]
    if isinstance(node.get("class_name"), str):
        name, module = node["class_name"], node.get("module")
        # Keras's own entries for tensors, tuples and slices have no module.
        plain = name.startswith("__") and name != "__lambda__"
        if not (plain and module is None):
            yield owner, name, str(module), custom_objects.is_registered(node)
    for child in node.values():
        yield from classes(child, owner)


def _is_keras(module: str) -> bool:
    """Tells whether a module of this name belongs to Keras."""
    return module.split(".")[0] == "keras"
