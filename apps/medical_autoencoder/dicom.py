"""DICOM files: pixels as a viewer shows them, and nothing that names a patient.

Only those fields of the header are used that describe pixels, and `PatientID`,
which leaves this module as a salted hash. Messages contain no text of the file,
and none of pydicom, which quotes the file: either may hold a name.
"""

import contextlib
import dataclasses
import hashlib
import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom import encaps, filereader, pixels, uid

from common.data import encoded
from common.data.encoded import UnreadableError
from common.shared_options import MAX_MEGAPIXELS

CHUNK_BYTES = 2**20
GREY = ("MONOCHROME1", "MONOCHROME2")


@dataclasses.dataclass(frozen=True)
class Scan:
    """The frames of a picture file, and facts from its header.

    Attributes:
        frames: `(num, height, width, channels) float32` in [0, 1].
        patient: A salted hash of the patient's ID, or "" if the file has none.
        has_text: Whether the file says that text is burned into its pixels.
    """

    frames: np.ndarray
    patient: str = ""
    has_text: bool = False

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width."""
        return self.frames.shape[1:3]


def read(
    path: Path,
    salt: str,
    window: tuple[float, ...] = (),
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Scan:
    """Reads a DICOM file.

    Args:
        path: The file.
        salt: Is hashed together with the patient's ID.
        window: Centre and width in the units of the rescaled values
            (Hounsfield for CT). By default it is the file's own window, or the
            range of the values if the file has no window.
        max_megapixels: The most pixels, in millions, that all frames together
            may have.

    Raises:
        UnreadableError: If the file is no DICOM file or has no pixels, or if
            its pixels cannot be decoded or are too many.
    """
    with _silence():
        try:
            encoded.check_file(path, max_megapixels)
            _check_deflated(path, max_megapixels)
            dataset = pydicom.dcmread(path)
            values = _decode(dataset, max_megapixels)
            frames = _to_unit(values, dataset, window)
            patient = str(dataset.get("PatientID") or "").strip()
            has_text = dataset.get("BurnedInAnnotation") == "YES"
        except UnreadableError:
            raise
        except pydicom.errors.InvalidDicomError:
            raise UnreadableError("it is not a DICOM file") from None
        # Users' files are untrusted. A damaged header can raise any error deep
        # inside pydicom, and a traceback would quote the header.
        except Exception:
            raise UnreadableError("its header or pixels are damaged") from None
    if patient:
        digest = hashlib.sha256(f"{salt}:{patient}".encode(errors="replace"))
        patient = digest.hexdigest()
    return Scan(frames, patient, has_text)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps pydicom's warnings, which quote the header, off the console."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check_deflated(path: Path, max_megapixels: float) -> None:
    """Refuses a deflated file that is too large once pydicom inflates it.

    Deflate can store up to 1,032 bytes in a single byte.

    Raises:
        UnreadableError: If the file is so large.
    """
    with path.open("rb") as file:
        filereader.read_preamble(file, force=False)
        meta = filereader._read_file_meta_info(file)
        if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return
        left = int(encoded.BYTES_PER_PIXEL * 1e6 * max_megapixels)
        left += encoded.EXTRA_BYTES
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        while chunk := inflate.unconsumed_tail or file.read(CHUNK_BYTES):
            left -= len(inflate.decompress(chunk, CHUNK_BYTES))
            if left < 0:
                raise UnreadableError(
                    "it inflates to more than "
                    f"--max_megapixels={max_megapixels:g} can take"
                )


def _check_encapsulated(
    dataset: Any, num_frames: int, max_megapixels: float
) -> None:
    """Refuses frames whose own headers claim too many pixels.

    A JPEG frame may claim more pixels than the header of the DICOM file does.

    Raises:
        UnreadableError: If the frames claim more than `max_megapixels`.
    """
    num_pixels = 0
    for frame in encaps.generate_frames(
        dataset.PixelData, number_of_frames=num_frames
    ):
        # An RLE frame has no header of its own: Pillow raises OSError. RLE can
        # store at most 64 bytes in a single byte.
        with (
            contextlib.suppress(OSError),
            Image.open(io.BytesIO(frame)) as image,
        ):
            num_pixels += image.width * image.height
            encoded.check_pixels(num_pixels, max_megapixels)


def _decode(dataset: Any, max_megapixels: float) -> np.ndarray:
    """Returns the stored values, `(num, height, width, channels)`."""
    names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    if not any(name in dataset for name in names):
        raise UnreadableError("it has no pixel data")
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if syntax is None:
        raise UnreadableError("it does not say its transfer syntax")
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    size = int(dataset.Rows) * int(dataset.Columns) * frames
    if size < 1 or samples not in (1, 3):
        raise UnreadableError("it claims no pixels, or none that can be shown")
    encoded.check_pixels(size, max_megapixels)
    if "PixelData" in dataset and getattr(syntax, "is_encapsulated", False):
        _check_encapsulated(dataset, frames, max_megapixels)
    try:
        values = pixels.pixel_array(dataset)
    except RuntimeError:  # pydicom raises it for unknown syntaxes, too.
        known = getattr(syntax, "is_transfer_syntax", False)
        raise UnreadableError(
            "its pixels cannot be decoded (transfer syntax "
            f"{syntax.name if known else 'unknown'})"
        ) from None
    return values.reshape(frames, dataset.Rows, dataset.Columns, samples)


def _to_unit(
    values: np.ndarray, dataset: Any, window: tuple[float, ...]
) -> np.ndarray:
    """Returns the grey levels or colours that a display shows, in [0, 1]."""
    kind = dataset.get("PhotometricInterpretation")
    if kind == "PALETTE COLOR":
        colours = pixels.apply_color_lut(values[..., 0], dataset)
        return _over_range(colours[..., :3])
    if values.shape[-1] == 3:
        return _over_range(values)
    if kind not in GREY or values.shape[-1] != 1:
        raise UnreadableError("it is neither grey nor colour of three channels")
    grey = _grey(values, dataset, window)
    return 1 - grey if kind == "MONOCHROME1" else grey


def _grey(
    stored: np.ndarray, dataset: Any, window: tuple[float, ...]
) -> np.ndarray:
    """Returns stored values as grey levels in [0, 1].

    Slope and intercept are applied first, then `window`. If that is empty, the
    file's own table is applied, or its window, or the range of its values.
    """
    real = pixels.apply_modality_lut(stored, dataset).astype(np.float64)
    own_window = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if window:
        centre, width = window
        low, high = centre - width / 2, centre + width / 2
    elif dataset.get("VOILUTSequence"):
        real = pixels.apply_voi(np.rint(real).astype(np.int64), dataset)
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif None not in own_window:
        # Extreme values are shown as the ends of the display's scale.
        low, high = pixels.apply_windowing(np.array([-1e12, 1e12]), dataset)
        real = pixels.apply_windowing(real, dataset)
    else:
        low, high = real.min(), real.max()
    # A rescale slope below zero turns the scale around: high < low is right.
    shown = (real - low) / ((high - low) or 1.0)
    return np.clip(shown, 0, 1).astype(np.float32)


def _over_range(values: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1], integers divided by their type's maximum."""
    if values.dtype.kind not in "iu":
        return np.clip(values, 0, 1).astype(np.float32)
    top = np.iinfo(values.dtype).max
    return np.clip(values / top, 0, 1).astype(np.float32)
