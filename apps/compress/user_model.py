"""A user's model: a `.keras` file, which is inspected before it is loaded.

Its configuration is read as text first. A model that has a Lambda layer or a
class or function that is not Keras's, or that is no graph of layers, is
refused, and the message names the part. No code that the file holds or names
ever runs.
"""

import copy
import dataclasses
import json
import math
import random
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from common.keras2 import bridge, graph, legacy
from common.keras2.registry import twin_name
from common.options import InputError, quote
from common.training import inference

from . import (
    archive,
    custom_layers,
    front_end,
    keras2_files,
    plain_model,
    stored_classes,
)

TEXTS = ("config.json", "metadata.json")
# The most bytes that a text may have. The configuration of a network of a
# thousand layers has half a megabyte.
MOST_TEXT_BYTES = 2**25
# The most bytes of weights that layers compute and no file stores, such as
# tables of waves.
EXTRA_BYTES = 2**26
REMEDY = "Save the model with model.save('name.keras')."


@dataclasses.dataclass(frozen=True)
class UserModel:
    """A loaded model, and the loss and the metrics that its file gives.

    Attributes:
        model: The Keras 3 model, not compiled. It has one output, or a list of
            several.
        loss: The loss in the file's `compile_config`; None if there is none or
            if it has code that is not Keras's.
        metrics: The metrics in the file's `compile_config`; None in the same
            cases.
        loss_weights: The factors of the losses of several outputs.
        outputs: The names of the outputs in the files; see
            `plain_model.output_names`.
        original: The model as it was loaded, with the structure of its outputs;
            its layers are those of `model`.
        notes: What was changed.
        front: The lookups of strings and keys that `model` was cut behind.
    """

    model: keras.Model
    loss: Any = None
    metrics: Any = None
    loss_weights: Any = None
    outputs: tuple[str, ...] = (plain_model.OUTPUT,)
    original: keras.Model | None = None
    notes: tuple[str, ...] = ()
    front: front_end.FrontEnd | None = None

    @property
    def raw(self) -> keras.Model:
        """The model with the inputs that the user's examples are for."""
        return self.front.model if self.front else self.model

    def named(self, inputs: Any) -> dict[str, Any]:
        """Returns the model's outputs for a batch of inputs, by name."""
        outputs = self.model(inputs, training=False)
        return dict(zip(self.outputs, tf.nest.flatten(outputs), strict=True))


def load(path: str) -> UserModel:
    """Loads the model to compress from a `.keras` file.

    Raises:
        InputError: If the model cannot be compressed; see also `read`.
    """
    user = read(path)
    keras2_problems = bridge.unsupported_layers(user.model)
    if keras2_problems:
        raise InputError(
            f"--model={path} cannot be compressed: {'; '.join(keras2_problems)}"
        )
    return user


def read(path: str) -> UserModel:
    """Reads the model in a `.keras` file.

    Raises:
        InputError: If the file is no `.keras` file or is damaged, or if it
            holds no functional or Sequential model of Keras's own layers.
    """
    written = keras2_files.version(path)
    try:
        return _read(path, written)
    except InputError as error:
        if not written:
            raise
        remedy = keras2_files.remedy(path, written)
        raise InputError(f"{str(error).rstrip('.')}. {remedy}") from None


def _read(path: str, written: str) -> UserModel:
    """Reads the model in a file; see `read`.

    Args:
        path: The file.
        written: The version of Keras that wrote it in the format of Keras 2;
            "" for another format.
    """
    config, stored_bytes = (
        keras2_files.read_config(path) if written else _read_config(path)
    )
    stored_classes.check_kind(path, config)
    compiled = config.get("compile_config") or {}
    try:
        stored_classes.check_classes(path, config.get("config"))
        loss, metrics = map(
            stored_classes.unless_own_code,
            (compiled.get("loss"), compiled.get("metrics")),
        )
    except RecursionError:
        raise InputError(
            f"--model={path} is nested too deeply in config.json. {REMEDY}"
        ) from None
    try:
        # Layers that keep a state make it when they are made, which needs
        # memory for variables.
        stateless = plain_model.changed(config, plain_model.stateless)
        is_plain = written and keras2_files.check_own(
            path, [*stored_classes.classes(config.get("config"))]
        )
        _check_weights(path, stateless, stored_bytes, bool(written))
        if is_plain and written.startswith("2."):
            model = legacy.load(path, config)
        else:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except InputError:
        raise
    # A damaged file can raise any error in any part of Keras.
    except Exception as error:
        raise InputError(
            f"--model={path} could not be loaded: {archive.first_line(error)}"
        ) from None
    inference.check_finite(model, f"--model={path}")
    stored_classes.check_graph(path, model)
    original = model
    model, notes = plain_model.with_free_batches(path, model)
    model, front = front_end.cut(model)
    if front:
        notes = (*notes, front.note)
    model, custom_notes = custom_layers.expand(model)
    return UserModel(
        plain_model.with_plain_outputs(model),
        loss,
        metrics,
        compiled.get("loss_weights"),
        plain_model.output_names(original),
        original,
        (*notes, *custom_notes),
        front,
    )


def input_names(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of a model's inputs, as the TFLite file has them."""
    return tuple(
        twin_name(tensor._keras_history.operation.name)
        for tensor in model.inputs
    )


def tables(model: keras.Model) -> dict[str, int]:
    """Returns the number of rows of the Embedding that takes each input.

    Args:
        model: A functional or Sequential model.

    Returns:
        The numbers by the name of the input: the least one if several
        Embeddings take it. Inputs of other layers are left out.
    """
    names = {
        id(tensor): name
        for tensor, name in zip(model.inputs, input_names(model), strict=True)
    }
    sizes: dict[str, int] = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Embedding):
            continue
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                if id(tensor) in names:
                    name = names[id(tensor)]
                    sizes[name] = min(
                        layer.input_dim, sizes.get(name, layer.input_dim)
                    )
    return sizes


def layer_names(model: Any) -> Iterator[str]:
    """Yields the names of a model's layers, and of those in nested models.

    Args:
        model: A model of Keras 3 or Keras 2.
    """
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer.name
        if hasattr(layer, "layers"):
            yield from layer_names(layer)


def twin_names(model: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """Returns what the twin calls the layers that options name.

    A nested model stands for its layers with a kernel, which are the twin's
    own: the others have nothing to prune, and many have no operator.

    Args:
        model: The Keras 3 model.
        names: Names of layers, also inside nested models.
    """
    twins = graph.twin_names(model)
    result: list[str] = []
    for layer in model._flatten_layers(include_self=False):
        if layer.name in names:
            parts = [layer]
            if graph.is_nested(layer):
                parts = [
                    part
                    for part in layer._flatten_layers()
                    if any(len(weight.shape) > 1 for weight in part.weights)
                ]
            result += [twins[id(part)] for part in parts if id(part) in twins]
    return tuple(dict.fromkeys(result))


def _read_config(path: str) -> tuple[dict[str, Any], int]:
    """Returns `config.json` of a `.keras` file, and the size of its weights."""
    if not path.endswith(".keras"):
        raise InputError(
            "--model must be a .keras file, or a .h5 file; received "
            f"{quote(path)}. {REMEDY}"
        )
    if not Path(path).is_file():
        raise InputError(f"--model must be a file; there is no {path}.")
    try:
        with zipfile.ZipFile(path) as file:
            archive.check(file)
            for name in TEXTS:
                if name in file.namelist():
                    archive.check_member(file.getinfo(name), MOST_TEXT_BYTES)
            broken = file.testzip()
            config = json.loads(file.read("config.json"))
            stored_bytes = file.getinfo("model.weights.h5").file_size
    # zipfile, zlib and json raise different errors for files that are cut,
    # encrypted or deeply nested.
    except (
        zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError,
        OSError, RuntimeError,
    ) as error:  # fmt: skip
        raise InputError(
            f"--model={path} is not a whole .keras file: "
            f"{archive.first_line(error)}. "
            f"{REMEDY}"
        ) from None
    known = isinstance(config, dict) and isinstance(
        config.get("compile_config") or {}, dict
    )
    if broken or not known:
        raise InputError(
            f"--model={path} is damaged: {broken or 'config.json'}. Copy it "
            "again."
        )
    return config, stored_bytes


def _check_weights(
    path: str, config: dict[str, Any], stored_bytes: int, is_old: bool
) -> None:
    """Refuses layers that declare more weights than the file can hold.

    A line of `config.json` can declare weights that need more memory than the
    machine has. Here the layers are made without allocating their weights.
    """
    # Initializers without a seed draw one from this generator.
    state = random.getstate()
    with keras.StatelessScope(initialize_variables=False):
        config = copy.deepcopy({**config, "compile_config": None})
        if is_old:
            model = legacy.declared(config)
        else:
            model = keras.saving.deserialize_keras_object(
                config, safe_mode=True
            )
        declared_bytes = sum(
            math.prod(variable.shape) * tf.as_dtype(variable.dtype).size
            for variable in model.variables
        )
    random.setstate(state)
    # Otherwise Keras would allocate these weights when it next initializes any.
    keras.utils.clear_session()
    if declared_bytes > 2 * stored_bytes + EXTRA_BYTES:
        raise InputError(
            f"--model={path} is damaged: its layers declare weights of "
            f"{declared_bytes / 2**20:,.0f} MiB, and it holds "
            f"{stored_bytes / 2**20:,.0f}. Copy it again."
        )
