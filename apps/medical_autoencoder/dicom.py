"""DICOM files: pixels as a viewer shows them, and nothing that names a patient.

Only those fields of the header are used that describe pixels, and `PatientID`,
which leaves this module as a salted hash. Messages contain no text of the file,
and none of pydicom, which quotes the file: either may hold a name.
"""

import contextlib
import dataclasses
import hashlib
import logging
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import filereader, pixels, uid

from common import runtime
from common.data import encoded
from common.data.encoded import UnreadableError
from common.shared_options import MAX_MEGAPIXELS

from . import frames

CHUNK_BYTES = 2**20
GREY = ("MONOCHROME1", "MONOCHROME2")
PREAMBLE_BYTES, MAGIC = 128, b"DICM"
# A file without a preamble begins with group 0002 or 0008, in either order of
# bytes.
BARE_STARTS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")
# What ACR-NEMA, the standard before DICOM, does not say of its images.
ACR_NEMA = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelRepresentation": 0,
}
# The encoding of a data set, implicit and little-endian or not.
SYNTAXES = {
    (True, True): uid.ImplicitVRLittleEndian,
    (False, True): uid.ExplicitVRLittleEndian,
    (False, False): uid.ExplicitVRBigEndian,
}
# Elements that may be present and yet empty, as if they were absent.
MAY_BE_EMPTY = (
    "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept",
    "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
)  # fmt: skip


class NoImageError(UnreadableError):
    """An error for a DICOM object that is no image, such as a report."""


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
        NoImageError: If the file holds another object than an image.
        UnreadableError: If the file is no DICOM file or has no pixels, or if
            its pixels cannot be decoded or are too many.
    """
    with _silence():
        try:
            encoded.check_file(path, max_megapixels)
            if not is_dicom(path):
                raise UnreadableError("it is not a DICOM file")
            _check_deflated(path, max_megapixels)
            dataset = _open(path)
            _check_image(dataset)
            values = frames.decode(dataset, max_megapixels)
            images = _to_unit(values, dataset, window)
            patient = str(dataset.get("PatientID") or "").strip()
            has_text = dataset.get("BurnedInAnnotation") == "YES"
        except UnreadableError:
            raise
        # Users' files are untrusted. A damaged header can raise any error deep
        # inside pydicom, and a traceback would quote the header.
        except Exception:
            raise UnreadableError("its header or pixels are damaged") from None
    if patient:
        digest = hashlib.sha256(f"{salt}:{patient}".encode(errors="replace"))
        patient = digest.hexdigest()
    return Scan(images, patient, has_text)


def is_dicom(path: Path) -> bool:
    """Tells whether a file begins as DICOM or ACR-NEMA files do."""
    try:
        if not path.is_file():  # To open a pipe would wait for a writer.
            return False
        with path.open("rb") as file:
            start = file.read(PREAMBLE_BYTES + len(MAGIC))
    except OSError:
        return False
    return start.endswith(MAGIC, PREAMBLE_BYTES) or start.startswith(
        BARE_STARTS
    )


def _open(path: Path) -> Any:
    """Returns the data set of a file, completed where it is ACR-NEMA's."""
    dataset: Any = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta and not dataset.preamble:
        dataset.file_meta.TransferSyntaxUID = SYNTAXES[
            dataset.original_encoding
        ]
        for name, value in ACR_NEMA.items():
            if name not in dataset:
                setattr(dataset, name, value)
    for name in MAY_BE_EMPTY:
        value = dataset.get(name)
        is_table = name.endswith("Sequence")
        if (not value and value != 0) or (
            is_table and "LUTData" not in value[0]
        ):
            dataset.pop(name, None)
    return dataset


def _check_image(dataset: Any) -> None:
    """Refuses an object that is no image, by its class.

    An image without pixels is a damaged file, and no such object.

    Raises:
        NoImageError: If the object is, for example, a segmentation, a report, a
            radiotherapy plan or a DICOMDIR.
    """
    meta = dataset.file_meta.get("MediaStorageSOPClassUID")
    kind = uid.UID(dataset.get("SOPClassUID") or meta or "")
    if kind.type != "SOP Class":  # The name of an unknown UID is the UID.
        return
    has_pixels = any(name in dataset for name in frames.PIXELS)
    if "Segmentation" in kind.name or not (has_pixels or "Image" in kind.name):
        raise NoImageError(f"it is no image but of the class {kind.name}")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps the decoders' lines and pydicom's, which quote the header, away."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), runtime.native_stderr_hidden():
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
        filereader.read_preamble(file, force=True)
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
    window = window or _narrow_window(dataset)
    if window:
        centre, width = window
        low, high = centre - width / 2, centre + width / 2
    elif dataset.get("VOILUTSequence"):
        real = pixels.apply_voi(np.rint(real).astype(np.int64), dataset)
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif _own_window(dataset):
        # Extreme values are shown as the ends of the display's scale.
        low, high = pixels.apply_windowing(np.array([-1e12, 1e12]), dataset)
        real = pixels.apply_windowing(real, dataset)
    else:
        low, high = real.min(), real.max()
    # A rescale slope below zero turns the scale around: high < low is right.
    shown = (real - low) / ((high - low) or 1.0)
    return np.clip(shown, 0, 1).astype(np.float32)


def _own_window(dataset: Any) -> tuple[float, ...]:
    """Returns centre and width of the file's first window; () for none.

    A width of zero or less is no window, though some files have it.
    """
    names = ("WindowCenter", "WindowWidth")
    if any(name not in dataset for name in names):
        return ()
    centre, width = (float(np.ravel(dataset[name].value)[0]) for name in names)
    return (centre, width) if width > 0 else ()


def _narrow_window(dataset: Any) -> tuple[float, ...]:
    """Returns the file's window if it is narrower than 1, else ().

    The formula of DICOM for stored integers (PS3.3 C.11.2.1.2.1) divides by the
    width less 1. Files whose slope gives fractions have such windows, which
    mean the exact width.
    """
    window = _own_window(dataset)
    is_linear = dataset.get("VOILUTFunction", "LINEAR") == "LINEAR"
    has_table = "VOILUTSequence" in dataset
    return (
        window
        if window and window[1] < 1 and is_linear and not has_table
        else ()
    )


def _over_range(values: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1], integers divided by their type's maximum."""
    if values.dtype.kind not in "iu":
        return np.clip(values, 0, 1).astype(np.float32)
    top = np.iinfo(values.dtype).max
    return np.clip(values / top, 0, 1).astype(np.float32)
