"""Noise as imaging makes it, drawn from a seed."""

from typing import Any

import tensorflow as tf

KINDS = ("none", "gaussian", "poisson", "speckle")


def corrupt(images: Any, kind: str, level: float, seed: Any) -> Any:
    """Returns images with noise, clipped to [0, 1].

    Args:
        images: `(batch, height, width, channels) float32` in [0, 1].
        kind: One of `KINDS`. `gaussian` is added; `poisson` counts photons, of
            which white has 1 / level**2; `speckle` is multiplied, as in
            ultrasound.
        level: The standard deviation of the noise, at white for the last two.
        seed: `(2,)` integers.
    """
    if kind == "none":
        return images
    shape = tf.shape(images)
    if kind == "poisson":
        photons = 1 / level**2
        counts = tf.random.stateless_poisson(
            shape, seed, images * photons, tf.float32
        )
        return tf.clip_by_value(counts / photons, 0.0, 1.0)
    noise = level * tf.random.stateless_normal(shape, seed)
    noisy = images + (noise * images if kind == "speckle" else noise)
    return tf.clip_by_value(noisy, 0.0, 1.0)


def own_seed(images: Any, seed: int) -> Any:
    """Returns a seed that a batch fixes itself, for repeatable evaluation."""
    total = tf.cast(tf.reduce_sum(images), tf.float64)
    return tf.stack([tf.bitcast(total, tf.int64), tf.cast(seed, tf.int64)])
