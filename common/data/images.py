"""Images: decoding, fitting to a size, TFDS sets and folders of classes."""

import tensorflow as tf

from common.shared_options import MAX_MEGAPIXELS

from . import encoded


def decode(
    content: tf.Tensor,
    channels: int,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> tf.Tensor:
    """Returns the `(height, width, channels) uint8` image in `content`.

    Runs inside a graph, so that a server decodes exactly as training did.

    Args:
        content: Scalar string: a PNG, JPEG, BMP or GIF (its first frame).
        channels: 1 for grey, 3 for RGB. An alpha channel is dropped.
        max_megapixels: Larger images are not decoded; see `encoded.bound`.
    """
    content = encoded.bound(content, max_megapixels)
    # BMP and GIF decoders give only RGB, hence never ask them for grey.
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    if channels == 3:
        return image
    # Exact for grey images, whose three channels are equal.
    grey = tf.image.rgb_to_grayscale(tf.cast(image, tf.float32))
    return tf.cast(tf.round(grey), tf.uint8)


def fit(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns `image` resized to `size`, uint8; anti-aliased when it shrinks.

    Args:
        image: `(height, width, channels)` or with a batch axis, uint8.
        size: Height and width in pixels.
    """
    static = tuple(image.shape[-3:-1])
    if static == tuple(size):
        return image
    resized = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
