"""Image files: what TensorFlow cannot decode, Pillow makes into PNG."""

import functools
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pi_heif
import tensorflow as tf
from PIL import Image, ImageOps

from common.shared_options import MAX_MEGAPIXELS

from . import encoded
from .encoded import UnreadableError

# Pillow warns of odd tags, and of many pixels, which are our limit to set. The
# filter is for good: to change it for a while is not safe among threads.
warnings.filterwarnings("ignore", module="PIL")
# No other reader of Pillow meets a file that we did not make.
FORMATS = ("TIFF", "AVIF", "HEIF", "WEBP", "BMP", "PNG", "GIF")
# The limit of pixels is ours: `encoded.check_pixels` comes before any decoding.
Image.MAX_IMAGE_PIXELS = None
# A graphic control block whose flag of transparency is set.
GIF_TRANSPARENCY = re.compile(rb"\x21\xf9\x04[\x01\x05\x09\x0d\x11\x15]")
GIF_HEADER_BYTES = 2**11
ORIENTATION_TAG = 0x0112
# What PNG holds as it is; other modes become colours.
PNG_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16")


def read(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns a file's image as TensorFlow can decode it, not yet decoded.

    That is the file itself where it is a PNG, a JPEG, a 24-bit BMP or a still
    WebP; of a GIF its first frame; of what only Pillow reads a PNG.

    Raises:
        UnreadableError: If it is no regular file, no image, or too large.
        OSError: If it cannot be read.
    """
    encoded.check_file(path, max_megapixels)
    return decodable(path.read_bytes(), max_megapixels)


def decodable(content: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns what `read` returns, for the bytes of a file.

    Raises:
        UnreadableError: If it is no image, damaged, or too large.
    """
    try:
        frame, num_pixels = encoded.traced_claim()(content)
    except tf.errors.InvalidArgumentError:  # A JPEG's header is damaged.
        raise UnreadableError("it cannot be decoded") from None
    if num_pixels < 1:
        return to_png(content, max_megapixels)
    encoded.check_pixels(int(num_pixels), max_megapixels)
    if _needs_pillow(content):
        return to_png(content, max_megapixels)
    return frame.numpy()


def _needs_pillow(content: bytes) -> bool:
    """Tells whether TensorFlow would show an image otherwise than it is meant.

    It knows no orientation but that of a JPEG, and no transparency of a GIF.
    """
    if content.startswith(b"GIF"):
        return GIF_TRANSPARENCY.search(content[:GIF_HEADER_BYTES]) is not None
    if not content.startswith((b"\x89PNG", b"RIFF")):
        return False
    if b"eXIf" not in content and b"EXIF" not in content:
        return False
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as file:
            return file.getexif().get(ORIENTATION_TAG, 1) in range(2, 9)
    except Exception:  # As in `to_png`.
        return False


def to_png(content: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns the first frame of a file that Pillow reads, upright, as PNG.

    That is a TIFF, AVIF, HEIC, WebP, BMP, PNG or GIF.

    Args:
        content: The file's bytes.
        max_megapixels: What claims more pixels is not decoded.

    Raises:
        UnreadableError: If it is none of these, damaged, or too large.
    """
    _teach_heif()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            encoded.check_pixels(file.width * file.height, max_megapixels)
            image = _eight_or_sixteen_bits(ImageOps.exif_transpose(file))
            png = io.BytesIO()
            image.save(png, "PNG", compress_level=1)
    except UnreadableError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableError(
            "it is not a PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or HEIC image"
        ) from None
    # A damaged file makes Pillow's decoders raise what they like.
    except Exception:
        raise UnreadableError("it cannot be decoded") from None
    return png.getvalue()


@functools.cache
def _teach_heif() -> None:
    """Makes Pillow read the photos of iPhones, once."""
    pi_heif.register_heif_opener(thumbnails=False)


def _eight_or_sixteen_bits(image: Image.Image) -> Image.Image:
    """Returns an image in a mode that PNG holds, without loss of brightness.

    Raises:
        UnreadableError: If its pixels are real numbers or wide integers, whose
            black and white nobody tells.
    """
    if image.mode in PNG_MODES:
        return image
    if image.mode in ("I;16B", "I;16L"):
        order = ">u2" if image.mode == "I;16B" else "<u2"
        values = np.frombuffer(image.tobytes(), order).astype(np.uint16)
        return Image.fromarray(values.reshape(image.height, image.width))
    if image.mode.startswith(("I", "F")):
        raise UnreadableError(
            f"its pixels are of the kind {image.mode}; 8 or 16 bits are needed"
        )
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
