"""A user's own layers and functions, imported by the user's own word.

A `.keras` file names classes and functions, and cannot make this process import
them: only what `--import` registered, or a script before, is made.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from common.options import InputError, quote

from . import archive


def register(name: str) -> None:
    """Imports a module; its classes and functions become known to Keras.

    Those that the module registers itself keep their registered names. The
    others are registered by their plain names, under which Keras saved them.

    Args:
        name: A Python file, or the name of an installed module.

    Raises:
        InputError: If it cannot be imported.
    """
    try:
        module = _load(name) if name.endswith(".py") else _find(name)
    except InputError:
        raise
    # A user's code can raise any error, and scripts may exit.
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--import={name} could not be imported: "
            f"{type(error).__name__}: {archive.first_line(error)}."
        ) from None
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and callable(value):
            keras.saving.get_custom_objects().setdefault(key, value)


def _load(path: str) -> ModuleType:
    """Returns the module in a Python file, which may import its neighbours."""
    if not Path(path).is_file():
        raise InputError(f"--import must be a file; there is no {quote(path)}.")
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--import={path} is no Python file.")
    taken = sys.modules.get(spec.name)
    if taken and getattr(taken, "__file__", None) != spec.origin:
        raise InputError(
            f"--import={path} must not be called as a module that is in use, "
            f"{spec.name}. Rename the file."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _find(name: str) -> ModuleType:
    """Returns an installed module.

    Raises:
        InputError: If there is none of this name.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.split(".")[0] == error.name:
            raise InputError(
                f"--import={quote(name)} must be a Python file or an installed "
                f"module; pip install it, or pass the path of a .py file."
            ) from None
        raise


def is_registered(node: dict[str, Any]) -> bool:
    """Tells whether Keras knows a class or function from a registration.

    Args:
        node: A part of `config.json` with a `class_name`.
    """
    name = node.get("registered_name") or node.get("class_name")
    if node.get("class_name") == "function":
        name = node.get("config")
    if not isinstance(name, str):
        return False
    return keras.saving.get_registered_object(name) is not None
