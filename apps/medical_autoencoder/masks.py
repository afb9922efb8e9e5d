"""Masks of abnormal pixels, and how well heat maps show those pixels."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score, roc_curve

from common.data.splits import MemorySplit
from common.options import InputError

from . import pictures

NORMAL, ABNORMAL, UNKNOWN = 0, 1, -1
METRICS = ("pixel_auroc", "pro")
MAX_FALSE_POSITIVE_RATE = 0.3
# Pixels that touch at a corner are of one region, as in MVTec AD's own code.
NEIGHBOURS = np.ones((3, 3), int)
# Of a JPEG, whose black is not quite black.
JPEG, JPEG_BLACK = (".jpg", ".jpeg", ".jpe", ".jfif"), 0.5


@dataclasses.dataclass(frozen=True)
class MaskedSplit(MemorySplit):
    """Images with masks.

    Attributes:
        masks: `(num, height, width) int8` of `NORMAL`, `ABNORMAL` and, for all
            of an abnormal image without a mask, `UNKNOWN`. None without masks.
    """

    masks: np.ndarray | None = None


def of_rows(
    rows: Sequence[Any], sides: tuple[int, ...], plane: str, megapixels: float
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Reads the masks of rows.

    Args:
        rows: `folder.Row`s.
        sides: The height and width of the model's images.
        plane: See `nifti.read`.
        megapixels: The most that a mask may have.

    Returns:
        The masks of all frames of the rows, see `MaskedSplit`, and notes.

    Raises:
        InputError: If a mask cannot be read, or is not of its image's size.
    """
    if not any(row.file.masks for row in rows):
        return None, ()
    masks, num_unknown, num_whole = [], 0, 0
    for row in rows:
        mask = np.full((len(row.scan.frames), *sides), NORMAL, np.int8)
        for path in row.file.masks:
            marked = _read(path, row.shape, plane, megapixels)
            mask = np.maximum(mask, _shrink(marked, sides))
            num_whole += int(marked.all())
        if row.file.label and not row.file.masks:
            mask[:] = UNKNOWN
            num_unknown += 1
        masks.append(mask)
    notes = []
    if num_unknown:
        notes.append(
            f"{num_unknown} abnormal test files have no mask: pixel AUROC and "
            "PRO leave them out"
        )
    if num_whole:
        notes.append(
            f"{num_whole} masks mark every pixel of their images: look at them"
        )
    return np.concatenate(masks), tuple(notes)


def _read(
    path: Any, shape: tuple[int, ...], plane: str, megapixels: float
) -> np.ndarray:
    """Returns what a mask marks, `(num, height, width) bool`.

    Args:
        path: The file.
        shape: Number, height and width of the image's frames.
        plane: See `nifti.read`.
        megapixels: The most that a mask may have.
    """
    try:
        frames = pictures.read(
            path, "", (), megapixels, plane, is_mask=True
        ).frames
    except pictures.UnreadableError as error:
        raise InputError(
            f"--dataset must have readable masks; {path}: {error}."
        ) from None
    if frames.shape[:3] != shape:
        raise InputError(
            f"--dataset must have masks of the size of their images; {path} "
            f"has {_size(frames.shape)}, and its image has {_size(shape)}."
        )
    black = JPEG_BLACK if path.suffix.lower() in JPEG else 0
    return np.any(frames > black, axis=-1)


def _size(shape: tuple[int, ...]) -> str:
    """Returns number, height and width for a message."""
    return " x ".join(map(str, shape[:3]))


def _shrink(marked: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Returns masks resized: a pixel is marked if any part of it was.

    So the smallest defect stays a region.

    Args:
        marked: `(num, height, width) bool`.
        sides: The height and width to return.
    """
    for axis, side in enumerate(sides, start=1):
        starts = np.arange(side) * marked.shape[axis] // side
        marked = np.logical_or.reduceat(marked, starts, axis=axis)
    return marked.astype(np.int8)


def measure(heat: np.ndarray, masks: np.ndarray | None) -> dict[str, float]:
    """Returns how well heat maps show what masks mark; {} without masks.

    PRO, the per-region overlap, is the mean over regions of the part of a
    region above a threshold, averaged over the thresholds whose false-positive
    rate is up to 0.3 (P. Bergmann et al., The MVTec Anomaly Detection Dataset,
    2021). It is the true-positive rate if each pixel weighs one by the size of
    its region: a large defect does not hide that small ones are missed.

    Args:
        heat: `(num, height, width, 1) float32`.
        masks: See `MaskedSplit`.

    Returns:
        `pixel_auroc` and `pro`, over all pixels of all images together.
    """
    if masks is None or not {NORMAL, ABNORMAL} <= set(np.unique(masks)):
        return {}
    weights = np.ones(masks.shape)
    for weight, mask in zip(weights, masks, strict=True):
        regions, _ = ndimage.label(mask == ABNORMAL, NEIGHBOURS)
        weight /= np.where(regions, np.bincount(regions.ravel())[regions], 1)
    known = masks != UNKNOWN
    truth, heat = masks[known], heat[..., 0][known]
    rates, overlaps, _ = roc_curve(truth, heat, sample_weight=weights[known])
    end = np.interp(MAX_FALSE_POSITIVE_RATE, rates, overlaps)
    within = rates < MAX_FALSE_POSITIVE_RATE
    area = auc(
        np.append(rates[within], MAX_FALSE_POSITIVE_RATE),
        np.append(overlaps[within], end),
    )
    return {
        "pixel_auroc": float(roc_auc_score(truth, heat)),
        "pro": float(area / MAX_FALSE_POSITIVE_RATE),
    }
