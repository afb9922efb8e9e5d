"""Images as float arrays in [0, 1]; labels: 0 normal, 1 abnormal.

The training split has normal images only, whatever the source holds.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from common.data import pipelines, tfds_sets
from common.data.splits import MemorySplit, Splits
from common.data.splits import load as load_split
from common.options import InputError

from . import folder, noise, pictures
from .config import Config

USUAL_SIZE = 64
# The most that `vary` changes an image: its zoom and its position as parts of
# the side, contrast as a part, brightness, and the logarithm of gamma.
VARIED = (0.1, 0.06, 0.15, 0.05, 0.2)
VERSIONS = 4  # The number of varied versions of each image.
UNCHOSEN = (
    "there are no abnormal images to validate with: the score is the usual "
    "one, the threshold is a quantile of normal validation scores, and TFLite "
    "files are compared by SSIM; the metrics of test are complete"
)
UNKNOWN = (
    "there are no abnormal images to test with: the threshold is a quantile of "
    "normal validation scores, which fixes the false alarms; how many abnormal "
    "images are found (AUROC, sensitivity) cannot be known from these data"
)


def load(
    options: Config,
    shape: tuple[int, ...] | None = None,
    judge_all: bool = False,
) -> Splits:
    """Loads float32 images in [0, 1] and labels; see `train.load_data`."""
    dataset = options.dataset
    if judge_all and shape and Path(dataset).is_dir():
        return folder.load_to_judge(Path(dataset), options, shape)
    if Path(dataset).is_dir():
        splits = folder.load(Path(dataset), options, shape)
    elif dataset.startswith((".", "/", "~")) or dataset.endswith("/"):
        raise InputError(f"--dataset must be a folder; {dataset!r} is none.")
    else:
        splits = _load_tfds(options, shape)
    for key in ("train", "valid", "test"):
        split = getattr(splits, key)
        if split.num_examples < 2 or not np.any(split.labels == 0):
            raise InputError(
                f"--dataset must have at least two images, one of them normal, "
                f"in every split; {splits.name} has {split.num_examples} in "
                f"{key}."
            )
    if has_both(splits.valid) and has_both(splits.test):
        return splits
    note = UNCHOSEN if has_both(splits.test) else UNKNOWN
    return dataclasses.replace(splits, notes=(*splits.notes, note))


def has_both(split: Any) -> bool:
    """Tells whether a `MemorySplit` has normal and abnormal images."""
    return len(np.unique(split.labels)) == 2


def normal(split: Any) -> MemorySplit:
    """Returns the normal images of a `MemorySplit`."""
    return split.pick(np.flatnonzero(split.labels == 0))


def for_fitting(splits: Splits) -> Splits:
    """Returns splits for training: `valid` without its abnormal images."""
    return dataclasses.replace(splits, valid=normal(splits.valid))


def judged(splits: Splits, options: Config) -> dict[str, MemorySplit]:
    """Returns the splits to evaluate, by name: the three, and `varied`.

    Validation images from the same source as the training images hardly
    distinguish good settings from bad ones. `varied` holds the validation
    images, normal and abnormal, and versions of them that are framed and
    exposed differently, as another scanner would. There is no `varied` for a
    denoiser, or if validation lacks normal or abnormal images.
    """
    judges = {
        name: getattr(splits, name) for name in ("train", "valid", "test")
    }
    valid: Any = splits.valid
    if options.model != "denoiser" and has_both(valid):
        versions = [vary(valid.features, [options.seed, index])
                    for index in range(VERSIONS)]  # fmt: skip
        judges["varied"] = MemorySplit(
            np.concatenate([valid.features, *versions]),
            np.tile(valid.labels, 1 + VERSIONS),
        )
    return judges


def vary(images: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Returns randomly zoomed, shifted and exposed images; see `VARIED`.

    Args:
        images: `(num, height, width, channels) float32` in [0, 1].
        seed: Two integers, which fix the changes.

    Returns:
        Images of the same shape and range.
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


def for_training(options: Config) -> pipelines.TrainingTransform:
    """Returns the map from images to (noisy) inputs and clean targets.

    Args:
        options: Give `flip`, `shift`, `noise` and `noise_level`.

    Returns:
        A function of images, `(batch, height, width, channels) float32`, of
        labels, which it ignores, and of a seed, `(2,) int64`.
    """

    def transform(
        images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if options.flip:
            images = _flip(images, seed)
        if options.shift:
            images = _shift(images, options.shift, seed)
        inputs = noise.corrupt(images, options.noise, options.noise_level, seed)
        return inputs, images

    return transform


def for_evaluation(options: Config) -> pipelines.Transform:
    """Returns the map from images to inputs and targets.

    Only a denoiser is judged on noisy images, whose noise is the same at each
    evaluation; other models are judged on clean images.

    Args:
        options: Give `model`, `noise`, `noise_level` and `seed`.

    Returns:
        A function of images, `(batch, height, width, channels) float32`, and
        of labels, which it ignores.
    """
    kind = options.noise if options.model == "denoiser" else "none"

    def transform(
        images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = noise.own_seed(images, options.seed)
        return noise.corrupt(images, kind, options.noise_level, seed), images

    return transform


def _flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors about half of the images, left to right."""
    draw = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed)
    return tf.where(draw < 0.5, images, images[:, :, ::-1])


def _shift(images: tf.Tensor, part: float, seed: tf.Tensor) -> tf.Tensor:
    """Shifts each image by whole pixels, which keeps it sharp.

    Args:
        images: `(batch, height, width, channels) float32`.
        part: The longest shift in each direction, as a part of the side.
        seed: `(2,) int64`.
    """
    draw = tf.random.stateless_uniform((2, tf.shape(images)[0]), seed, -1, 1)
    most = [[round(part * side)] for side in images.shape[1:3]]
    down, right = tf.unstack(
        tf.round(draw * (tf.constant(most, tf.float32) + 0.499))
    )
    return _reframe(images, tf.ones_like(down), down, right)


def _reframe(
    images: tf.Tensor, scale: tf.Tensor, down: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Zooms images about their centres and shifts them.

    Pixels from outside of an image mirror those inside it.

    Args:
        images: `(batch, height, width, channels) float32`.
        scale: `(batch,) float32`; a scale below 1 enlarges.
        down: `(batch,) float32`: the row offset, in pixels, at which an image
            is read.
        right: `(batch,) float32`: the column offset.
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
    """Refuses a TFDS set without images and labels, before any download."""
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


def _normal_label(normal_label: str, names: list[str], dataset: str) -> int:
    """Returns the index in `names` of the class of normal images."""
    for index, name in enumerate(names):
        if name.lower() == (normal_label or "normal").lower():
            return index
    raise InputError(
        f"--normal_label must be a class of {dataset}, one of "
        f"{', '.join(names[:20])}; received {normal_label!r}."
    )


def _load_tfds(options: Config, shape: tuple[int, ...] | None) -> Splits:
    """Loads a TFDS set that has an image and a class label."""
    builder = tfds_sets.builder(
        options.dataset, options.data_dir, _check_features
    )
    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    normal_index = _normal_label(
        options.normal_label, features[keys[1]].names, builder.name
    )
    height, width, channels = shape or features[keys[0]].shape
    if not shape and (options.image_size or None in (height, width)):
        height = width = options.image_size or USUAL_SIZE
    shape = (height, width, channels or 3)

    def parse(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[keys[0]]
        unit = tf.cast(image, tf.float32) / float(image.dtype.max)
        label = tf.cast(example[keys[1]] != normal_index, tf.int64)
        return pictures.fit(unit, shape), label

    parts: dict[str, Any] = {
        key: load_split(
            tfds_sets.stream(builder, split, parse, shape), "in_memory"
        )
        for key, split in tfds_sets.split_names(builder).items()
    }
    num = parts["train"].num_examples
    parts["train"] = normal(parts["train"])
    unused = num - parts["train"].num_examples
    notes = (
        (f"{unused} abnormal images of train are not used: training is on "
         "normal images",)
        if unused
        else ()
    )  # fmt: skip
    return Splits(
        builder.info.full_name, folder.CLASS_NAMES, notes=notes, **parts
    )
