"""A user's data: loaded, checked against the model, and fed to it."""

import dataclasses
import fractions
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.data import image_sets, pipelines
from common.data.splits import MemorySplit, Split, Splits
from common.options import InputError

from . import user_model
from .pixels import scales_itself

FEW = 8


def load_images(dataset: str, model: keras.Model, config: Any) -> Splits:
    """Loads images by TFDS name or from a folder, in the model's size."""
    shape = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(shape) not in (2, 3):
        raise InputError(
            f"--dataset={dataset} has images, but the model takes "
            f"{[tuple(one.shape[1:]) for one in model.inputs]}. Pass a .npz "
            "file of what it takes."
        )
    square = shape[0] if shape[0] == shape[1] else None
    return image_sets.load(
        dataset,
        data_dir=config.data_dir,
        image_size=square or 0,
        seed=config.seed,
        max_megapixels=config.max_megapixels,
    )


@dataclasses.dataclass(frozen=True)
class Feed:
    """Brings examples into the form that a model takes.

    Attributes:
        specs: Shape without batch axis, and type, of each input by name.
        scale: What inputs that are real numbers are multiplied by.
        offset: What is added then.
        pixels: Whether the data are bytes that become real numbers.
        objective: Gives the form of the targets.
    """

    specs: Mapping[str, tuple[tuple[int | None, ...], str]]
    scale: float
    offset: float
    pixels: bool
    objective: Any

    def named(self, features: Any, labels: Any) -> tuple[Any, Any]:
        """Returns the inputs by name, and the targets, of a batch."""
        return self._inputs(features), self.objective.targets(labels)

    def training(self, features: Any, labels: Any, seed: Any) -> Any:
        """Returns what a model is fine-tuned with."""
        inputs = self.unpack(self._inputs(features))
        return inputs, self.objective.training_targets(labels)

    def unpack(self, inputs: Mapping[str, Any]) -> Any:
        """Returns the one input, or several by name."""
        return next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)

    def batches(self, split: Split, size: int = 500) -> Any:
        """Returns batches of inputs by name and targets, as arrays."""
        return pipelines.for_evaluation(
            split, size, transform=self.named
        ).as_numpy_iterator()

    def _inputs(self, features: Any) -> dict[str, Any]:
        if not isinstance(features, Mapping):
            features = {next(iter(self.specs)): features}
        found = {}
        for name, (shape, dtype) in self.specs.items():
            value = tf.cast(features[name], dtype)
            if value.dtype.is_floating and (self.scale, self.offset) != (1, 0):
                value = value * self.scale + self.offset
            if value.shape.rank != len(shape) + 1:
                # Axes of size 1 come and go: (28, 28) is (28, 28, 1).
                sizes = [-1 if n is None else n for n in shape]
                value = tf.reshape(value, [tf.shape(value)[0], *sizes])
            found[name] = value
        return found


def fit(
    model: keras.Model, splits: Splits, objective: Any, config: Any
) -> tuple[Feed, Splits]:
    """Checks that the data fit the model.

    Args:
        model: The user's model.
        splits: The data.
        objective: What the model is judged by.
        config: Gives `dataset`, `scale` and `offset`.

    Returns:
        The feed, and the splits with a note where the feed decided something.
    """
    names = user_model.input_names(model)
    specs = {
        name: (tuple(one.shape[1:]), one.dtype)
        for name, one in zip(names, model.inputs, strict=True)
    }
    tables = user_model.tables(model)
    for split in (splits.test, splits.valid, splits.train):
        features = _features(split)  # At last those of train, for below.
        if not isinstance(features, Mapping):
            features = {names[0]: features}
        for name, (shape, dtype) in specs.items():
            array = features[name]
            _check_input(splits.name, name, array, shape, dtype)
            _check_indices(splits.name, name, array, tables.get(name))
    classes = len(splits.class_names)
    if objective.num_classes and classes not in (0, objective.num_classes):
        raise InputError(
            f"--dataset must have the model's {objective.num_classes} classes;"
            f" {splits.name} has {classes}."
        )
    if config.dataset:
        for split in (splits.train, splits.valid, splits.test):
            if isinstance(split, MemorySplit):
                objective.check(split.labels, splits.name)
    real = [name for name in specs if "float" in specs[name][1]]
    pixels = bool(real) and features[real[0]].dtype == np.uint8
    factor, note = parse_scale(config.scale), ""
    if config.scale == "auto" and pixels:
        own = scales_itself(model, real[0])
        factor = 1.0 if own else 1 / 255
        note = (
            "the model scales bytes itself: they are fed as they are"
            if own
            else "bytes are multiplied by 1/255 before the model; --scale and "
            "--offset change that"
        )
    notes = (*splits.notes, note) if note else splits.notes
    found = Feed(specs, factor, config.offset, pixels, objective)
    return found, dataclasses.replace(splits, notes=notes)


def labelled_by(
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]], splits: Splits
) -> Splits:
    """Returns the splits with the float model's outputs as their labels."""
    return dataclasses.replace(
        splits,
        **{
            name: dataclasses.replace(getattr(splits, name), labels=outputs)
            for name, (outputs, _) in measured.items()
        },
    )


def parse_scale(text: str) -> float:
    """Returns the number in `--scale`: `auto` is 1; fractions are read."""
    if text == "auto":
        return 1.0
    try:
        found = float(fractions.Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        found = 0.0
    if not found:
        raise InputError(
            "--scale must be auto or a number that is not 0, such as 0.5 or "
            f"1/255; received {text!r}."
        )
    return found


def _features(split: Split) -> Any:
    """Returns the features of a split in memory, or of a few of another."""
    if isinstance(split, MemorySplit):
        return split.features
    return split.sample(FEW, seed=0).features


def _check_input(
    source: str,
    name: str,
    array: np.ndarray,
    shape: tuple[int | None, ...],
    dtype: str,
) -> None:
    """Raises `InputError` if examples cannot be what an input takes."""
    found = array.shape[1:]
    same = len(found) == len(shape) and all(
        want in (None, have) for have, want in zip(found, shape, strict=True)
    )
    loose = None not in shape and (
        [n for n in found if n != 1] == [n for n in shape if n != 1]
    )
    if not (same or loose):
        raise InputError(
            f"the data must fit the model's input {name!r} of shape {shape}; "
            f"{source} has {found}."
        )
    real = array.dtype.kind == "f"
    if "int" in dtype and real and np.any(array != np.floor(array)):
        raise InputError(
            f"the data must be integers for the model's input {name!r}; "
            f"{source} has fractions."
        )


def _check_indices(
    source: str, name: str, array: np.ndarray, size: int | None
) -> None:
    """Raises `InputError` if examples cannot be looked up in a table.

    Keras counts negative indices from the end, and TFLite refuses them.
    """
    if size is None:
        return
    for one in (array.min(), array.max()):
        if not 0 <= one < size:
            raise InputError(
                f"the data must have indices 0 to {size - 1} for the model's "
                f"input {name!r}, which an Embedding looks up; {source} has "
                f"{one}."
            )
