"""Images as float arrays in [0, 1]; labels: 0 normal, 1 abnormal.

Train has normal images only, whatever the source has.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from common.data import pipelines, splits, tfds_sets
from common.data.splits import MemorySplit
from common.options import InputError

from . import folder, noise, pictures

USUAL_SIZE = 64
# How `varied` images differ, at most: size and position as parts of the side,
# contrast as a part, brightness, and the logarithm of gamma.
VARIED = (0.1, 0.06, 0.15, 0.05, 0.2)
VERSIONS = 4  # Of each varied image, beside the image itself.
UNKNOWN = (
    "there are no abnormal images to test with: the threshold is a quantile of "
    "normal validation scores, which fixes the false alarms; how many abnormal "
    "images are found (AUROC, sensitivity) cannot be known from these data"
)


def load(
    options: Any, shape: tuple[int, ...] | None = None, whole: bool = False
) -> splits.Splits:
    """Loads images and labels; see the app's `load_data`."""
    dataset = options.dataset
    if whole and shape and Path(dataset).is_dir():
        return folder.whole(Path(dataset), options, shape)
    if Path(dataset).is_dir():
        found = folder.load(Path(dataset), options, shape)
    elif dataset.startswith((".", "/", "~")) or dataset.endswith("/"):
        raise InputError(f"--dataset must be a folder; {dataset!r} is none.")
    else:
        found = _load_tfds(options, shape)
    for key in ("train", "valid", "test"):
        part = getattr(found, key)
        if part.num_examples < 2 or not np.any(part.labels == 0):
            raise InputError(
                f"--dataset must have at least two images, one of them normal, "
                f"in every split; {found.name} has {part.num_examples} in "
                f"{key}."
            )
    if has_both(found.valid) and has_both(found.test):
        return found
    return dataclasses.replace(found, notes=(*found.notes, UNKNOWN))


def has_both(split: Any) -> bool:
    """Tells whether a split has normal and abnormal images."""
    return len(np.unique(split.labels)) == 2


def normal(split: Any) -> MemorySplit:
    """Returns the normal images of a split."""
    return split.pick(np.flatnonzero(split.labels == 0))


def for_fitting(found: splits.Splits) -> splits.Splits:
    """Returns splits whose validation loss is that of normal images."""
    return dataclasses.replace(found, valid=normal(found.valid))


def judged(found: splits.Splits, options: Any) -> dict[str, MemorySplit]:
    """Returns what is evaluated, by name: the splits, and `varied`.

    Validation images that come from where training's do hardly tell one
    setting from another. `varied` holds them and versions of them, normal and
    abnormal alike, that are framed and exposed otherwise, as those of another
    scanner are.
    """
    parts = {name: getattr(found, name) for name in ("train", "valid", "test")}
    valid: Any = found.valid
    if options.model != "denoiser" and has_both(valid):
        versions = [vary(valid.features, [options.seed, index])
                    for index in range(VERSIONS)]  # fmt: skip
        parts["varied"] = MemorySplit(
            np.concatenate([valid.features, *versions]),
            np.tile(valid.labels, 1 + VERSIONS),
        )
    return parts


def vary(images: np.ndarray, seed: Any) -> np.ndarray:
    """Returns images zoomed, shifted and exposed otherwise; see `VARIED`.

    Args:
        images: `(num, height, width, channels) float32`.
        seed: `(2,)` integers.
    """
    zoom, move, contrast, brightness, gamma = VARIED
    draw = tf.random.stateless_uniform((6, len(images)), seed, -1.0, 1.0)
    height, width = images.shape[1:3]
    framed = _reframe(
        images, 1 + zoom * draw[0], move * height * draw[1],
        move * width * draw[2],
    )  # fmt: skip
    light = tf.reshape(draw[3:], (3, -1, 1, 1, 1))
    mean = tf.reduce_mean(framed, (1, 2, 3), keepdims=True)
    exposed = (1 + contrast * light[0]) * (framed - mean) + mean
    exposed = tf.clip_by_value(exposed + brightness * light[1], 0.0, 1.0)
    return (exposed ** tf.exp(gamma * light[2])).numpy()


def for_training(options: Any) -> pipelines.TrainingTransform:
    """Returns the map from images to (noisy) inputs and clean targets."""

    def transform(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        if options.flip:
            images = _flip(images, seed)
        if options.shift:
            images = _shift(images, options.shift, seed)
        inputs = noise.corrupt(images, options.noise, options.noise_level, seed)
        return inputs, images

    return transform


def for_evaluation(options: Any) -> pipelines.Transform:
    """Returns the map from images to inputs and targets.

    Only a denoiser is given noise, the same each time: other models are judged
    by what they make of images as they come.
    """
    kind = options.noise if options.model == "denoiser" else "none"

    def transform(images: Any, labels: Any) -> tuple[Any, Any]:
        seed = noise.own_seed(images, options.seed)
        return noise.corrupt(images, kind, options.noise_level, seed), images

    return transform


def _flip(images: Any, seed: Any) -> Any:
    """Mirrors half of the images, left to right."""
    draw = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed)
    return tf.where(draw < 0.5, images, images[:, :, ::-1])


def _shift(images: Any, part: float, seed: Any) -> Any:
    """Shifts each image by whole pixels, which keeps it sharp.

    Args:
        images: `(batch, height, width, channels) float32`.
        part: The most, as a part of the side, either way.
        seed: `(2,) int64`.
    """
    draw = tf.random.stateless_uniform((2, tf.shape(images)[0]), seed, -1, 1)
    most = [[round(part * side)] for side in images.shape[1:3]]
    down, right = tf.unstack(
        tf.round(draw * (tf.constant(most, tf.float32) + 0.499))
    )
    return _reframe(images, tf.ones_like(down), down, right)


def _reframe(images: Any, scale: Any, down: Any, right: Any) -> Any:
    """Zooms about the centre and shifts; the outside mirrors the inside.

    Args:
        images: `(batch, height, width, channels) float32`.
        scale: `(batch,)`; below 1 it enlarges.
        down: `(batch,)` pixels.
        right: The same.
    """
    height, width = images.shape[1:3]
    zero = tf.zeros_like(scale)
    # Output pixel x is read at scale * x + offset.
    right = right + (1 - scale) * (width - 1) / 2
    down = down + (1 - scale) * (height - 1) / 2
    rows = [scale, zero, right, zero, scale, down, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=(height, width),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _check_features(builder: Any) -> None:
    """Refuses a set without images and labels, before any download."""
    features = builder.info.features
    image, label = builder.info.supervised_keys or ("image", "label")
    if not (
        isinstance(dict(features).get(image), tfds.features.Image)
        and isinstance(dict(features).get(label), tfds.features.ClassLabel)
    ):
        raise InputError(
            f"--dataset must have an image and a class label; {builder.name} "
            f"has {', '.join(features)}."
        )


def _normal_label(wanted: str, names: list[str], dataset: str) -> int:
    """Returns the index of the normal class."""
    for index, name in enumerate(names):
        if name.lower() == (wanted or "normal").lower():
            return index
    raise InputError(
        f"--normal_label must be a class of {dataset}, one of "
        f"{', '.join(names[:20])}; received {wanted!r}."
    )


def _load_tfds(options: Any, shape: tuple[int, ...] | None) -> splits.Splits:
    """Loads a TFDS set that has an image and a class label."""
    builder = tfds_sets.builder(
        options.dataset, options.data_dir, _check_features
    )
    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    own = _normal_label(
        options.normal_label, features[keys[1]].names, builder.name
    )
    height, width, channels = shape or features[keys[0]].shape
    if not shape and (options.image_size or None in (height, width)):
        height = width = options.image_size or USUAL_SIZE
    shape = (height, width, channels or 3)

    def parse(example: dict[str, Any]) -> tuple[Any, Any]:
        image = example[keys[0]]
        unit = tf.cast(image, tf.float32) / float(image.dtype.max)
        label = tf.cast(example[keys[1]] != own, tf.int64)
        return pictures.fit(unit, shape), label

    found: dict[str, Any] = {
        key: splits.load(
            tfds_sets.stream(builder, split, parse, shape), "in_memory"
        )
        for key, split in tfds_sets.split_names(builder).items()
    }
    found["train"] = normal(found["train"])
    return splits.Splits(builder.info.full_name, folder.CLASS_NAMES, **found)
