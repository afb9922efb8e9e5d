"""A user's `.h5` file or `.keras` file of Keras 2, inspected as text first."""

import inspect
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from common.keras2 import old_operations
from common.options import InputError

from . import archive, plain_model

H5 = (".h5", ".hdf5")
# Where Keras has the classes that a configuration names without a module.
PLACES = {
    f"keras.{place}": getattr(keras, place)
    for place in (
        "constraints",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "optimizers",
        "regularizers",
    )
}
# Arguments of layers that Keras 3 does not have, or not for all layers: Keras 2
# wrote `groups` of depthwise convolutions. Whether the outputs of Keras 2 and
# Keras 3 differ without them is checked after loading.
OLD_ARGUMENTS = {
    "groups",
    "kernel_constraint",
    "kernel_initializer",
    "kernel_regularizer",
    "key_shape",
    "query_shape",
    "rng_type",
    "softmax_robust_masking",
    "time_major",
    "trainable",
    "value_shape",
}
MODELS = ("Functional", "Model", "Sequential")


def version(path: str) -> str:
    """Returns the version of Keras that wrote a file in the format of Keras 2.

    Args:
        path: A model's file.

    Returns:
        The version, "unknown" if the file has none; "" for other files.
    """
    try:
        if path.endswith(H5):
            with h5py.File(path) as file:
                return str(_text(file, "keras_version") or "unknown")
        with zipfile.ZipFile(path) as file:
            metadata = file.getinfo("metadata.json")
            archive.check_member(metadata, 2**20)
            written = str(json.loads(file.read(metadata))["keras_version"])
        return written if written.startswith("2.") else ""
    # Damage of a .keras file is reported where it is read.
    except Exception as error:
        if path.endswith(H5) and Path(path).is_file():
            raise InputError(
                f"--model={path} is not a whole .h5 file: "
                f"{archive.first_line(error)}. Copy it again."
            ) from None
        return ""


def remedy(path: str, written: str) -> str:
    """Returns how a user saves a model again that cannot be read."""
    return (
        f"Keras {written} wrote {path}. To save it again: in an environment "
        "with that version run model.save_weights('old.h5'); build the same "
        "model with Keras 3, then run model.load_weights('old.h5') and "
        "model.save('new.keras')."
    )


def read_config(path: str) -> tuple[dict[str, Any], int]:
    """Returns the configuration of a model, and the bytes of its weights.

    Args:
        path: A `.h5` file, or a `.keras` file of Keras 2.

    Returns:
        The configuration in the form of `config.json`, where classes of Keras
        have its module; and the size of all arrays.

    Raises:
        InputError: If the file is damaged, claims more than this machine has,
            or refers to other files.
    """
    try:
        if path.endswith(H5):
            with h5py.File(path) as file:
                size = _check_arrays(file)
                config = json.loads(_text(file, "model_config") or "null")
                compiled = json.loads(_text(file, "training_config") or "{}")
        else:
            with zipfile.ZipFile(path) as file:
                archive.check(file)
                config = json.loads(file.read("config.json"))
                compiled = config.get("compile_config") or {}
                weights = io.BytesIO(file.read("model.weights.h5"))
            with h5py.File(weights) as stored:
                size = _check_arrays(stored)
        if not isinstance(config, dict) or not isinstance(compiled, dict):
            raise ValueError("it has weights and no model")
        config = plain_model.changed(config, _with_module)
        compiled = plain_model.changed(compiled, _as_keras_3)
    # HDF5, zip and JSON files can be damaged in many ways.
    except Exception as error:
        raise InputError(
            f"--model={path} is not a whole file: {archive.first_line(error)}."
        ) from None
    return {**config, "compile_config": compiled}, size


def check_own(path: str, classes: list[tuple[str, str, str, bool]]) -> bool:
    """Tells whether all classes and functions of a file are Keras's own.

    Args:
        path: The file.
        classes: Owner, name and module of each, and whether the user registered
            it.

    Raises:
        InputError: If they are not, and only Keras 2 can read the file: it
            would import the modules that the file names.
    """
    # The functions of operations were checked when they got a module.
    others = [
        (owner, name)
        for owner, name, module, _ in classes
        if not (_place(name) and module.split(".")[0] == "keras")
        and name not in old_operations.CLASSES
    ]
    if others and not path.endswith(H5):
        owner, name = others[0]
        raise InputError(
            f"--model={path} has {owner!r} of {name}, which is not Keras's own "
            "and cannot be read from a .keras file of Keras 2."
        )
    return not others


def _place(name: Any) -> str | None:
    """Returns the module where Keras 3 has a class, None if it has none."""
    if name in MODELS:
        return "keras"
    for module, place in PLACES.items():
        if isinstance(vars(place).get(name), type):
            return module
    return None


def _with_module(node: dict[str, Any]) -> dict[str, Any]:
    """Returns a part of a configuration as Keras 3 writes it.

    Raises:
        ValueError: If it would have a vocabulary read from a file.
    """
    if isinstance(node.get("vocabulary"), str):
        raise ValueError("its vocabulary is in another file")
    name = node.get("class_name")
    # The module of a model is private and has changed.
    if name in old_operations.CLASSES:  # Others get no module, and are refused.
        known = old_operations.is_known(node)
        node = {**node, "module": "keras" if known else "tensorflow"}
    if name in MODELS or "module" not in node:
        place = _place(name)
        node = {**node, "module": place} if place else node
    settings = node.get("config")
    if isinstance(settings, dict):
        settings = _without_old_arguments(str(name), settings)
        axis = settings.get("axis")
        if name == "BatchNormalization" and isinstance(axis, list):
            settings["axis"] = axis[0]
        node = {**node, "config": settings}
    return node


def _without_old_arguments(
    name: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a layer, without those that Keras 3 dropped."""
    layer = vars(keras.layers).get(name)
    known: set[str] = set()
    for owner in layer.__mro__ if isinstance(layer, type) else ():
        if "__init__" not in vars(owner):
            continue
        parameters = inspect.signature(vars(owner)["__init__"]).parameters
        known |= set(parameters)
        if "kwargs" not in parameters:  # Those of its bases are not passed on.
            break
    return {
        key: value
        for key, value in settings.items()
        if key in known or key not in OLD_ARGUMENTS
    }


def _as_keras_3(node: dict[str, Any]) -> Any:
    """Returns a part of the compilation of a model as Keras 3 takes it."""
    settings = node.get("config")
    if not isinstance(settings, dict):
        return node
    if node.get("class_name") == "MeanMetricWrapper":
        return settings.get("name")  # Such as "accuracy".
    settings = {
        key: value
        for key, value in settings.items()
        if key != "fn" and (key, value) != ("reduction", "auto")
    }
    return _with_module({**node, "config": settings})


def _text(file: h5py.File, name: str) -> str | None:
    """Returns an attribute of a file as text, None if it has none."""
    value = file.attrs.get(name)
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _check_arrays(group: h5py.Group) -> int:
    """Returns the bytes of all arrays in a file.

    Raises:
        ValueError: If they do not fit into memory or are in other files.
    """
    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _check_arrays(item)
            continue
        if item.external or item.is_virtual:
            raise ValueError(f"{name} is in another file")
        total += item.size * item.dtype.itemsize
    archive.check_claim(total)
    return total
