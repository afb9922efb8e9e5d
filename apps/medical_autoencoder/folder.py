"""Images of a folder, read and assigned to splits.

A patient is a DICOM `PatientID`, kept in memory as a salted hash, or a cell of
the table that `--patients` names, or else the file itself.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from common import console
from common.console import track
from common.data.splits import MemorySplit, Splits
from common.options import InputError

from . import copies, layout, masks, patients, pictures
from .config import Config
from .dicom import NoImageError, Scan
from .layout import Listed

CLASS_NAMES = ("normal", "abnormal")
USUAL_SIZE = 64
MAX_MEMORY_BYTES = 4 * 2**30


@dataclasses.dataclass(frozen=True)
class Row:
    """A file that was read.

    Attributes:
        file: The file, with its label, split and masks.
        scan: Its frames.
        shape: Number, height and width of the frames before they were resized.
        patient: Names its patient: a hash, a cell of the patients' table, or
            the file's path.
        digest: Names the file's content.
    """

    file: Listed
    scan: Scan
    shape: tuple[int, ...]
    patient: str
    digest: bytes

    def fit(self, sides: tuple[int, ...]) -> "Row":
        """Returns the row with its frames resized to a height and width."""
        frames = self.scan.frames
        fitted = pictures.fit(frames, (*sides, frames.shape[3]))
        scan = dataclasses.replace(self.scan, frames=np.asarray(fitted))
        return dataclasses.replace(self, scan=scan)


def load(
    root: Path, options: Config, shape: tuple[int, ...] | None = None
) -> Splits:
    """Loads a folder.

    Args:
        root: It holds class folders, one of them normal; or images, all taken
            to be normal; or split folders that hold either.
        options: Give `normal_label`, `image_size`, `patients`, `window`,
            `seed`, `on_bad_input` and `max_megapixels`.
        shape: Height, width and channels that a model needs; None for
            `image_size` and the channels of the files.
    """
    listed, notes = layout.of_training(root, options.normal_label)
    table = patients.read_table(options.patients)
    sides = shape[:2] if shape else (options.image_size,) * 2
    rows, more = _read(root, listed, table, sides, options)
    rows, on_copies = copies.without_copies(rows)
    parts = patients.split(copies.of_one_patient(rows), options.seed)
    notes += (*more, *on_copies, *_alone(root, rows), *_taken(rows, parts))
    shape = shape or _shape(rows)
    memory: dict[str, Any] = {
        key: _to_memory(part, shape) for key, part in parts.items()
    }
    memory["test"], on_masks = _with_masks(parts["test"], shape, options)
    return Splits(
        root.resolve().name, CLASS_NAMES, notes=(*notes, *on_masks), **memory
    )


def load_to_judge(
    root: Path, options: Config, shape: tuple[int, ...]
) -> Splits:
    """Loads a folder to judge a release by: no image is set aside to train on.

    Args:
        root: See `load`; of a root with a folder `test`, only that is judged.
        options: See `load`; `patients` is not used.
        shape: Height, width and channels that the release's model needs.
    """
    listed, notes, judged = layout.of_judging(root, options.normal_label)
    rows, more = _read(root, listed, {}, shape[:2], options)
    layout.check_any(root, rows)
    test, on_masks = _with_masks(rows, shape, options)
    return Splits.whole(
        root.resolve().name, CLASS_NAMES, test, (*notes, *more, *on_masks),
        judged,
    )  # fmt: skip


def _taken(rows: list[Row], parts: dict[str, list[Row]]) -> list[str]:
    """Returns notes on what became of the files of split folders."""
    notes = []
    given = {row.file.split for row in rows}
    for key, part in parts.items():
        if given != {""} and key not in given:
            abnormal = sum(row.file.label for row in part)
            notes.append(
                f"there is no {key} part: {len(part) - abnormal} normal and "
                f"{abnormal} abnormal files of train were taken for it"
            )
    unused = len(rows) - sum(map(len, parts.values()))
    if unused:
        notes.append(
            f"{unused} abnormal files of train are not used: training is on "
            "normal images"
        )
    return notes


def _read(
    root: Path,
    listed: list[Listed],
    table: dict[str, str],
    sides: tuple[int, ...],
    options: Config,
) -> tuple[list[Row], list[str]]:
    """Reads every file.

    Args:
        root: The folder.
        listed: The files.
        table: Patients by file name.
        sides: The height and width to resize images to. Zeros keep the size
            that all images have; images of several sizes are resized to
            `USUAL_SIZE`.
        options: See `load`.

    Returns:
        The rows, and notes on the files.
    """
    rows: list[Row] = []
    bad, others, size = [], 0, 0
    for file in track(listed, "reading images", len(listed)):
        path = file.path
        try:
            scan = _scan(path, options)
        except NoImageError:
            others += 1
            continue
        except pictures.UnreadableError as error:
            bad.append(f"{path}: {error}")
            continue
        patient = _patient(path, scan, root, table, options)
        if not sides[0] and rows and scan.size != rows[0].scan.size:
            sides = (USUAL_SIZE, USUAL_SIZE)
            rows = [row.fit(sides) for row in rows]
        digest = hashlib.sha256(path.read_bytes()).digest()
        row = Row(file, scan, scan.frames.shape[:3], patient, digest)
        rows.append(row.fit(sides) if sides[0] else row)
        size += rows[-1].scan.frames.nbytes
        if size > MAX_MEMORY_BYTES:
            raise InputError(
                f"images must fit in {MAX_MEMORY_BYTES / 2**30:g} GiB of memory"
                f"; the first {len(rows)} of {len(listed)} files take more. "
                "Pass --image_size=128, for example."
            )
    if bad and options.on_bad_input == "fail":
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{len(listed)} files). Remove it, or pass --on_bad_input=skip."
        )
    layout.check_any(root, rows or bad)
    copies.check_labels(rows)
    return rows, _notes(rows, bad, others)


def _scan(path: Path, options: Config) -> Scan:
    """Reads the frames of a file.

    Raises:
        NoImageError: If it is a DICOM object that is no image.
        UnreadableError: If it cannot be read.
    """
    return pictures.read(
        path,
        str(options.seed),
        window(options.window),
        options.max_megapixels,
        options.plane,
    )


def _patient(
    path: Path,
    scan: Scan,
    root: Path,
    table: dict[str, str],
    options: Config,
) -> str:
    """Returns the name of a file's patient; see `Row`.

    Args:
        path: The file.
        scan: Its frames.
        root: The folder.
        table: Patients by file name; {} without `--patients`.
        options: Gives `patients`, for the error message.

    Raises:
        InputError: If the table has no row for the file.
    """
    if table and path.name not in table:
        raise InputError(
            f"--patients must have a row for every file; {options.patients} "
            f"has none for {path.name}."
        )
    # The path within the folder: after the folder is moved, every file is in
    # the same split.
    relative = path.relative_to(root).as_posix()
    return table.get(path.name) or scan.patient or relative


def _notes(rows: list[Row], bad: list[str], others: int) -> list[str]:
    """Returns notes on what was left out and on text in pixels, if any."""
    notes = []
    if others:
        notes.append(f"left out {others} DICOM objects that are no images")
    if bad:
        # A file's name, often the patient's, must not be in the report, which
        # is passed on: it is only printed.
        console.get(stderr=True).print(
            f"left out: {bad[0]} ({len(bad)} such files)"
        )
        notes.append(f"left out {len(bad)} unreadable files")
    num_with_text = sum(row.scan.has_text for row in rows)
    if num_with_text:
        notes.append(
            f"{num_with_text} files say that text is burned into their pixels; "
            "pictures of the report and overlays would show it"
        )
    return notes


def _alone(root: Path, rows: list[Row]) -> list[str]:
    """Returns a note on files that name no patient, or an empty list."""
    alone = sum(
        row.patient == row.file.path.relative_to(root).as_posix()
        for row in rows
    )
    if not alone:
        return []
    return [
        f"{alone} of {len(rows)} files name no patient and are split one by one"
        ": images of one patient may be on two sides (see --patients)"
    ]


def window(text: tuple[str, ...]) -> tuple[float, ...]:
    """Returns the centre and the width that `--window` gives, or ().

    Raises:
        InputError: If the option is neither empty nor such a pair.
    """
    try:
        values = tuple(float(value) for value in text)
    except ValueError:
        values = (0.0,)
    if values and (len(values) != 2 or not values[1] > 0):
        raise InputError(
            f"--window must be a centre and a width above 0, such as 40,400; "
            f"received {','.join(text)!r}."
        )
    return values


def _shape(rows: list[Row]) -> tuple[int, ...]:
    """Returns the shape of the rows' images, in colour if any image is."""
    channels = max(row.scan.frames.shape[3] for row in rows)
    return (*rows[0].scan.size, channels)


def _to_memory(rows: list[Row], shape: tuple[int, ...]) -> MemorySplit:
    """Returns the frames of rows; each frame has the label of its file."""
    frames = [np.asarray(pictures.fit(row.scan.frames, shape)) for row in rows]
    counts = [len(images) for images in frames]
    labels = np.repeat([row.file.label for row in rows], counts).astype(
        np.int64
    )
    empty = np.empty((0, *shape), np.float32)
    return MemorySplit(np.concatenate([empty, *frames]), labels)


def _with_masks(
    rows: list[Row], shape: tuple[int, ...], options: Config
) -> tuple[masks.MaskedSplit, tuple[str, ...]]:
    """Returns a split with the masks of its rows, and notes on them."""
    split = _to_memory(rows, shape)
    marked, notes = masks.of_rows(
        rows, shape[:2], options.plane, options.max_megapixels
    )
    return masks.MaskedSplit(split.features, split.labels, masks=marked), notes
