"""Using a release: prediction for files, evaluation on a data set."""

import glob
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import (
    data,
    image_folder,
    images,
    litert,
    metrics,
    predictions,
    served,
)
from common.config import InputError, Options

BATCH = 64


class Classifier:
    """A released classifier: the SavedModel, or one of the TFLite files.

    Attributes:
        shape: Height, width and channels of the model's image.
        class_names: The classes, in the order of the probabilities; empty
            where only a server knows them.
    """

    def __init__(self, asked: served.Served, variant: str = "") -> None:
        self._served = asked
        self.class_names = _class_names(asked) if asked.has_files else ()
        self.shape = tuple(asked.inputs("pixels")["image"].shape[1:])
        self._runner = None
        if variant:
            path = asked.release / "mobile" / f"{variant}.tflite"
            if not path.is_file():
                known = sorted(one.stem for one in path.parent.glob("*.tflite"))
                raise InputError(
                    f"--variant must be one of {', '.join(known)}; received "
                    f"{variant!r}."
                )
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
            height, width, channels = self.shape
            decoded = [images.decode(one, channels) for one in contents]
            fitted = [images.fit(one, (height, width)) for one in decoded]
            return self.pixels(np.stack([one.numpy() for one in fitted]))
        return self._served(image_bytes=contents)["probabilities"]

    def decide(self, contents: list[bytes]) -> list[tuple[str, float]]:
        """Returns the class of each encoded image, and its probability."""
        if self._runner:
            found = self.encoded(contents)
            labels = [self.class_names[best] for best in found.argmax(axis=1)]
        else:
            answer = self._served(image_bytes=contents)
            found = answer["probabilities"]
            labels = [label.decode() for label in answer["label"]]
        return list(zip(labels, found.max(axis=1).tolist(), strict=True))


def _class_names(asked: served.Served) -> tuple[str, ...]:
    """Returns the classes that a release was trained on."""
    release = asked.release
    labels = release / "mobile" / "labels.txt"
    if not labels.is_file():
        raise InputError(
            f"--release must be of image_classify; {release} has no "
            "mobile/labels.txt."
        )
    return tuple(labels.read_text("utf-8").split("\n")[:-1])


def evaluate(classifier: Classifier, splits: data.Splits) -> dict[str, Any]:
    """Returns the metrics on the test split of `splits`."""
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
    test = data.for_evaluation(splits.test, 500, transform=lambda x, y: (x, y))
    found, labels = [], []
    for image, label in test.as_numpy_iterator():
        found.append(classifier.pixels(image))
        labels.append(label)
    return {
        "dataset": splits.name,
        "examples": splits.test.num_examples,
        **metrics.classification(np.concatenate(found), np.concatenate(labels)),
    }


def predict_files(
    classifier: Classifier, options: Options, skip_bad: bool
) -> None:
    """Prints label and probability of each file; writes them if asked to."""
    predictions.check_output(options.output)
    paths, contents = _read(options.inputs, skip_bad)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(paths), BATCH):
        found = classifier.decide(contents[start : start + BATCH])
        for path, (label, probability) in zip(
            paths[start:], found, strict=False
        ):
            rows.append(
                {
                    "file": path,
                    "label": label,
                    "probability": round(probability, 6),
                }
            )
    predictions.show(rows, options.output, options.raw_output)


def _read(pattern: str, skip_bad: bool) -> tuple[list[str], list[bytes]]:
    """Returns the paths and contents of the files that can be decoded."""
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
    good, contents = [], []
    for path in paths:
        try:
            content = Path(path).read_bytes()
            images.decode(content, 3)
        except (tf.errors.InvalidArgumentError, OSError):
            if not skip_bad:
                raise InputError(
                    f"--inputs must be readable images; {path} cannot be "
                    "decoded. Remove it, or pass --on_bad_input=skip."
                ) from None
            continue
        good.append(path)
        contents.append(content)
    if not good:
        raise InputError(
            f"--inputs has no image that can be decoded: {pattern}"
        )
    return good, contents
