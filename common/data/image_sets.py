"""Image-classification sets: by TFDS name, or a folder of class folders."""

from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from common.options import InputError
from common.shared_options import MAX_MEGAPIXELS

from . import image_folder, image_labels, image_splits, splits, tfds_sets
from .images import fit


def load(
    dataset: str,
    *,
    data_dir: str = "",
    image_size: int = 0,
    usual_size: int = 64,
    pipeline: str = "auto",
    seed: int = 0,
    skip_bad: bool = False,
    shape: tuple[int, ...] | None = None,
    classes: tuple[str, ...] = (),
    max_megapixels: float = MAX_MEGAPIXELS,
    labels: image_labels.Source | None = None,
    background: str = "white",
) -> splits.Splits:
    """Loads an image-classification set by TFDS name or as a folder.

    `images.decode` decodes the files of a folder; TFDS decodes its own sets.

    Args:
        dataset: A TFDS name, or a folder of class folders, with or without
            `train`, `valid` and `test` folders above them.
        data_dir: The TFDS data directory.
        image_size: Height and width to resize to; 0 keeps the size that all
            images share, and takes `usual_size` if they differ.
        usual_size: See `image_size`.
        pipeline: One of `splits.PIPELINES`.
        seed: Fixes the splits of a folder that has no split folders.
        skip_bad: Leave undecodable files out instead of refusing the folder.
        shape: The height, width and channels that a model needs; `image_size`
            and `usual_size` are then ignored. None takes those of the data.
        classes: The classes of a release that a folder evaluates with images of
            `shape`; none of its images is set aside for training. () loads a
            folder for training.
        max_megapixels: The most pixels, in millions, that a file may claim.
        labels: A table of the labels of the files in `dataset`, which then
            needs no class folders.
        background: What shows where a file is transparent; see `images.decode`.

    Returns:
        Splits whose features are `(height, width, channels) uint8` images.

    Raises:
        InputError: If there is no such data set, or it breaks a rule above.
    """
    root = Path(dataset)
    if root.is_dir():
        reading = image_splits.Reading(
            image_size, usual_size, pipeline, seed, skip_bad, shape,
            max_megapixels, background,
        )  # fmt: skip
        if classes and shape:
            listing, judged = (
                image_labels.known(root, labels, classes)
                if labels
                else image_folder.known(root, classes)
            )
            return image_splits.whole(listing, reading, judged)
        listing = (
            image_labels.listing(root, labels)
            if labels
            else image_folder.listing(root)
        )
        return image_splits.load(listing, reading)
    if labels or dataset.startswith((".", "/", "~")) or dataset.endswith("/"):
        raise InputError(f"--dataset must be a folder; {dataset!r} is none.")
    return _load_tfds(
        dataset, data_dir, image_size, usual_size, pipeline, shape
    )


def _check_features(builder: tfds.core.DatasetBuilder) -> None:
    """Refuses a set without images and labels, before any download."""
    features = builder.info.features
    image, label = builder.info.supervised_keys or ("image", "label")
    kinds = tfds.features
    if not (
        isinstance(dict(features).get(image), kinds.Image)
        and isinstance(dict(features).get(label), kinds.ClassLabel)
    ):
        raise InputError(
            f"--dataset must have an image and a class label; {builder.name} "
            f"has {', '.join(features)}."
        )


def _load_tfds(
    name: str,
    data_dir: str,
    image_size: int,
    usual_size: int,
    pipeline: str,
    shape: tuple[int, ...] | None,
) -> splits.Splits:
    """Loads a TFDS set that has an image and a class label."""
    builder = tfds_sets.builder(name, data_dir, _check_features)
    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    height, width, channels = features[keys[0]].shape
    if shape:
        height, width, _ = shape
    elif image_size or height is None or width is None:
        height = width = image_size or usual_size

    def parse(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = fit(example[keys[0]], (height, width))
        return image, example[keys[1]]

    streams: dict[str, Any] = {
        key: splits.load(
            tfds_sets.stream(
                builder, split, parse, (height, width, channels or 3)
            ),
            pipeline,
        )
        for key, split in tfds_sets.split_names(builder).items()
    }
    return splits.Splits(
        name=f"{builder.info.full_name}",
        class_names=tuple(features[keys[1]].names),
        **streams,
    )
