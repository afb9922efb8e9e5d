"""Encoded images: their headers are checked before they are decoded.

A PNG of 92 kB can claim 13,000 x 13,000 pixels, and a decoder believes it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from common.options import InputError
from common.shared_options import MAX_MEGAPIXELS

# The most bytes of a pixel: 16 bits each of red, green, blue and alpha.
BYTES_PER_PIXEL = 8
# The most bytes of a file beside its pixels: thumbnails, profiles, headers.
EXTRA_BYTES = 2**24
# How far behind its end the walk through a damaged GIF can point.
GIF_PADDING = 2048
# What comes before a GIF's first frame, and the blocks of 255 bytes in it.
MAX_EXTENSIONS, MAX_BLOCKS = 1000, 2**17
# PNG, JPEG, BMP, GIF and WebP, in this order; `kind` counts from one.
STARTS = (b"\x89P", b"\xff\xd8", b"BM", b"GI", b"RI")
PNG, JPEG, BMP, GIF, WEBP = range(1, 6)
SHORTEST = 30  # No image of any kind has fewer bytes.
EXTENSION, IMAGE = 0x21, 0x2C  # What a block of a GIF begins with.


class UnreadableError(InputError):
    """An error for a file that holds no readable image; it says why."""


def check_file(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Refuses a file that must not even be opened.

    Args:
        path: The file.
        max_megapixels: The most pixels, in millions, that an image may have.

    Raises:
        UnreadableError: If the file is not regular, such as a pipe or a device,
            which may never end, or larger than an image with so many pixels.
    """
    if not path.is_file():
        raise UnreadableError("it is not a regular file")
    size = path.stat().st_size
    if size > BYTES_PER_PIXEL * 1e6 * max_megapixels + EXTRA_BYTES:
        raise UnreadableError(
            f"it has {size / 1e6:,.0f} MB, more than "
            f"--max_megapixels={max_megapixels:g} can take"
        )


def check_pixels(
    num_pixels: int, max_megapixels: float = MAX_MEGAPIXELS
) -> None:
    """Refuses an image with too many pixels.

    Raises:
        UnreadableError: If `num_pixels` is more than `max_megapixels` millions.
    """
    if num_pixels > 1e6 * max_megapixels:
        raise UnreadableError(
            f"it claims {num_pixels / 1e6:,.1f} megapixels, and "
            f"--max_megapixels is {max_megapixels:g}"
        )


def bound(
    content: tf.Tensor, max_megapixels: float = MAX_MEGAPIXELS
) -> tf.Tensor:
    """Returns `content` if it is safe to decode; of a GIF only the first frame.

    The check consists of TensorFlow's own operations and runs inside a graph: a
    server has no other guard.

    Args:
        content: Scalar string: a PNG, JPEG, BMP, GIF or WebP.
        max_megapixels: The operation fails where the header claims more.
    """
    content, num_pixels = claim(content)
    fits = (num_pixels > 0) & (num_pixels <= int(1e6 * max_megapixels))
    text = (
        "an image must be a PNG, JPEG, GIF, 24-bit BMP or still WebP of at "
        f"most {max_megapixels:g} megapixels (--max_megapixels); pixels "
        "claimed (0: it is none of these):"
    )
    # The branches of tf.debugging.Assert would take longer than all the rest.
    check = tf.raw_ops.Assert(condition=fits, data=[text, num_pixels])
    # Outside of a graph the check has already run.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(content)


def kind(content: tf.Tensor) -> tf.Tensor:
    """Returns which of `STARTS` an image has, from 1; 0 for none of them.

    Args:
        content: Scalar string.
    """
    start = tf.io.decode_raw(
        tf.strings.substr(content, 0, 2), tf.uint16, fixed_length=2
    )
    number = tf.reduce_sum(
        tf.where(start == [int.from_bytes(magic, "little") for magic in STARTS],
                 range(1, len(STARTS) + 1), 0)
    )  # fmt: skip
    # `substr` behind an end fails with the bytes in its message.
    return tf.where(tf.strings.length(content) < SHORTEST, 0, number)


def claim(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the bytes of the first frame, and the pixels that they claim.

    Args:
        content: Scalar string.

    Returns:
        Scalar string and scalar int64; 0 pixels if it is no known image.
    """

    def png() -> tuple[tf.Tensor, tf.Tensor]:
        # https://www.w3.org/TR/png-3/#11IHDR
        return content, _pixels(content, 16, little_endian=False)

    def jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.image.extract_jpeg_shape(content)
        return content, tf.reduce_prod(tf.cast(shape[:2], tf.int64))

    return tf.switch_case(
        kind(content),
        [
            lambda: (content, tf.constant(0, tf.int64)),
            png,
            jpeg,
            lambda: (content, called(_bmp)(content)),
            lambda: called(_gif)(content),
            lambda: (content, called(_webp)(content)),
        ],
    )


@functools.cache
def traced_claim() -> Any:
    """Returns `claim` as a graph, which is fast for one file after another."""
    return tf.function(
        claim, input_signature=[tf.TensorSpec((), tf.string, "content")]
    )


@functools.cache
def called(function: Callable[[tf.Tensor], Any]) -> Any:
    """Returns a function of a scalar string that graphs call and never copy.

    If graphs copied the sixty operations of `_gif`, each PNG would take 100
    microseconds longer, though it does not use them.
    """
    return tf.function(
        function,
        input_signature=[tf.TensorSpec((), tf.string, "content")],
        experimental_attributes={"_noinline": True},
    )


def _pixels(
    content: tf.Tensor, at: int, little_endian: bool = True
) -> tf.Tensor:
    """Returns the product of two numbers of 32 bits, scalar int64.

    Args:
        content: Scalar string.
        at: The place of the first in `content`.
        little_endian: The order of their bytes.
    """
    field = tf.strings.substr(content, at, 8)
    numbers = tf.io.decode_raw(field, tf.int32, little_endian)
    return tf.abs(tf.reduce_prod(tf.cast(numbers, tf.int64)))


def _bmp(content: tf.Tensor) -> tf.Tensor:
    """Returns the pixels that a BMP claims; 0 for one that is not decoded."""
    depth = tf.io.decode_raw(
        tf.strings.substr(content, 28, 2), tf.uint16, fixed_length=2
    )
    header = tf.io.decode_raw(
        tf.strings.substr(content, 14, 4), tf.int32, fixed_length=4
    )
    # The decoder gives the numbers of a palette's colours as colours. A
    # shorter header, of OS/2, has its numbers elsewhere.
    is_known = (depth[0] == 24) & (header[0] >= 40)
    # The height is negative if rows run from top to bottom.
    return tf.where(is_known, _pixels(content, 18), 0)


def _webp(content: tf.Tensor) -> tf.Tensor:
    """Returns the pixels that a WebP claims; 0 for one that is animated.

    Its decoder would decode all frames. See
    https://developers.google.com/speed/webp/docs/riff_container.
    """
    raw = tf.io.decode_raw(
        tf.strings.substr(content, 0, 32), tf.uint8, fixed_length=32
    )
    raw = tf.cast(raw, tf.int64)

    def number(place: int, num_bytes: int) -> tf.Tensor:
        part = raw[place : place + num_bytes]
        return tf.reduce_sum(part * [256**power for power in range(num_bytes)])

    def has(place: int, name: bytes) -> tf.Tensor:
        return tf.reduce_all(raw[place : place + len(name)] == list(name))

    lossy = (number(26, 2) % 2**14) * (number(28, 2) % 2**14)
    sides = number(21, 4)
    lossless = (sides % 2**14 + 1) * (sides // 2**14 % 2**14 + 1)
    extended = (number(24, 3) + 1) * (number(27, 3) + 1)
    is_animated = raw[20] // 2 % 2 == 1
    num_pixels = tf.where(
        has(12, b"VP8 "),
        lossy,
        tf.where(
            has(12, b"VP8L"),
            lossless,
            tf.where(has(12, b"VP8X") & ~is_animated, extended, 0),
        ),
    )
    return tf.where(has(8, b"WEBP"), num_pixels, 0)


def _gif(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Does the work of `claim` for a GIF; cuts the GIF behind its first frame.

    TensorFlow's decoder would decode all frames. The format is described in
    https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
    """
    raw = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int32)
    raw = tf.pad(raw, [[0, GIF_PADDING]])

    def pixels(at: tf.Tensor | int) -> tf.Tensor:
        width = raw[at] + 256 * raw[at + 1]
        height = raw[at + 2] + 256 * raw[at + 3]
        return tf.cast(width, tf.int64) * tf.cast(height, tf.int64)

    def table(flags: tf.Tensor) -> tf.Tensor:
        size = tf.bitwise.left_shift(2, flags % 8)
        return tf.where(flags > 127, 3 * size, 0)

    def behind_blocks(at: tf.Tensor) -> tf.Tensor:
        # Each sub-block begins with its length; a length of 0 ends them.
        (end,) = tf.while_loop(
            lambda at: raw[at] > 0,
            lambda at: (at + 1 + raw[at],),
            (at,),
            maximum_iterations=MAX_BLOCKS,
        )
        return end + 1

    (at,) = tf.while_loop(
        lambda at: raw[at] == EXTENSION,
        lambda at: (behind_blocks(at + 2),),
        (13 + table(raw[10]),),
        maximum_iterations=MAX_EXTENSIONS,
    )
    end = behind_blocks(at + 11 + table(raw[at + 9]))
    first = tf.strings.join([tf.strings.substr(content, 0, end), b";"])
    return (
        tf.where(raw[at] == IMAGE, first, content),
        tf.where(raw[at] == IMAGE, tf.maximum(pixels(6), pixels(at + 5)), 0),
    )
