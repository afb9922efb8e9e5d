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
from common.data import folders, image_folder
from common.data.splits import MemorySplit, Splits
from common.options import InputError

from . import patients, pictures
from .config import Config
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
        split: The name of the split folder that it is in, or "".
        scan: Its frames.
        patient: Names its patient: a hash, a cell of the patients' table, or
            the file's path.
    """

    path: Path
    label: int
    split: str
    scan: Scan
    patient: str

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
    listed = _list(root, options.normal_label)
    table = patients.read_table(options.patients)
    sides = shape[:2] if shape else (options.image_size,) * 2
    rows, bad = _read(root, listed, table, sides, options)
    notes = (*_notes(rows, bad), *_alone(root, rows))
    parts = patients.split(rows, options.seed)
    shape = shape or _shape(rows)
    memory: dict[str, Any] = {
        key: _to_memory(part, shape) for key, part in parts.items()
    }
    return Splits(root.resolve().name, CLASS_NAMES, notes=notes, **memory)


def load_to_judge(
    root: Path, options: Config, shape: tuple[int, ...]
) -> Splits:
    """Loads a folder to judge a release by: no image is set aside to train on.

    Args:
        root: See `load`; of a root with a folder `test`, only that is judged.
        options: See `load`; `patients` is not used.
        shape: Height, width and channels that the release's model needs.
    """
    parts, judged = image_folder.judged_folders(root)
    listed = [
        (path, label, "")
        for part in parts
        for path, label in _classes(part, options.normal_label, True)
    ]
    _check_any(root, listed)
    rows, bad = _read(root, listed, {}, shape[:2], options)
    _check_any(root, rows)
    return Splits.whole(
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
    """Refuses an empty list of pictures: of files listed or of files read."""
    if not files:
        raise InputError(
            f"--dataset must hold images or DICOM files; {root} has none."
        )


def _classes(
    folder: Path, normal_label: str, may_lack_normal: bool = False
) -> list[tuple[Path, int]]:
    """Returns the files below a folder, with labels.

    Args:
        folder: It holds class folders, or images, all taken to be normal.
        normal_label: The name of the folder of normal images; "" means normal.
        may_lack_normal: Whether a folder named abnormal may be the only one.
    """
    classes = folders.of_classes(folder)
    if not classes:
        return [(path, 0) for path in _files(folder)]
    normal = (normal_label or CLASS_NAMES[0]).lower()
    names = {path.name.lower() for path in classes}
    # A single folder of any other name may hold normal images.
    only_abnormal = may_lack_normal and names == {CLASS_NAMES[1]}
    if normal not in names and not only_abnormal:
        raise InputError(
            f"--normal_label must name one of the folders in {folder}: "
            f"{', '.join(path.name for path in classes[:20])}; received "
            f"{normal_label or 'normal'!r}."
        )
    return [
        (path, int(class_folder.name.lower() != normal))
        for class_folder in classes
        for path in _files(class_folder)
    ]


def _files(folder: Path) -> list[Path]:
    """Returns the files below a folder whose names are like a picture's."""
    return folders.files(folder, pictures.is_picture)


def _read(
    root: Path,
    listed: list[tuple[Path, int, str]],
    table: dict[str, str],
    sides: tuple[int, ...],
    options: Config,
) -> tuple[list[Row], list[str]]:
    """Reads every file.

    Args:
        root: The folder.
        listed: Path, label and split of each file.
        table: Patients by file name.
        sides: The height and width to resize images to. Zeros keep the size
            that all images have; images of several sizes are resized to
            `USUAL_SIZE`.
        options: See `load`.

    Returns:
        The rows, and a line for each file that cannot be read.
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
        # The path within the folder: after the folder is moved, every file is
        # in the same split.
        relative = path.relative_to(root).as_posix()
        patient = table.get(path.name) or scan.patient or relative
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
                "Pass --image_size=128, for example."
            )
    if bad and options.on_bad_input == "fail":
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{len(listed)} files). Remove it, or pass --on_bad_input=skip."
        )
    return rows, bad


def _notes(rows: list[Row], bad: list[str]) -> list[str]:
    """Returns notes on unreadable files and on text in pixels, if any."""
    notes = []
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
        row.patient == row.path.relative_to(root).as_posix() for row in rows
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
    labels = np.repeat([row.label for row in rows], counts).astype(np.int64)
    empty = np.empty((0, *shape), np.float32)
    return MemorySplit(np.concatenate([empty, *frames]), labels)
