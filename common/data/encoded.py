"""Encoded images: what they claim to be is checked before they are decoded.

A PNG of 92 kB can claim 13,000 x 13,000 pixels, and a decoder believes it.
"""

import functools
from pathlib import Path
from typing import Any

import tensorflow as tf

from common.options import InputError
from common.shared_options import MAX_MEGAPIXELS

# No pixel takes more: 16 bits each of red, green, blue and alpha.
BYTES_PER_PIXEL = 8
# For what a file holds beside its pixels: thumbnails, profiles, headers.
EXTRA_BYTES = 2**24
# How far behind its end the walk through a damaged GIF can point.
GIF_PADDING = 2048
STARTS = (b"\x89P", b"\xff\xd8", b"BM", b"GI")
SHORTEST = 26  # No image of any kind has fewer bytes.
EXTENSION, IMAGE = 0x21, 0x2C  # What a block of a GIF begins with.


class UnreadableError(InputError):
    """Raised for a file that holds no picture we can read; says why."""


def check_file(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Refuses what must not even be opened.

    Raises:
        UnreadableError: If it is no regular file, such as a pipe or a device,
            which may never end, or larger than its pixels can make it.
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
    """Refuses more pixels than are to be decoded.

    Raises:
        UnreadableError: If they are more.
    """
    if num_pixels > 1e6 * max_megapixels:
        raise UnreadableError(
            f"it claims {num_pixels / 1e6:,.1f} megapixels, and "
            f"--max_megapixels is {max_megapixels:g}"
        )


def read(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns a file's encoded image, not decoded; of a GIF only one frame.

    Raises:
        UnreadableError: If it is no regular file, no image, or too large.
        OSError: If it cannot be read.
    """
    check_file(path, max_megapixels)
    try:
        content, num_pixels = _traced_claim()(path.read_bytes())
    except tf.errors.InvalidArgumentError:  # A JPEG's header is damaged.
        raise UnreadableError("it cannot be decoded") from None
    if num_pixels < 1:
        raise UnreadableError("it is not a PNG, JPEG, GIF or BMP image")
    check_pixels(int(num_pixels), max_megapixels)
    return content.numpy()


def bound(
    content: tf.Tensor, max_megapixels: float = MAX_MEGAPIXELS
) -> tf.Tensor:
    """Returns `content` once it is safe to decode; of a GIF only one frame.

    Runs inside a graph, of stock operations: a server has no other guard.

    Args:
        content: Scalar string: a PNG, JPEG, BMP or GIF.
        max_megapixels: The operation fails where the header claims more.
    """
    content, num_pixels = claim(content)
    fits = (num_pixels > 0) & (num_pixels <= int(1e6 * max_megapixels))
    text = (
        "an image must be a PNG, JPEG, GIF or BMP of at most "
        f"{max_megapixels:g} megapixels (--max_megapixels); pixels claimed "
        "(0: it is none of these):"
    )
    # Not tf.debugging.Assert, whose branches cost more than all the rest.
    check = tf.raw_ops.Assert(condition=fits, data=[text, num_pixels])
    # Outside of a graph the check has been made by now.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(content)


def claim(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first frame's bytes, and the pixels that they claim.

    Args:
        content: Scalar string.

    Returns:
        Scalar string and scalar int64; 0 pixels if it is no known image.
    """
    start = tf.io.decode_raw(
        tf.strings.substr(content, 0, 2), tf.uint16, fixed_length=2
    )
    kind = tf.reduce_sum(
        tf.where(start == [int.from_bytes(magic, "little") for magic in STARTS],
                 range(1, len(STARTS) + 1), 0)
    )  # fmt: skip

    # `substr` behind an end fails with the bytes in its message.
    kind = tf.where(tf.strings.length(content) < SHORTEST, 0, kind)

    def sides(
        at: int, dtype: tf.DType, little_endian: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        both = tf.strings.substr(content, at, 2 * dtype.size)
        numbers = tf.io.decode_raw(both, dtype, little_endian)
        # A BMP's height is below zero where its rows run from the top.
        return content, tf.abs(tf.reduce_prod(tf.cast(numbers, tf.int64)))

    def jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.image.extract_jpeg_shape(content)
        return content, tf.reduce_prod(tf.cast(shape[:2], tf.int64))

    return tf.switch_case(
        kind,
        [
            lambda: (content, tf.constant(0, tf.int64)),
            # https://www.w3.org/TR/png-3/#11IHDR
            lambda: sides(16, tf.int32, little_endian=False),
            jpeg,
            lambda: sides(18, tf.int32),
            lambda: _traced_gif()(content),
        ],
    )


@functools.cache
def _traced_claim() -> Any:
    """Returns `claim` as a graph, which is fast for one file after another."""
    return tf.function(
        claim, input_signature=[tf.TensorSpec((), tf.string, "content")]
    )


@functools.cache
def _traced_gif() -> Any:
    """Returns `_gif` as a function that is called, never copied into a graph.

    Its sixty operations would cost each PNG 100 microseconds, unused.
    """
    return tf.function(
        _gif,
        input_signature=[tf.TensorSpec((), tf.string, "content")],
        experimental_attributes={"_noinline": True},
    )


def _gif(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts a GIF behind its first frame; its decoder would decode them all.

    See `claim`, and https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
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
        # Each begins with its length; the last has none.
        (end,) = tf.while_loop(
            lambda at: raw[at] > 0, lambda at: (at + 1 + raw[at],), (at,)
        )
        return end + 1

    (at,) = tf.while_loop(
        lambda at: raw[at] == EXTENSION,
        lambda at: (behind_blocks(at + 2),),
        (13 + table(raw[10]),),
    )
    end = behind_blocks(at + 11 + table(raw[at + 9]))
    first = tf.strings.join([tf.strings.substr(content, 0, end), b";"])
    return (
        tf.where(raw[at] == IMAGE, first, content),
        tf.maximum(pixels(6), pixels(at + 5)),
    )
