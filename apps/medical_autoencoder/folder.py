"""Folders of `normal/` and other images.

A patient is a DICOM `PatientID`, kept in memory as a salted hash, or a cell of
the table that `--patients` names, or else the file itself.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import console
from common.console import track
from common.data import folders, image_folder, splits
from common.options import InputError

from . import patients, pictures
from .dicom import Scan

CLASS_NAMES = ("normal", "abnormal")
USUAL_SIZE = 64
MAX_MEMORY_BYTES = 4 * 2**30


@dataclasses.dataclass(frozen=True)
class Row:
    """A file that was read.

    Attributes:
        path: The file.
        label: 0 normal, 1 abnormal.
        split: The split folder it is in, or "".
        scan: Its frames.
        patient: Who is on it; a hash, or a path.
    """

    path: Path
    label: int
    split: str
    scan: Scan
    patient: str

    def fit(self, sides: tuple[int, ...]) -> "Row":
        """Returns the row with its frames in another size."""
        frames = self.scan.frames
        fitted = pictures.fit(frames, (*sides, frames.shape[3]))
        scan = dataclasses.replace(self.scan, frames=np.asarray(fitted))
        return dataclasses.replace(self, scan=scan)


def load(
    root: Path, options: Any, shape: tuple[int, ...] | None = None
) -> splits.Splits:
    """Loads a folder.

    Args:
        root: Holds class folders, of which one is normal; or images, all
            taken for normal; or split folders with either in them.
        options: Gives `normal_label`, `image_size`, `patients`, `window`,
            `seed` and `on_bad_input`.
        shape: Height, width and channels that a model needs.
    """
    listed = _list(root, options.normal_label)
    table = patients.read_table(options.patients)
    sides = shape[:2] if shape else (options.image_size,) * 2
    rows, bad = _read(root, listed, table, sides, options)
    notes = (*_notes(rows, bad), *_alone(root, rows))
    parts = patients.split(rows, options.seed)
    shape = shape or _shape(rows)
    found: dict[str, Any] = {
        key: _to_memory(part, shape) for key, part in parts.items()
    }
    return splits.Splits(root.resolve().name, CLASS_NAMES, notes=notes, **found)


def whole(root: Path, options: Any, shape: tuple[int, ...]) -> splits.Splits:
    """Loads a folder to judge a release by; nothing of it is to train on.

    Args:
        root: See `load`; one that has a `test` folder is judged by it.
        options: See `load`; no patient plays a part.
        shape: Height, width and channels that the release's model needs.
    """
    parts, judged = image_folder.judged_folders(root)
    listed = [
        (path, label, "")
        for one in parts
        for path, label in _classes(one, options.normal_label, True)
    ]
    _check_any(root, listed)
    rows, bad = _read(root, listed, {}, shape[:2], options)
    _check_any(root, rows)
    return splits.Splits.whole(
        root.resolve().name, CLASS_NAMES, _to_memory(rows, shape),
        tuple(_notes(rows, bad)), judged,
    )  # fmt: skip


def _list(root: Path, normal_label: str) -> list[tuple[Path, int, str]]:
    """Returns path, label and split of every picture file, sorted."""
    parts = folders.of_splits(root) or {"": root}
    if "" not in parts and set(parts) != set(folders.SPLIT_NAMES):
        raise InputError(
            f"--dataset must have all of train, valid and test, or none; "
            f"{root} has only {', '.join(sorted(parts))}."
        )
    listed = [
        (path, label, split)
        for split, folder in parts.items()
        for path, label in _classes(folder, normal_label)
    ]
    _check_any(root, listed)
    return listed


def _check_any(root: Path, files: Sequence[Any]) -> None:
    """Refuses a folder without files that are, or may be, pictures."""
    if not files:
        raise InputError(
            f"--dataset must hold PNG, JPEG, TIFF or DICOM files; {root} has "
            "none."
        )


def _classes(
    folder: Path, normal_label: str, may_lack_normal: bool = False
) -> list[tuple[Path, int]]:
    """Returns the files below a folder, with labels.

    Args:
        folder: Holds class folders, or images, all taken for normal.
        normal_label: The folder of normal images; by default normal.
        may_lack_normal: Take a folder that is called abnormal alone.
    """
    classes = folders.of_classes(folder)
    if not classes:
        return [(path, 0) for path in _files(folder)]
    wanted = (normal_label or CLASS_NAMES[0]).lower()
    names = {one.name.lower() for one in classes}
    # Any other folder alone may be of normal images that are called otherwise.
    ill = may_lack_normal and names == {CLASS_NAMES[1]}
    if wanted not in names and not ill:
        raise InputError(
            f"--normal_label must name one of the folders in {folder}: "
            f"{', '.join(one.name for one in classes[:20])}; received "
            f"{normal_label or 'normal'!r}."
        )
    return [
        (path, int(one.name.lower() != wanted))
        for one in classes
        for path in _files(one)
    ]


def _files(folder: Path) -> list[Path]:
    """Returns the files below a folder that may be pictures."""
    return folders.files(folder, pictures.is_picture)


def _read(
    root: Path,
    listed: list[tuple[Path, int, str]],
    table: dict[str, str],
    sides: tuple[int, ...],
    options: Any,
) -> tuple[list[Row], list[str]]:
    """Reads every file; returns rows, and what was left out and why.

    Args:
        root: The folder.
        listed: Path, label and split of each file.
        table: Patients by file name.
        sides: Height and width to bring images to; zeros for the size that all
            share, or `USUAL_SIZE` if they share none.
        options: See `load`.
    """
    rows: list[Row] = []
    bad, size = [], 0
    for path, label, split in track(listed, "reading images", len(listed)):
        try:
            scan = pictures.read(
                path,
                str(options.seed),
                window(options.window),
                options.max_megapixels,
            )
        except pictures.UnreadableError as error:
            bad.append(f"{path}: {error}")
            continue
        if table and path.name not in table:
            raise InputError(
                f"--patients must have a row for every file; {options.patients}"
                f" has none for {path.name}."
            )
        # The path within the folder: moving the folder moves nobody.
        own = path.relative_to(root).as_posix()
        patient = table.get(path.name) or scan.patient or own
        if not sides[0] and rows and scan.size != rows[0].scan.size:
            sides = (USUAL_SIZE, USUAL_SIZE)
            rows = [row.fit(sides) for row in rows]
        row = Row(path, label, split, scan, patient)
        rows.append(row.fit(sides) if sides[0] else row)
        size += rows[-1].scan.frames.nbytes
        if size > MAX_MEMORY_BYTES:
            raise InputError(
                f"images must fit in {MAX_MEMORY_BYTES / 2**30:g} GiB of memory"
                f"; the first {len(rows)} of {len(listed)} files take more. "
                "Pass --image_size=128, for one."
            )
    if bad and options.on_bad_input == "fail":
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{len(listed)} files). Remove it, or pass --on_bad_input=skip."
        )
    return rows, bad


def _notes(rows: list[Row], bad: list[str]) -> list[str]:
    """Returns what a user should know of the files."""
    notes = []
    if bad:
        # The report goes where files' names, often a patient's, must not.
        console.get(stderr=True).print(
            f"left out: {bad[0]} ({len(bad)} such files)"
        )
        notes.append(f"left out {len(bad)} unreadable files")
    text = sum(row.scan.has_text for row in rows)
    if text:
        notes.append(
            f"{text} files say that text is burned into their pixels; pictures "
            "of the report and overlays would show it"
        )
    return notes


def _alone(root: Path, rows: list[Row]) -> list[str]:
    """Returns a note on files that name no patient, if there are any."""
    alone = sum(
        row.patient == row.path.relative_to(root).as_posix() for row in rows
    )
    if not alone:
        return []
    return [
        f"{alone} of {len(rows)} files name no patient and are split one by one"
        ": images of one patient may be on two sides (see --patients)"
    ]


def window(text: tuple[str, ...]) -> tuple[float, ...]:
    """Returns the centre and width that `--window` gives, if any."""
    try:
        values = tuple(float(one) for one in text)
    except ValueError:
        values = (0.0,)
    if values and (len(values) != 2 or not values[1] > 0):
        raise InputError(
            f"--window must be a centre and a width above 0, such as 40,400; "
            f"received {','.join(text)!r}."
        )
    return values


def _shape(rows: list[Row]) -> tuple[int, ...]:
    """Returns the shape of the rows' images, in colour if one is."""
    channels = max(row.scan.frames.shape[3] for row in rows)
    return (*rows[0].scan.size, channels)


def _to_memory(rows: list[Row], shape: tuple[int, ...]) -> splits.MemorySplit:
    """Returns the frames of rows; a file's frames share its label."""
    frames = [np.asarray(pictures.fit(row.scan.frames, shape)) for row in rows]
    counts = [len(one) for one in frames]
    labels = np.repeat([row.label for row in rows], counts).astype(np.int64)
    empty = np.empty((0, *shape), np.float32)
    return splits.MemorySplit(np.concatenate([empty, *frames]), labels)
