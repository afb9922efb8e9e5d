"""NIfTI volumes, cut into slices as a viewer shows them."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel import orientations

from common.data import encoded
from common.data.encoded import UnreadableError
from common.shared_options import MAX_MEGAPIXELS

SUFFIXES = (".nii", ".nii.gz")
# The axis that the slices of a plane lie along, in a volume whose axes point to
# the patient's left, back and head.
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
GZIP_START = b"\x1f\x8b"
# The first bytes give the size of the header, in either order of bytes.
HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}


def is_nifti(path: Path) -> bool:
    """Tells whether a file's name is that of a NIfTI volume."""
    return path.name.lower().endswith(SUFFIXES)


def read(
    path: Path,
    window: tuple[float, ...] = (),
    plane: str = "axial",
    max_megapixels: float = MAX_MEGAPIXELS,
    is_mask: bool = False,
) -> np.ndarray:
    """Reads a NIfTI volume.

    Args:
        path: The file.
        window: Centre and width of the grey scale in the volume's units. By
            default it is the range that the header says to show, or the range
            of the values, NaN aside.
        plane: One of `PLANES`. The patient's right is on the left of axial and
            coronal slices, as on the screens of radiologists, and the front is
            up in axial slices, the head in the others.
        max_megapixels: The most pixels, in millions, that all slices together
            may have.
        is_mask: Whether to return 1 where the stored value is not 0, and
            else 0, whatever the header says of grey.

    Returns:
        The slices, `(num, height, width, 1) float32` in [0, 1], from the
        patient's feet, front or right; those of further volumes come after. NaN
        is black.

    Raises:
        UnreadableError: If the file is no NIfTI volume, if it is damaged, or if
            its voxels are no numbers of grey or are too many.
    """
    encoded.check_file(path, max_megapixels)
    try:
        with path.open("rb") as raw:
            is_zipped = raw.read(len(GZIP_START)) == GZIP_START
            raw.seek(0)
            if not is_zipped:
                return _read(raw, window, plane, max_megapixels, is_mask)
            with gzip.open(raw) as file:
                unzipped = cast(BinaryIO, file)
                return _read(unzipped, window, plane, max_megapixels, is_mask)
    except UnreadableError:
        raise
    except (EOFError, OSError, zlib.error):
        raise UnreadableError("it cannot be read or unzipped") from None
    # A damaged header makes nibabel raise errors of many classes.
    except Exception:
        raise UnreadableError("its NIfTI header is damaged") from None


def _read(
    file: BinaryIO,
    window: tuple[float, ...],
    plane: str,
    max_megapixels: float,
    is_mask: bool,
) -> np.ndarray:
    """Does the work of `read` on an open file, which is read only once."""
    header = _header(file)
    dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
    shape = header.get_data_shape()
    shape = (*shape, *(1,) * (3 - len(shape)))
    if dtype.kind not in "iuf" or math.prod(shape[4:]) != 1:
        raise UnreadableError("its voxels are not single numbers")
    num_voxels = math.prod(shape)
    encoded.check_pixels(num_voxels, max_megapixels)
    if not num_voxels or not file.tell() <= offset <= encoded.EXTRA_BYTES:
        raise UnreadableError("its NIfTI header is damaged")
    file.read(offset - file.tell())  # Extensions of the header.
    num_bytes = num_voxels * dtype.itemsize
    content = file.read(num_bytes)
    if len(content) < num_bytes:
        raise UnreadableError("it is shorter than its header says")
    stored = np.frombuffer(content, dtype).reshape(shape, order="F")
    if is_mask:  # NaN is no mark.
        grey = (np.nan_to_num(stored) != 0).astype(np.float32)
    else:
        grey = _to_unit(_scaled(stored, header), header, window)
    return _slices(grey.reshape((*shape[:3], -1)), header, plane)


def _header(file: BinaryIO) -> Any:
    """Returns the header of an open file, without its extensions.

    Raises:
        UnreadableError: If the file does not begin with such a header.
    """
    start = file.read(4)
    sizes = {int.from_bytes(start, order) for order in ("little", "big")}
    size = next(iter(sizes & set(HEADERS)), 0)
    block = start + file.read(max(0, size - len(start)))
    if not size or len(block) < size:
        raise UnreadableError("it is not a NIfTI volume")
    header = HEADERS[size](block)
    if header["magic"].item()[:2] != b"n+":  # Else the voxels are elsewhere.
        raise UnreadableError("it is not a NIfTI volume in a single file")
    return header


def _scaled(stored: np.ndarray, header: Any) -> np.ndarray:
    """Returns stored values in the volume's units, as float64."""
    slope, intercept = header.get_slope_inter()
    values = stored.astype(np.float64)
    return values if slope is None else values * slope + intercept


def _to_unit(
    values: np.ndarray, header: Any, window: tuple[float, ...]
) -> np.ndarray:
    """Returns values as grey levels in [0, 1]."""
    finite = np.isfinite(values)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if window:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    elif not high > low:
        shown = values[finite]
        low, high = (shown.min(), shown.max()) if shown.size else (0.0, 1.0)
    shown = (np.where(finite, values, low) - low) / ((high - low) or 1.0)
    return np.clip(shown, 0, 1).astype(np.float32)


def _slices(volumes: np.ndarray, header: Any, plane: str) -> np.ndarray:
    """Returns the slices of volumes, `(num, height, width, 1)`.

    Args:
        volumes: `(x, y, z, num) float32`, the axes as in the file.
        header: Says where the axes point.
        plane: See `read`.
    """
    turn = orientations.ornt_transform(
        orientations.io_orientation(header.get_best_affine()),
        orientations.axcodes2ornt("LPS"),
    )
    volumes = orientations.apply_orientation(volumes, turn)
    axis = PLANES[plane]
    if plane != "axial":
        volumes = volumes[:, :, ::-1]  # The head is up.
    # From (left, back, head, volume) to (volume, slice, row, column).
    column, row = (other for other in (0, 1, 2) if other != axis)
    slices = volumes.transpose(3, axis, row, column)
    return slices.reshape(-1, *slices.shape[2:], 1)
