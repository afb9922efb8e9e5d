"""Loads a user's data, checks that they fit the model, and feeds them to it."""

import dataclasses
import fractions
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.data import image_sets, pipelines
from common.data.splits import MemorySplit, Split, Splits
from common.options import InputError

from . import user_model
from .config import Config
from .pixels import scales_itself

FEW = 8  # The number of examples of a streamed split that are checked.


def load_images(dataset: str, model: keras.Model, config: Config) -> Splits:
    """Loads images by TFDS name or from a folder, in the model's size.

    Args:
        dataset: The TFDS name or the folder.
        model: The model that the images are for.
        config: Gives `data_dir`, `seed` and `max_megapixels`.

    Raises:
        InputError: If the model's input is no image.
    """
    shape = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(shape) not in (2, 3):
        raise InputError(
            f"--dataset={dataset} has images, but the model takes "
            f"{[tuple(tensor.shape[1:]) for tensor in model.inputs]}. Pass a "
            ".npz file of inputs of these shapes."
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
        specs: Shape without batch axis, and dtype, of each input by name.
        scale: The factor of inputs that are real numbers.
        offset: The number that is added to them after scaling.
        pixels: Whether the data are bytes that become real numbers.
        objective: An `Objective` or an `Agreement`, which gives the form of
            the targets.
    """

    specs: Mapping[str, tuple[tuple[int | None, ...], str]]
    scale: float
    offset: float
    pixels: bool
    objective: Any

    def named(
        self, features: Any, labels: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns the inputs of a batch by name, and the targets.

        Args:
            features: An array, or arrays by the name of the input.
            labels: The labels, `(batch, ...)`.
        """
        return self._inputs(features), self.objective.targets(labels)

    def training(
        self, features: Any, labels: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Any, tf.Tensor]:
        """Returns the inputs and targets of fine-tuning; `seed` is not used."""
        inputs = self.unpack(self._inputs(features))
        return inputs, self.objective.training_targets(labels)

    def unpack(self, inputs: Mapping[str, Any]) -> Any:
        """Returns the only input, or several inputs by name, as models take."""
        return next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)

    def batches(
        self, split: Split, size: int = 500
    ) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Returns the batches of a split: inputs by name, and targets."""
        return pipelines.for_evaluation(
            split, size, transform=self.named
        ).as_numpy_iterator()

    def _inputs(self, features: Any) -> dict[str, tf.Tensor]:
        """Returns a batch's inputs by name, in the model's form."""
        if not isinstance(features, Mapping):
            features = {next(iter(self.specs)): features}
        inputs = {}
        for name, (shape, dtype) in self.specs.items():
            value = tf.cast(features[name], dtype)
            if value.dtype.is_floating and (self.scale, self.offset) != (1, 0):
                value = value * self.scale + self.offset
            if value.shape.rank != len(shape) + 1:
                # Axes of size 1 may be missing or extra: (28, 28) fits
                # (28, 28, 1).
                sizes = [-1 if n is None else n for n in shape]
                value = tf.reshape(value, [tf.shape(value)[0], *sizes])
            inputs[name] = value
        return inputs


def fit(
    model: keras.Model, splits: Splits, objective: Any, config: Config
) -> tuple[Feed, Splits]:
    """Checks that the data fit the model, and decides how they are scaled.

    Args:
        model: The user's model.
        splits: The data.
        objective: An `Objective`, or an `Agreement` for data without labels.
        config: Gives `dataset`, `scale` and `offset`.

    Returns:
        The feed, and the splits with a note if the scale was decided here.

    Raises:
        InputError: If inputs or labels do not fit.
    """
    names = user_model.input_names(model)
    specs = {
        name: (tuple(tensor.shape[1:]), tensor.dtype)
        for name, tensor in zip(names, model.inputs, strict=True)
    }
    tables = user_model.tables(model)
    # Train is last, so that `features` are those of train after the loop.
    for split in (splits.test, splits.valid, splits.train):
        features = _features(split)
        if not isinstance(features, Mapping):
            features = {names[0]: features}
        for name, (shape, dtype) in specs.items():
            array = features[name]
            check_input(splits.name, name, array, shape, dtype)
            _check_indices(splits.name, name, array, tables.get(name))
    _check_labels(splits, objective, labelled=bool(config.dataset))
    real = [name for name in specs if "float" in specs[name][1]]
    pixels = bool(real) and features[real[0]].dtype == np.uint8
    scale, notes = parse_scale(config.scale), splits.notes
    if config.scale == "auto" and pixels:
        scale, note = _byte_scale(model, real[0])
        notes = (*notes, note)
    feed = Feed(specs, scale, config.offset, pixels, objective)
    return feed, dataclasses.replace(splits, notes=notes)


def _check_labels(splits: Splits, objective: Any, labelled: bool) -> None:
    """Raises `InputError` if classes or labels do not fit the objective."""
    classes = len(splits.class_names)
    if objective.num_classes and classes not in (0, objective.num_classes):
        raise InputError(
            f"--dataset must have the model's {objective.num_classes} classes;"
            f" {splits.name} has {classes}."
        )
    if labelled:
        for split in (splits.train, splits.valid, splits.test):
            if isinstance(split, MemorySplit):
                objective.check(split.labels, splits.name)


def _byte_scale(model: keras.Model, name: str) -> tuple[float, str]:
    """Returns the factor of bytes for an input of a model, and a note."""
    if scales_itself(model, name):
        return 1.0, "the model scales bytes itself: they are fed as they are"
    return 1 / 255, (
        "bytes are multiplied by 1/255 before the model; --scale and --offset "
        "change that"
    )


def labelled_by(
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]], splits: Splits
) -> Splits:
    """Returns the splits with the float model's outputs as their labels.

    Args:
        measured: The outputs and the targets of valid and of test, by name.
        splits: The data, whose other splits keep their labels.
    """
    return dataclasses.replace(
        splits,
        **{
            name: dataclasses.replace(getattr(splits, name), labels=outputs)
            for name, (outputs, _) in measured.items()
        },
    )


def parse_scale(text: str) -> float:
    """Returns the number that `--scale` gives; 1 for `auto`.

    Args:
        text: `auto`, a number or a fraction such as 1/255.

    Raises:
        InputError: If it is none of these, or 0.
    """
    if text == "auto":
        return 1.0
    try:
        scale = float(fractions.Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        scale = 0.0
    if not scale:
        raise InputError(
            "--scale must be auto or a number that is not 0, such as 0.5 or "
            f"1/255; received {text!r}."
        )
    return scale


def _features(split: Split) -> Any:
    """Returns the features of a split; of a stream those of `FEW` examples."""
    if isinstance(split, MemorySplit):
        return split.features
    return split.sample(FEW, seed=0).features


def check_input(
    source: str,
    name: str,
    array: np.ndarray,
    shape: tuple[int | None, ...],
    dtype: str,
) -> None:
    """Raises `InputError` if examples do not fit an input.

    Args:
        source: The name of the data, for messages.
        name: The name of the input.
        array: The examples, `(num, ...)`.
        shape: The input's shape without batch axis; None is any size.
        dtype: The input's dtype.
    """
    received = array.shape[1:]
    same = len(received) == len(shape) and all(
        expected in (None, actual)
        for actual, expected in zip(received, shape, strict=True)
    )
    same_without_ones = None not in shape and (
        [n for n in received if n != 1] == [n for n in shape if n != 1]
    )
    if not (same or same_without_ones):
        raise InputError(
            f"the data must fit the model's input {name!r} of shape {shape}; "
            f"{source} has {received}."
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

    Args:
        source: The name of the data, for messages.
        name: The name of the input.
        array: The examples, `(num, ...)`.
        size: The number of the table's rows; None if there is no table.
    """
    if size is None:
        return
    for index in (array.min(), array.max()):
        if not 0 <= index < size:
            raise InputError(
                f"the data must have indices 0 to {size - 1} for the model's "
                f"input {name!r}, which an Embedding looks up; {source} has "
                f"{index}."
            )
