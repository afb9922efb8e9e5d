"""Using a release: prediction for files, evaluation on a data set."""

import dataclasses
import glob
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.console import track
from common.data import encoded, image_folder, images, pipelines
from common.data.splits import Splits, within
from common.mobile import files, litert
from common.options import InputError, quote
from common.release import evaluation, predictions, served
from common.report import metrics
from common.shared_options import MAX_MEGAPIXELS

from .config import APP

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Example:
    """A file that can be decoded.

    Attributes:
        path: Where it is.
        content: What is in it.
        pixels: The image as the model takes it, uint8.
    """

    path: str
    content: bytes
    pixels: np.ndarray


class Classifier:
    """A released classifier: the SavedModel, or one of the TFLite files.

    Attributes:
        shape: Height, width and channels of the model's image.
        class_names: The classes, in the order of the probabilities; empty
            where only a server knows them.
    """

    def __init__(self, asked: served.Served, variant: str = "") -> None:
        self._served = asked
        self.class_names = (
            files.read_names(asked.release / "mobile" / files.LABELS, APP)
            if asked.has_files
            else ()
        )
        self.shape = tuple(asked.inputs("pixels")["image"].shape[1:])
        self._runner = None
        if variant:
            path = files.variant(asked.release, variant)
            self._runner = litert.Runner(path.read_bytes())

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """Returns probabilities for uint8 images `(num, *shape)`."""
        if self._runner:
            scaled = image.astype(np.float32) / 255
            return self._runner(image=scaled)["probabilities"]
        return self._served("pixels", image=image)["probabilities"]

    def encoded(self, contents: list[bytes]) -> np.ndarray:
        """Returns probabilities for encoded images."""
        if self._runner:
            return self.pixels(np.stack([self.decode(c) for c in contents]))
        return self._served(image_bytes=contents)["probabilities"]

    def decode(
        self, content: bytes, max_megapixels: float = MAX_MEGAPIXELS
    ) -> np.ndarray:
        """Returns an encoded image as the model takes it, uint8."""
        height, width, channels = self.shape
        image = images.decode(content, channels, max_megapixels)
        return images.fit(image, (height, width)).numpy()

    def decide(self, examples: Sequence[Example]) -> list[tuple[str, float]]:
        """Returns the class of each image, and its probability."""
        pixels = np.stack([one.pixels for one in examples])
        if self._runner:
            found = self.pixels(pixels)
            labels = [self.class_names[best] for best in found.argmax(axis=1)]
        else:
            # A server is sent the files: they are smaller than their pixels.
            answer = (
                self._served("pixels", image=pixels)
                if isinstance(self._served, served.Local)
                else self._served(image_bytes=[one.content for one in examples])
            )
            found = answer["probabilities"]
            labels = [label.decode() for label in answer["label"]]
        return list(zip(labels, found.max(axis=1).tolist(), strict=True))


def evaluate(classifier: Classifier, splits: Splits) -> dict[str, Any]:
    """Returns the metrics on the test split of `splits`, which may be all."""
    if splits.class_names != classifier.class_names:
        raise InputError(
            f"--dataset must have the release's classes, "
            f"{', '.join(classifier.class_names)}; {splits.name} has "
            f"{', '.join(splits.class_names)}."
        )
    if splits.test.feature_shape != classifier.shape:
        raise InputError(
            f"--dataset must have images of {classifier.shape}; {splits.name} "
            f"has {splits.test.feature_shape}."
        )
    test = pipelines.for_evaluation(
        splits.test, 500, transform=lambda x, y: (x, y)
    )
    found, labels = [], []
    for image, label in test.as_numpy_iterator():
        found.append(classifier.pixels(image))
        labels.append(label)
    values = metrics.classification(
        np.concatenate(found), np.concatenate(labels)
    )
    return evaluation.describe(
        splits.name,
        splits.test.num_examples,
        splits.judged,
        values,
        {},
        splits.notes,
    )


def predict_files(classifier: Classifier, options: Any) -> None:
    """Prints label and probability of each file; writes them if asked to."""
    predictions.check_output(options.output)
    rows = _rows(classifier, _paths(options.inputs), options)
    predictions.show(rows, options.output, options.raw_output)


def _rows(
    classifier: Classifier, paths: Sequence[str], options: Any
) -> Iterator[dict[str, Any]]:
    """Yields what is said of each file; holds a batch of them at a time."""
    num = 0
    size = within(4 * math.prod(classifier.shape), BATCH)
    files = track(paths, "predicting", len(paths))
    examples = _decodable(classifier, files, options)
    while batch := list(itertools.islice(examples, size)):
        num += len(batch)
        decided = classifier.decide(batch)
        for one, (label, probability) in zip(batch, decided, strict=True):
            yield {
                "file": one.path,
                "label": label,
                "probability": round(probability, 6),
            }
    if not num:
        raise InputError(
            "--inputs has no image that can be decoded: "
            f"{quote(options.inputs)}"
        )


def _paths(pattern: str) -> list[str]:
    """Returns the files that `--inputs` names."""
    if not pattern:
        raise InputError("--inputs must name images; received nothing.")
    if Path(pattern).is_dir():
        pattern = glob.escape(pattern.rstrip("/")) + "/*"
    elif Path(pattern).is_file():
        pattern = glob.escape(pattern)
    paths = [
        path
        for path in sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if path.lower().endswith(image_folder.SUFFIXES)
    ]
    if not paths:
        raise InputError(
            f"--inputs must match files that end in "
            f"{', '.join(image_folder.SUFFIXES)}; {pattern!r} matches none."
        )
    return paths


def _decodable(
    classifier: Classifier, paths: Iterable[str], options: Any
) -> Iterator[Example]:
    """Yields the files that can be decoded, each read and decoded once."""
    for path in paths:
        try:
            content = encoded.read(Path(path), options.max_megapixels)
            pixels = classifier.decode(content, options.max_megapixels)
        except encoded.UnreadableError as error:
            reason = str(error)
        except (tf.errors.InvalidArgumentError, OSError):
            reason = "it cannot be decoded"
        else:
            yield Example(path, content, pixels)
            continue
        if options.on_bad_input == "fail":
            raise InputError(
                f"--inputs must be readable images; {path}: {reason}. "
                "Remove it, or pass --on_bad_input=skip."
            )
