"""Image files: what TensorFlow cannot decode, Pillow makes into PNG."""

import io
import warnings
from pathlib import Path

import tensorflow as tf
from PIL import Image, ImageOps

from common.shared_options import MAX_MEGAPIXELS

from . import encoded
from .encoded import UnreadableError

# Pillow warns of odd tags, and of many pixels, which are our limit to set. The
# filter is for good: to change it for a while is not safe among threads.
warnings.filterwarnings("ignore", module="PIL")
# No other reader of Pillow meets a file that we did not make.
FORMATS = ("TIFF", "AVIF", "WEBP", "BMP")
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
    """Returns what `read` does, of a file's content.

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
    return frame.numpy()


def to_png(content: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns the first frame of a TIFF, AVIF, WebP or BMP, upright, as PNG.

    Args:
        content: The file's bytes.
        max_megapixels: What claims more pixels is not decoded.

    Raises:
        UnreadableError: If it is none of these, damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            num_pixels = file.width * file.height
            encoded.check_pixels(num_pixels, max_megapixels)
            image = ImageOps.exif_transpose(file)
            if image.mode not in PNG_MODES:
                has_alpha = image.has_transparency_data
                image = image.convert("RGBA" if has_alpha else "RGB")
            png = io.BytesIO()
            image.save(png, "PNG", compress_level=1)
    except UnreadableError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableError(
            "it is not a PNG, JPEG, GIF, BMP, WebP, TIFF or AVIF image"
        ) from None
    # Pillow meets damaged files in many ways.
    except (
        OSError, EOFError, LookupError, SyntaxError, TypeError,
        ValueError, MemoryError, Image.DecompressionBombError,
    ):  # fmt: skip
        raise UnreadableError("it cannot be decoded") from None
    return png.getvalue()
