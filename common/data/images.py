"""Images: decoding, and resizing to a given size."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.shared_options import MAX_MEGAPIXELS

from . import encoded, orientation

# A PNG's transparent colours stand before its pixels. \C is any byte.
PNG_HEADER_BYTES = 2**13
TRANSPARENT = r"\C*tRNS\C*"
# What is shown where an image is transparent, in [0, 1].
BACKGROUNDS = {"white": 1.0, "grey": 0.5, "black": 0.0}


def decode(
    content: tf.Tensor,
    channels: int,
    max_megapixels: float = MAX_MEGAPIXELS,
    background: str = "white",
    plain: bool | tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the `(height, width, channels) uint8` image in `content`.

    A server runs the same graph as training. Only a file's reader makes PNG of
    what TensorFlow cannot decode (see `image_files`); TFDS decodes its own
    sets, and does not turn them.

    Args:
        content: Scalar string: a PNG, JPEG, BMP, WebP or GIF (its first
            frame).
        channels: 1 for grey, 3 for RGB.
        max_megapixels: Larger images are not decoded; see `encoded.bound`.
        background: One of `BACKGROUNDS`, which shows where it is transparent.
        plain: See `colours`.
    """
    image = colours(
        encoded.bound(content, max_megapixels), tf.uint8, background, plain
    )
    if channels == 3:
        return image
    # Exact for grey images, whose three channels are equal.
    grey = tf.image.rgb_to_grayscale(tf.cast(image, tf.float32))
    return tf.cast(tf.round(grey), tf.uint8)


@functools.cache
def decoder(
    channels: int,
    max_megapixels: float = MAX_MEGAPIXELS,
    background: str = "white",
    plain: bool | None = None,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `decode` as a graph that all files and splits share.

    Tracing takes a second; from then on an image of 64 x 64 pixels takes 1.4 ms
    of a CPU, a sixth of what its operations take one by one.

    Args:
        channels: See `decode`, as the others.
        max_megapixels: The limit.
        background: The colour behind transparent images.
        plain: Whether all images are known to be plain; None if it is unknown.
    """
    return tf.function(
        lambda content: decode(
            content, channels, max_megapixels, background, plain
        ),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


def colours(
    content: tf.Tensor,
    dtype: tf.DType,
    background: str = "white",
    plain: bool | tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the `(height, width, 3)` image in `content`, upright and opaque.

    Args:
        content: Scalar string; see `encoded.bound`.
        dtype: tf.uint8, or tf.float32 for values in [0, 1]; of a PNG with 16
            bits it keeps them.
        background: See `decode`.
        plain: What `is_plain` says of it, if that is known: to find it out
            takes half as long as to decode an image of 28 x 28 pixels.
    """
    if plain is None:
        plain = is_plain(content)

    def decoded() -> tf.Tensor:
        # BMP and GIF decoders give only RGB, hence nothing is decoded as grey.
        image = tf.io.decode_image(
            content, channels=3, dtype=dtype, expand_animations=False
        )
        return tf.ensure_shape(image, [None, None, 3])

    if plain is True:
        return decoded()
    return tf.cond(
        plain, decoded, lambda: _called_shown(dtype, background)(content)
    )


def is_plain(content: tf.Tensor) -> tf.Tensor:
    """Tells whether TensorFlow's decoder alone shows an image as it is meant.

    That is no WebP, and has neither an orientation nor transparency.

    Args:
        content: Scalar string; see `encoded.bound`.
    """
    always = dict.fromkeys(
        range(len(encoded.STARTS) + 1), lambda: tf.constant(True)
    )
    return tf.switch_case(
        encoded.kind(content),
        always
        | {
            encoded.PNG: lambda: ~_has_transparency(content),
            encoded.JPEG: lambda: orientation.noted(content) == 1,
            encoded.WEBP: lambda: tf.constant(False),
        },
    )


@functools.cache
def _called_shown(dtype: tf.DType, background: str) -> Any:
    """Returns `_shown` as a function that graphs call; see `encoded.called`."""
    return encoded.called(lambda content: _shown(content, dtype, background))


def _shown(content: tf.Tensor, dtype: tf.DType, background: str) -> tf.Tensor:
    """Does the work of `colours` for an image that is not plain."""

    def blended(image: tf.Tensor) -> tf.Tensor:
        image = tf.image.convert_image_dtype(image, tf.float32)
        alpha = image[..., 3:]
        level = BACKGROUNDS[background]
        shown = image[..., :3] * alpha + level * (1 - alpha)
        if dtype == tf.float32:
            return shown
        return tf.cast(tf.round(255 * shown), dtype)

    def png() -> tf.Tensor:
        return blended(
            tf.image.decode_png(content, channels=4, dtype=tf.uint16)
        )

    def jpeg() -> tf.Tensor:
        image = tf.io.decode_jpeg(content, channels=3)
        upright = orientation.upright(image, content)
        return tf.image.convert_image_dtype(upright, dtype)

    def webp() -> tf.Tensor:
        # In four dimensions, of which the first are the frames; the decoder
        # gives the channels that the file has, three or four.
        image = tf.image.decode_webp(content, channels=0)[0]
        return tf.cond(
            tf.shape(image)[-1] == 4,
            lambda: blended(image),
            lambda: tf.image.convert_image_dtype(image, dtype),
        )

    kind = encoded.kind(content)
    image = tf.case(
        [(kind == encoded.JPEG, jpeg), (kind == encoded.WEBP, webp)], png
    )
    return tf.ensure_shape(image, [None, None, 3])


@functools.cache
def traced_sides() -> Any:
    """Returns a graph that decodes an image, whose pixels were counted before.

    It gives the height and the width, `(2,) int32`, and `is_plain`.
    """

    def sides(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        plain = is_plain(content)
        image = colours(content, tf.uint8, plain=plain)
        return tf.shape(image)[:2], plain

    return tf.function(
        sides, input_signature=[tf.TensorSpec((), tf.string, "content")]
    )


def _has_transparency(png: tf.Tensor) -> tf.Tensor:
    """Tells whether a PNG has an alpha channel or transparent colours."""
    colour_type = tf.io.decode_raw(
        tf.strings.substr(png, 25, 1), tf.uint8, fixed_length=1
    )
    start = tf.strings.substr(png, 0, PNG_HEADER_BYTES)
    has_alpha, is_palette = colour_type[0] // 4 == 1, colour_type[0] == 3
    # A palette's profile may be long, and its pixels are seldom many.
    return (
        has_alpha | is_palette | tf.strings.regex_full_match(start, TRANSPARENT)
    )


def own_channels(content: bytes) -> int:
    """Returns 1 for an encoded image that is grey by its header, else 3.

    Args:
        content: An image for which `encoded.bound` is met.
    """
    # In Python: outside of a graph each operation takes a tenth of the time in
    # which a small image is decoded, and `encoded.kind` has twenty.
    if content.startswith(encoded.STARTS[encoded.PNG - 1]):
        return (
            1 if content[25] in (0, 4) else 3
        )  # As in w3.org/TR/png-3/#11IHDR
    if content.startswith(encoded.STARTS[encoded.JPEG - 1]):
        return 1 if tf.image.extract_jpeg_shape(content).numpy()[2] == 1 else 3
    return 3


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
