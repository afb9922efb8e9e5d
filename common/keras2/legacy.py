"""Reads models in the format of Keras 2 as Keras 3 models."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import tf_keras
from keras.src.legacy.saving import saving_options, saving_utils
from keras.src.saving import serialization_lib

from . import check, old_archive, old_nodes, old_operations


def declared(config: dict[str, Any]) -> keras.Model:
    """Returns a Keras 3 model of a configuration of Keras 2, not trained.

    Args:
        config: The configuration, which must hold no code. Its classes have the
            modules of Keras 3.
    """
    with (
        saving_options.keras_option_scope(use_legacy_config=True),
        serialization_lib.SafeModeScope(True),
        keras.saving.custom_object_scope(
            dict.fromkeys(old_operations.CLASSES, old_operations.Operation)
        ),
    ):
        model = saving_utils.model_from_config(_legacy_layer(config))
    if isinstance(model, keras.Sequential) or len(model.inputs) > 1:
        return model
    # Keras 2 has a list of one input, about which Keras 3 warns at each call.
    return keras.Model(model.inputs[0], model.output, name=model.name)


def load(path: str, config: dict[str, Any]) -> keras.Model:
    """Returns the model in a file of Keras 2, which must hold no code.

    Args:
        path: A `.h5` or `.keras` file, all layers of which are Keras's own.
        config: Its configuration; see `declared`.

    Raises:
        ValueError: If the outputs of Keras 2 and Keras 3 differ.
    """
    model = declared(config)
    with tempfile.TemporaryDirectory() as folder:
        if old_archive.is_old(path):
            old_archive.renew(path, Path(folder) / "model.keras")
            path = str(Path(folder) / "model.keras")
        old = tf_keras.saving.load_model(path, compile=False, safe_mode=True)
        weights = str(Path(folder) / "model.h5")
        old.save_weights(weights)
        model.load_weights(weights)
    model = old_operations.expand(model)
    check.compare(model, old)
    return model


def _legacy_layer(node: dict[str, Any]) -> dict[str, Any]:
    """Returns a layer's or model's configuration as in a `.h5` file.

    There, the layers of a model have no module, but those in wrappers do.
    """
    kept = ("class_name", "config", "inbound_nodes", "name")
    layer = {key: node[key] for key in kept if key in node}
    settings = layer["config"]
    if isinstance(settings, dict) and isinstance(settings.get("name"), str):
        name = old_nodes.plain_name(settings["name"])
        settings = layer["config"] = {**settings, "name": name}
    if isinstance(settings, dict) and isinstance(settings.get("layers"), list):
        layers = [_legacy_layer(inner) for inner in settings["layers"]]
        settings = {**settings, "layers": layers}
        is_graph = "output_layers" in settings
        layer["config"] = old_nodes.convert(settings) if is_graph else settings
    return layer
