"""Augmentation: from batches of uint8 images to inputs and soft labels."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import Split
from common.training import inference

MIXUP = 1  # Folded into the seed: mixup needs random numbers of its own.


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random changes of a training image; zero turns a change off.

    Attributes:
        flip: Whether half of the images are mirrored, left to right.
        shift: The longest shift, as a part of the side.
        rotation: The largest rotation, in degrees.
        crop: The largest crop or padding, as a part of the size.
        mixup: The alpha of mixup (Zhang et al., 2018): a batch is mixed with
            its reverse by a weight drawn from Beta(alpha, alpha).
    """

    flip: bool = False
    shift: float = 0.0
    rotation: float = 0.0
    crop: float = 0.0
    mixup: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether images are warped at all."""
        return bool(self.flip or self.shift or self.rotation or self.crop)


def for_evaluation(num_classes: int) -> pipelines.Transform:
    """Returns the map from images and labels to inputs and targets.

    Args:
        num_classes: The number of classes.

    Returns:
        A function of images, `(batch, height, width, channels) uint8`, and
        labels, `(batch,)` integers, that returns images in [0, 1] as float32
        and one-hot labels, `(batch, num_classes) float32`.
    """

    def transform(
        images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return scale(images), tf.one_hot(labels, num_classes)

    return transform


def batches(split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Returns the batches of a split: scaled images, and labels `(batch,)`."""
    return inference.batches(
        split, lambda images, labels: (scale(images), labels)
    )


def scale(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images as the model takes them: float32 in [0, 1]."""
    return tf.cast(images, tf.float32) / 255.0


def for_training(
    num_classes: int, augmentation: Augmentation
) -> pipelines.TrainingTransform:
    """Returns the map of `for_evaluation`, followed by augmentation.

    All random numbers come from the batch's own seed: an epoch is the same
    each time it is made, whatever ran before it.

    Args:
        num_classes: The number of classes.
        augmentation: The random changes.

    Returns:
        A function of images, labels and a seed, `(2,) int64`.
    """
    evaluation_map = for_evaluation(num_classes)

    def transform(
        images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = evaluation_map(images, labels)
        if augmentation.moves:
            images = warp(images, augmentation, seed)
        if augmentation.mixup:
            # Not the seed of `warp`: the weight must not depend on the angle.
            mixup_seed = tf.random.fold_in(seed, MIXUP)
            images, labels = mix(images, labels, augmentation.mixup, mixup_seed)
        return images, labels

    return transform


def warp(
    images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor
) -> tf.Tensor:
    """Flips, shifts, rotates and crops each image, in a single resampling.

    Args:
        images: `(batch, height, width, channels) float32`.
        augmentation: The largest changes.
        seed: `(2,) int64`.

    Returns:
        Images of the same shape; pixels from outside an image repeat its edge.
    """
    shape = tf.shape(images)
    batch = shape[0]
    height = tf.cast(shape[1], tf.float32)
    width = tf.cast(shape[2], tf.float32)
    draw = tf.random.stateless_uniform((5, batch), seed, -1.0, 1.0)
    angle = draw[0] * (augmentation.rotation * math.pi / 180)
    scale = 1.0 + draw[1] * augmentation.crop
    mirror = tf.where(draw[2] < 0, -1.0, 1.0) if augmentation.flip else 1.0
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    # Output pixel (x, y) is read at a*(x, y) + b, about the image's centre.
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos
    a2 = centre_x - a0 * centre_x - a1 * centre_y
    b2 = centre_y - b0 * centre_x - b1 * centre_y
    a2 += draw[3] * augmentation.shift * width
    b2 += draw[4] * augmentation.shift * height
    zero = tf.zeros((batch,))
    transforms = tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=shape[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def mix(
    images: tf.Tensor, labels: tf.Tensor, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes a batch with its reverse, by the same weight for all images.

    Args:
        images: `(batch, height, width, channels) float32`.
        labels: One-hot labels, `(batch, num_classes) float32`.
        alpha: See `Augmentation.mixup`.
        seed: `(2,) int64`.

    Returns:
        Mixed images and mixed labels, of the same shapes.
    """
    gammas = tf.random.stateless_gamma((2,), seed, alpha)
    weight = tf.reduce_max(gammas) / tf.maximum(tf.reduce_sum(gammas), 1e-9)
    return (
        weight * images + (1 - weight) * images[::-1],
        weight * labels + (1 - weight) * labels[::-1],
    )
