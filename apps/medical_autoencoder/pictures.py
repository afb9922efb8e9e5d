"""Picture files: PNG, JPEG, TIFF and DICOM to float images in [0, 1]."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageSequence

from common import runtime
from common.data import encoded, image_files, images
from common.data.encoded import UnreadableError
from common.shared_options import MAX_MEGAPIXELS

from . import dicom
from .dicom import Scan

ENCODED = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp",
           ".avif")  # fmt: skip
TIFF = (".tif", ".tiff")
DICOM = (".dcm", ".dicom", "")
# ITU-R BT.601, whose weights add up to one: grey in three channels stays.
LUMINANCE = (0.299, 0.587, 0.114)
# Pillow's modes, and the greatest value of each.
MODES = {"1": 1, "L": 255, "RGB": 255, "I;16": 65535, "I;16B": 65535}


def is_picture(path: Path) -> bool:
    """Tells whether a file's name is like that of a picture.

    DICOM files often have no suffix, or are named for a UID: `1.2.840.10008`.
    """
    suffix = path.suffix.lower()
    return suffix in (*ENCODED, *TIFF, *DICOM) or suffix[1:].isdigit()


@runtime.native_stderr_hidden()
def read(
    path: Path,
    salt: str,
    window: tuple[float, ...] = (),
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Scan:
    """Reads a picture file; see `dicom.read`.

    Raises:
        UnreadableError: If it cannot be read; says why.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in ENCODED:
            content = image_files.read(path, max_megapixels)
            image = decode(content, max_megapixels=max_megapixels)
            return Scan(image.numpy()[None])
        if suffix in TIFF:
            encoded.check_file(path, max_megapixels)
            return Scan(_tiff(path, max_megapixels))
    except OSError:
        raise UnreadableError("it cannot be read or decoded") from None
    except tf.errors.InvalidArgumentError:
        raise UnreadableError("it is not a PNG or JPEG image") from None
    return dicom.read(path, salt, window, max_megapixels)


def decode(
    content: Any, channels: int = 0, max_megapixels: float = MAX_MEGAPIXELS
) -> Any:
    """Returns the `(height, width, channels) float32` image in `content`.

    Runs inside a graph, so that a server decodes exactly as training did.
    16-bit PNG keeps its 16 bits.

    Args:
        content: Scalar string: a PNG or JPEG.
        channels: 1 or 3; 0 for those of the file, alpha dropped (only outside
            of a graph).
        max_megapixels: What claims more is not decoded; see `encoded.bound`.
    """
    content = encoded.bound(content, max_megapixels)
    if not channels:
        channels = images.own_channels(content.numpy())
    # Three, then one: decoders differ in how they make grey of colours.
    return to_channels(images.colours(content, tf.float32), channels)


def decode_batch(
    contents: Any, shape: tuple[int, ...], max_megapixels: float
) -> Any:
    """Returns the images in `(num,)` strings, brought to one shape."""
    return tf.map_fn(
        lambda content: fit(decode(content, shape[2], max_megapixels), shape),
        contents,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def encode(image: np.ndarray) -> bytes:
    """Returns an image in [0, 1] as a PNG of 8 bits, without any text."""
    values = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return tf.io.encode_png(values).numpy()


def to_channels(image: Any, channels: int) -> Any:
    """Returns an image with one or three channels."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    return tf.reduce_sum(image * tf.constant(LUMINANCE), -1, keepdims=True)


def fit(image: Any, shape: tuple[int, ...]) -> Any:
    """Returns images of a shape; anti-aliased when they shrink.

    Args:
        image: `(..., height, width, channels) float32`.
        shape: Height, width and channels. The aspect ratio is not kept: a
            lesion at the border must not be cut off.
    """
    image = to_channels(image, shape[2])
    if tuple(image.shape[-3:-1]) == tuple(shape[:2]):
        return image
    resized = tf.image.resize(image, shape[:2], antialias=True)
    return tf.clip_by_value(resized, 0.0, 1.0)


def _tiff(path: Path, max_megapixels: float) -> np.ndarray:
    """Reads the pages of a TIFF file."""
    num_pixels, pages = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The limit is ours.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as file:
                for page in ImageSequence.Iterator(file):
                    num_pixels += page.width * page.height
                    encoded.check_pixels(num_pixels, max_megapixels)
                    pages.append(_page(page))
        # Pillow meets damaged files in many ways.
        except Image.DecompressionBombError:
            raise UnreadableError("its pages claim too many pixels") from None
        except (
            Warning, EOFError, LookupError, SyntaxError, TypeError, ValueError
        ) as error:  # fmt: skip
            if isinstance(error, UnreadableError):
                raise
            raise UnreadableError("its TIFF structure is damaged") from None
    if len({page.shape for page in pages}) > 1:
        raise UnreadableError("its pages differ in size")
    return np.stack(pages)


def _page(page: Image.Image) -> np.ndarray:
    """Returns a page as floats in [0, 1]."""
    if page.mode in ("P", "RGBA", "LA", "CMYK"):
        page = page.convert("RGB" if page.mode != "LA" else "L")
    if page.mode not in MODES:
        raise UnreadableError(
            f"its TIFF pixels are of the kind {page.mode}; 8 or 16 bits are "
            "needed"
        )
    values = np.asarray(page).astype(np.float32) / MODES[page.mode]
    return values if values.ndim == 3 else values[..., None]
