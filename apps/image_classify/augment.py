"""Augmentation: batches of uint8 images to model inputs and soft labels."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from common.data import pipelines
from common.data.splits import Split
from common.training import inference

MIXUP = 1  # What tells its random numbers from the others of a batch.


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a training image; zero turns a thing off.

    Attributes:
        flip: Mirror left to right with probability one half.
        shift: The most an image moves, as a part of its side.
        rotation: The most it turns, in degrees.
        crop: The most it is cropped or padded, as a part of its size.
        mixup: Alpha of mixup (Zhang et al., 2018): a batch is mixed with its
            reverse by a weight drawn from Beta(alpha, alpha).
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
    """Returns the map from uint8 images and labels to floats and one-hot."""

    def transform(images: Any, labels: Any) -> tuple[Any, Any]:
        return scale(images), tf.one_hot(labels, num_classes)

    return transform


def batches(split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Returns the batches of a split: float images, `(batch,)` labels."""
    return inference.batches(
        split, lambda images, labels: (scale(images), labels)
    )


def scale(images: Any) -> Any:
    """Returns uint8 images as the model takes them."""
    return tf.cast(images, tf.float32) / 255.0


def for_training(
    num_classes: int, augmentation: Augmentation
) -> pipelines.TrainingTransform:
    """Returns `for_evaluation`'s map with augmentation.

    Every random number comes from the batch's own seed: an epoch is the same
    each time it is made, whatever ran before it.
    """
    plain = for_evaluation(num_classes)

    def transform(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        images, labels = plain(images, labels)
        if augmentation.moves:
            images = warp(images, augmentation, seed)
        if augmentation.mixup:
            # Not the seed of `warp`: the weight must not depend on the angle.
            own = tf.random.fold_in(seed, MIXUP)
            images, labels = mix(images, labels, augmentation.mixup, own)
        return images, labels

    return transform


def warp(
    images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor
) -> tf.Tensor:
    """Flips, shifts, turns and crops each image, in one resampling.

    Args:
        images: `(batch, height, width, channels) float32`.
        augmentation: How much.
        seed: `(2,) int64`.

    Returns:
        Images like the input; what comes from outside repeats the edge.
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
    """Mixes a batch with its reverse; images and one-hot labels alike."""
    gammas = tf.random.stateless_gamma((2,), seed, alpha)
    weight = tf.reduce_max(gammas) / tf.maximum(tf.reduce_sum(gammas), 1e-9)
    return (
        weight * images + (1 - weight) * images[::-1],
        weight * labels + (1 - weight) * labels[::-1],
    )
