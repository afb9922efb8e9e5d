"""Noise of the kinds that imaging devices make, drawn from a seed."""

import tensorflow as tf

KINDS = ("none", "gaussian", "poisson", "speckle")


def corrupt(
    images: tf.Tensor, kind: str, level: float, seed: tf.Tensor
) -> tf.Tensor:
    """Returns images with noise, clipped to [0, 1].

    Args:
        images: `(batch, height, width, channels) float32` in [0, 1].
        kind: One of `KINDS`. `gaussian` noise is added. `poisson` noise comes
            from counting photons, 1 / level**2 for a white pixel. `speckle` is
            multiplied with the image, as in ultrasound.
        level: The standard deviation of the noise; of `poisson` and `speckle`
            that at white pixels.
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


def own_seed(images: tf.Tensor, seed: int) -> tf.Tensor:
    """Returns a seed, `(2,) int64`, that follows from images and `seed`.

    The same batch has the same noise in each evaluation.
    """
    total = tf.cast(tf.reduce_sum(images), tf.float64)
    return tf.stack([tf.bitcast(total, tf.int64), tf.cast(seed, tf.int64)])
