"""Reads images, DICOM and NIfTI files as float images in [0, 1]."""

import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, ImageSequence

from common import runtime
from common.data import encoded, image_checks, image_files, images
from common.data.encoded import UnreadableError
from common.shared_options import MAX_MEGAPIXELS

from . import dicom, nifti
from .dicom import Scan

TIFF = (".tif", ".tiff")
ENCODED = tuple(set(image_checks.SUFFIXES) - set(TIFF))
DICOM = (".dcm", ".dicom", ".ima")
# ITU-R BT.601. The weights add up to 1: grey in three channels stays the same.
LUMINANCE = (0.299, 0.587, 0.114)
# The modes of Pillow that are read, with the greatest value of each.
MODES = {"1": 1, "L": 255, "RGB": 255, "I;16": 65535, "I;16B": 65535}


def is_picture(path: Path) -> bool:
    """Tells whether a file is a picture by its name, or else a DICOM file.

    DICOM files often have no suffix, or a UID as name: `1.2.840.10008`. Their
    content tells them from a README.
    """
    suffix = path.suffix.lower()
    if suffix in (*ENCODED, *TIFF, *DICOM) or nifti.is_nifti(path):
        return True
    return (not suffix or suffix[1:].isdigit()) and dicom.is_dicom(path)


def stem(path: Path) -> str:
    """Returns a file's name without its suffix, of which `.nii.gz` is one."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


@runtime.native_stderr_hidden()
def read(
    path: Path,
    salt: str,
    window: tuple[float, ...] = (),
    max_megapixels: float = MAX_MEGAPIXELS,
    plane: str = "axial",
    is_mask: bool = False,
) -> Scan:
    """Reads a picture file; see `dicom.read` and `nifti.read`.

    What is transparent is white, or black in a mask: there it is no mark.

    Raises:
        UnreadableError: If the file cannot be read; the message says why.
    """
    suffix = path.suffix.lower()
    if nifti.is_nifti(path):
        slices = nifti.read(path, window, plane, max_megapixels, is_mask)
        return Scan(slices)
    background = "black" if is_mask else "white"
    try:
        if suffix in ENCODED:
            content = image_files.read(path, max_megapixels)
            image = decode(content, 0, max_megapixels, background)
            return Scan(image.numpy()[None])
        if suffix in TIFF:
            encoded.check_file(path, max_megapixels)
            return Scan(_tiff(path, max_megapixels, background))
    except OSError:
        raise UnreadableError("it cannot be read or decoded") from None
    except tf.errors.InvalidArgumentError:
        raise UnreadableError("it is not a PNG or JPEG image") from None
    return dicom.read(path, salt, window, max_megapixels)


def decode(
    content: bytes | tf.Tensor,
    channels: int = 0,
    max_megapixels: float = MAX_MEGAPIXELS,
    background: str = "white",
) -> tf.Tensor:
    """Returns the `(height, width, channels) float32` image in `content`.

    The function also runs inside a graph, so that a server decodes images
    exactly as training did. 16-bit PNG files keep their 16 bits.

    Args:
        content: A PNG or JPEG file, as bytes or as a scalar string tensor.
        channels: 1 or 3. With 0 the image has those of the file, without alpha;
            this works only outside of a graph.
        max_megapixels: An image that claims more pixels, in millions, is not
            decoded; see `encoded.bound`.
        background: One of `images.BACKGROUNDS`, which shows where the image is
            transparent.
    """
    content = encoded.bound(content, max_megapixels)
    if not channels:
        channels = images.own_channels(content.numpy())
    # Three channels are decoded, and grey is computed from them: decoders
    # convert colours to grey in different ways.
    image = images.colours(content, tf.float32, background)
    return to_channels(image, channels)


def decode_batch(
    contents: tf.Tensor, shape: tuple[int, ...], max_megapixels: float
) -> tf.Tensor:
    """Returns decoded images, resized to `shape`.

    Args:
        contents: PNG or JPEG files, `(num,) string`.
        shape: See `fit`.
        max_megapixels: See `decode`.

    Returns:
        `(num, *shape) float32` in [0, 1].
    """
    return tf.map_fn(
        lambda content: fit(decode(content, shape[2], max_megapixels), shape),
        contents,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def encode(image: np.ndarray) -> bytes:
    """Returns an image as a PNG file of 8 bits, without any text in it.

    Args:
        image: `(height, width, channels) float32` in [0, 1].
    """
    values = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return tf.io.encode_png(values).numpy()


def to_channels(
    image: np.ndarray | tf.Tensor, channels: int
) -> np.ndarray | tf.Tensor:
    """Returns images `(..., channels)` converted to grey or to colour.

    Args:
        image: Images of 1 or 3 channels.
        channels: The number of channels to return, 1 or 3.
    """
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    return tf.reduce_sum(image * tf.constant(LUMINANCE), -1, keepdims=True)


def fit(
    image: np.ndarray | tf.Tensor, shape: tuple[int, ...]
) -> np.ndarray | tf.Tensor:
    """Returns images resized to a shape, with anti-aliasing.

    Args:
        image: `(height, width, channels) float32` in [0, 1], or such images
            with a batch axis.
        shape: Height, width and channels. The aspect ratio is not kept: a
            lesion at the border must not be cut off.

    Returns:
        The same number of images, of that shape.
    """
    image = to_channels(image, shape[2])
    if tuple(image.shape[-3:-1]) == tuple(shape[:2]):
        return image
    resized = tf.image.resize(image, shape[:2], antialias=True)
    return tf.clip_by_value(resized, 0.0, 1.0)


def _tiff(path: Path, max_megapixels: float, background: str) -> np.ndarray:
    """Returns the pages of a TIFF file, `(num, height, width, channels)`."""
    num_pixels, pages = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # `max_megapixels` is the limit, in place of Pillow's own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as file:
                for page in ImageSequence.Iterator(file):
                    num_pixels += page.width * page.height
                    encoded.check_pixels(num_pixels, max_megapixels)
                    pages.append(_page(page, background))
        # Pillow raises errors of many classes for damaged files.
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


def _page(page: Image.Image, background: str) -> np.ndarray:
    """Returns a page, `(height, width, channels) float32` in [0, 1]."""
    page = ImageOps.exif_transpose(page)
    if page.has_transparency_data:
        behind = Image.new("RGBA", page.size, background)
        is_grey = page.mode == "LA"
        page = Image.alpha_composite(behind, page.convert("RGBA"))
        page = page.convert("L" if is_grey else "RGB")
    if page.mode in ("P", "CMYK"):
        page = page.convert("RGB")
    if page.mode not in MODES:
        raise UnreadableError(
            f"its TIFF pixels are of the kind {page.mode}; 8 or 16 bits are "
            "needed"
        )
    values = np.asarray(page).astype(np.float32) / MODES[page.mode]
    return values if values.ndim == 3 else values[..., None]
