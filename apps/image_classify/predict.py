"""Use of a release: prediction for files, evaluation on a data set."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import runtime
from common.console import track
from common.data import (
    encoded,
    folders,
    image_checks,
    image_files,
    images,
    pipelines,
)
from common.data.splits import Splits, within
from common.mobile import files, litert
from common.options import InputError, is_given, quote
from common.release import evaluation, predictions, served
from common.report import metrics
from common.shared_options import MAX_MEGAPIXELS

from . import colour, train
from .config import APP, COLUMNS, Config

BATCH = 64
KINDS = "images ({})".format(", ".join(image_checks.SUFFIXES))


def run(config: Config) -> None:
    """Predicts or evaluates with a release, as `--mode` says."""
    use = evaluation.use(config, APP, ("dataset", "labels"))
    classifier = Classifier(use.served, config.variant, use.config.background)
    if config.mode == "predict":
        predict_files(classifier, use.config)
        return
    options = use.config
    if use.whole == "dataset" and not is_given(config, "labels"):
        # New images with class folders have no use for the release's table.
        options = options.replace(labels="", **dict.fromkeys(COLUMNS, ""))
    classes = classifier.class_names if use.whole else ()
    splits = train.load_data(options, classifier.shape, classes)
    evaluation.show(evaluate(classifier, splits))


@dataclasses.dataclass(frozen=True)
class Example:
    """An image file that was decoded.

    Attributes:
        path: The file's path.
        content: The file's bytes.
        pixels: The image in the model's size, `(height, width, channels)
            uint8`.
    """

    path: str
    content: bytes
    pixels: np.ndarray


class Classifier:
    """A released classifier: the SavedModel, or one of the TFLite files.

    Attributes:
        shape: Height, width and channels of the model's image.
        class_names: The classes, in the order of the probabilities; empty if
            only a server knows them.
    """

    def __init__(
        self,
        model: served.Served,
        variant: str = "",
        background: str = "white",
    ) -> None:
        """Opens the SavedModel or a TFLite file.

        Args:
            model: The release's SavedModel, in this process or on a server.
            variant: The name of the TFLite file to use instead, if any.
            background: The release's `--background`.
        """
        self._served, self._background = model, background
        self.class_names = (
            files.read_names(model.release / "mobile" / files.LABELS, APP)
            if model.has_files
            else ()
        )
        self.shape = tuple(model.inputs("pixels")["image"].shape[1:])
        self._runner = None
        if variant:
            path = files.variant(model.release, variant)
            self._runner = litert.Runner(path.read_bytes())

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """Returns the probabilities of images.

        Args:
            image: `(num, *shape) uint8`.

        Returns:
            `(num, classes) float32`.
        """
        if self._runner:
            channels = self._runner.inputs["image"]["shape"][-1]
            scaled = image.astype(np.float32) / 255
            scaled = colour.with_channels(scaled, int(channels))
            return self._runner(image=scaled)["probabilities"]
        return self._served("pixels", image=image)["probabilities"]

    def encoded(self, contents: list[bytes]) -> np.ndarray:
        """Returns the probabilities of encoded images, `(num, classes)`.

        Args:
            contents: The bytes of each image file.
        """
        if self._runner:
            return self.pixels(np.stack([self.decode(c) for c in contents]))
        return self._served(image_bytes=contents)["probabilities"]

    def decode(
        self, content: bytes, max_megapixels: float = MAX_MEGAPIXELS
    ) -> np.ndarray:
        """Returns an encoded image in the model's size.

        Args:
            content: The bytes of an image file.
            max_megapixels: The most pixels, in millions, that it may claim.

        Returns:
            `(height, width, channels) uint8`.
        """
        height, width, channels = self.shape
        decode = images.decoder(channels, max_megapixels, self._background)
        return images.fit(decode(content), (height, width)).numpy()

    def decide(self, examples: Sequence[Example]) -> list[tuple[str, float]]:
        """Returns the most probable class of each image and its probability."""
        pixels = np.stack([example.pixels for example in examples])
        if self._runner:
            probabilities = self.pixels(pixels)
            best = probabilities.argmax(axis=1)
            labels = [self.class_names[label_id] for label_id in best]
        else:
            # A server is sent the files: they are smaller than their pixels.
            answer = (
                self._served("pixels", image=pixels)
                if isinstance(self._served, served.Local)
                else self._served(
                    image_bytes=[example.content for example in examples]
                )
            )
            probabilities = answer["probabilities"]
            labels = [label.decode() for label in answer["label"]]
        highest = probabilities.max(axis=1).tolist()
        return list(zip(labels, highest, strict=True))


def evaluate(classifier: Classifier, splits: Splits) -> dict[str, Any]:
    """Returns the metrics on the test split; see `evaluation.describe`.

    Args:
        classifier: The model to judge.
        splits: The data; `test` may hold all images of the data set.

    Raises:
        InputError: If classes or shape of the images are not the model's.
    """
    evaluation.check_names(
        "classes", splits.name, splits.class_names, classifier.class_names
    )
    if splits.test.feature_shape != classifier.shape:
        raise InputError(
            f"--dataset must have images of {classifier.shape}; {splits.name} "
            f"has {splits.test.feature_shape}."
        )
    test = pipelines.for_evaluation(
        splits.test, 500, transform=lambda x, y: (x, y)
    )
    probabilities, labels = [], []
    for batch_images, batch_labels in test.as_numpy_iterator():
        probabilities.append(classifier.pixels(batch_images))
        labels.append(batch_labels)
    values = metrics.classification(
        np.concatenate(probabilities), np.concatenate(labels)
    )
    return evaluation.describe(
        splits.name,
        splits.test.num_examples,
        splits.judged,
        values,
        {},
        splits.notes,
    )


def predict_files(classifier: Classifier, config: Config) -> None:
    """Prints label and probability of each file, and writes a table.

    Args:
        classifier: The model.
        config: Gives `inputs`, `output` and how to read files.
    """
    predictions.check_output(config.output)
    paths = folders.inputs(config.inputs, image_checks.is_image, KINDS)
    rows = _rows(classifier, paths, config)
    predictions.show(rows, config.output, config.raw_output)


def _rows(
    classifier: Classifier, paths: Sequence[str], config: Config
) -> Iterator[dict[str, Any]]:
    """Yields the table's row of each file; holds a batch of files at a time."""
    num = 0
    size = within(4 * math.prod(classifier.shape), BATCH)
    files = track(paths, "predicting", len(paths))
    examples = decodable(classifier, files, config)
    while batch := list(itertools.islice(examples, size)):
        num += len(batch)
        decided = classifier.decide(batch)
        for example, (label, probability) in zip(batch, decided, strict=True):
            yield {
                "file": example.path,
                "label": label,
                "probability": round(probability, 6),
            }
    if not num:
        raise InputError(
            f"--inputs has no image that can be decoded: {quote(config.inputs)}"
        )


def decodable(
    classifier: Classifier, paths: Iterable[str], config: Config
) -> Iterator[Example]:
    """Yields the files that can be decoded; each is read and decoded once."""
    for path in paths:
        try:
            yield _decoded(classifier, path, config.max_megapixels)
        except encoded.UnreadableError as error:
            if config.on_bad_input == "fail":
                raise InputError(
                    f"--inputs must be readable images; {path}: {error}. "
                    "Remove it, or pass --on_bad_input=skip."
                ) from None


@runtime.native_stderr_hidden()
def _decoded(
    classifier: Classifier, path: str, max_megapixels: float
) -> Example:
    """Reads and decodes a file.

    Raises:
        UnreadableError: If the file cannot be decoded; the message says why.
    """
    try:
        content = image_files.read(Path(path), max_megapixels)
        pixels = classifier.decode(content, max_megapixels)
    except (tf.errors.InvalidArgumentError, OSError):
        raise encoded.UnreadableError("it cannot be decoded") from None
    return Example(path, content, pixels)
