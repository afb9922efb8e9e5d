"""The orientation that a camera notes in a JPEG, read and applied in a graph.

Phones save pixels as their sensor lies, and note in the Exif tag `Orientation`
how to turn them. See https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf,
4.6.4; the numbers are 1 (upright) to 8.
"""

from collections.abc import Callable

import tensorflow as tf

from . import encoded

# Maps places in a file to the bytes there.
Bytes = Callable[[tf.Tensor], tf.Tensor]

# Exif is among the first segments, each of 65,535 bytes at most.
SEARCHED_BYTES = 2**17
EXIF = tuple(b"Exif\x00\x00")
HAS_EXIF = r"\C*Exif\x00\x00\C*"  # \C is any byte, in text or not.
APPLICATION_1, ORIENTATION_TAG = 0xE1, 0x0112
ENTRY_BYTES = 12
MAX_ENTRIES, MAX_SEGMENTS = 1024, 64


def upright(image: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """Returns a JPEG's pixels as they are meant to be looked at.

    Args:
        image: `(height, width, channels)`, of any dtype.
        content: Scalar string: the JPEG that was decoded.
    """
    number = noted(content)

    def turned() -> tf.Tensor:
        transposed = tf.cond(
            number >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image
        )
        across = tf.reduce_any(number == [2, 3, 6, 7])
        down = tf.reduce_any(number == [3, 4, 7, 8])
        flipped = tf.cond(
            across, lambda: transposed[:, ::-1], lambda: transposed
        )
        return tf.cond(down, lambda: flipped[::-1], lambda: flipped)

    return tf.cond(number > 1, turned, lambda: image)


def noted(content: tf.Tensor) -> tf.Tensor:
    """Returns what `read` returns, sooner where there is no Exif."""
    start = tf.strings.substr(content, 0, SEARCHED_BYTES)
    # Most images have no Exif, and this operation costs less than `read`.
    return tf.cond(
        tf.strings.regex_full_match(start, HAS_EXIF),
        lambda: encoded.called(read)(content),
        lambda: 1,
    )


def read(content: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a JPEG, scalar int32; 1 if it notes none.

    Args:
        content: Scalar string: a JPEG. What is damaged notes nothing.
    """
    byte = _bytes(tf.strings.substr(content, 0, SEARCHED_BYTES))
    segment, is_exif = _exif_segment(byte)
    value = _orientation(byte, segment + 4 + len(EXIF))
    is_valid = is_exif & (value >= 1) & (value <= 8)
    return tf.where(is_valid, value, 1)


def _bytes(content: tf.Tensor) -> Bytes:
    """Returns a function from places to the bytes there; 0 outside."""
    raw = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int32)
    end = tf.size(raw)

    def byte(place: tf.Tensor) -> tf.Tensor:
        inside = (place >= 0) & (place < end)
        value = tf.gather(raw, tf.clip_by_value(place, 0, end - 1))
        return tf.where(inside, value, 0)

    return byte


def _exif_segment(byte: Bytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the place of a JPEG's Exif segment, and whether it has one."""

    def size(place: tf.Tensor) -> tf.Tensor:
        return 256 * byte(place + 2) + byte(place + 3)

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        name = byte(place + 4 + tf.range(len(EXIF)))
        return (byte(place + 1) == APPLICATION_1) & tf.reduce_all(name == EXIF)

    def is_passed_over(place: tf.Tensor) -> tf.Tensor:
        # Metadata come before the first table or frame of the picture.
        marker = byte(place + 1)
        is_metadata = ((marker >= 0xE0) & (marker <= 0xEF)) | (marker == 0xFE)
        return (byte(place) == 0xFF) & is_metadata & ~is_exif(place)

    (segment,) = tf.while_loop(
        is_passed_over,
        lambda place: (place + 2 + size(place),),
        (2,),
        maximum_iterations=MAX_SEGMENTS,
    )
    return segment, is_exif(segment)


def _orientation(byte: Bytes, tiff: tf.Tensor) -> tf.Tensor:
    """Returns the value of the orientation's tag; 0 if there is no such tag.

    Args:
        byte: What `_bytes` returns for the JPEG.
        tiff: The place where the TIFF header in the Exif segment begins.
    """
    is_little_endian = byte(tiff) == ord("I")

    def number(place: tf.Tensor) -> tf.Tensor:
        first, second = byte(place), byte(place + 1)
        little, big = first + 256 * second, 256 * first + second
        return tf.where(is_little_endian, little, big)

    def offset(place: tf.Tensor) -> tf.Tensor:
        low = tf.where(is_little_endian, place, place + 2)
        return number(low)  # An offset beyond 65,535 leaves the segment.

    directory = tiff + offset(tiff + 4)
    num_entries = tf.minimum(number(directory), MAX_ENTRIES)
    entries = directory + 2 + ENTRY_BYTES * tf.range(num_entries)
    is_orientation = number(entries) == ORIENTATION_TAG
    return tf.reduce_max(tf.where(is_orientation, number(entries + 8), 0))
