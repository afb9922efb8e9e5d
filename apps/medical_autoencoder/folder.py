"""Folders of images, split so that no patient is on two sides.

A patient is a DICOM `PatientID`, kept in memory as a salted hash, or a cell of
the table that `--patients` names, or else the file itself.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from apps.medical_autoencoder import pictures
from apps.medical_autoencoder.dicom import Scan
from common import progress, splits, tables
from common.config import InputError

# Parts of the patients without an abnormal image that go to valid and to test.
HELD_OUT = 0.15
USUAL_SIZE = 64
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "valid": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


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
    table = _patients(options.patients)
    rows, notes = _read(root, listed, table, options)
    parts = _split(rows, options.seed)
    shape = shape or _shape(rows, options.image_size)
    found = {key: _to_memory(part, shape) for key, part in parts.items()}
    return splits.Splits(
        root.resolve().name, ("normal", "abnormal"), notes=notes, **found
    )


def _list(root: Path, normal_label: str) -> list[tuple[Path, int, str]]:
    """Returns path, label and split of every picture file, sorted."""
    folders = {
        key: root / name
        for key, names in SPLIT_FOLDERS.items()
        for name in names
        if (root / name).is_dir()
    }
    if not folders:
        folders = {"": root}
    elif set(folders) != set(SPLIT_FOLDERS):
        raise InputError(
            f"--dataset must have all of train, valid and test, or none; "
            f"{root} has only {', '.join(sorted(folders))}."
        )
    listed = [
        (path, label, split)
        for split, folder in folders.items()
        for path, label in _classes(folder, normal_label)
    ]
    if not listed:
        raise InputError(
            f"--dataset must hold PNG, JPEG, TIFF or DICOM files; {root} has "
            "none."
        )
    return listed


def _classes(folder: Path, normal_label: str) -> list[tuple[Path, int]]:
    """Returns the files below a folder, with labels."""
    classes = sorted(
        one for one in folder.iterdir()
        if one.is_dir() and not one.name.startswith(".")
    )  # fmt: skip
    if not classes:
        return [(path, 0) for path in _files(folder)]
    wanted = (normal_label or "normal").lower()
    if wanted not in [one.name.lower() for one in classes]:
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
    return sorted(
        path
        for path in folder.rglob("*")
        if pictures.is_picture(path)
        and not path.name.startswith(".")
        and path.is_file()
    )


def _patients(path: str) -> dict[str, str]:
    """Reads the table of `--patients`: file names and patients."""
    if not path:
        return {}
    columns = ("file", "patient")
    table = tables.read(path, columns, text=columns)
    files, patients = (table[name].to_pylist() for name in columns)
    return {
        Path(str(file)).name: str(patient)
        for file, patient in zip(files, patients, strict=True)
    }


def _read(
    root: Path,
    listed: list[tuple[Path, int, str]],
    table: dict[str, str],
    options: Any,
) -> tuple[list[Row], tuple[str, ...]]:
    """Reads every file; returns rows and notes on what was left out."""
    rows, bad = [], []
    salt = str(options.seed)
    for path, label, split in progress.track(
        listed, "reading images", len(listed)
    ):
        try:
            scan = pictures.read(path, salt, window(options.window))
        except pictures.UnreadableError as error:
            bad.append(f"{path}: {error}")
            continue
        # The path within the folder: moving the folder moves nobody.
        own = path.relative_to(root).as_posix()
        patient = table.get(path.name) or scan.patient or own
        if table and path.name not in table:
            raise InputError(
                f"--patients must have a row for every file; {options.patients}"
                f" has none for {path.name}."
            )
        rows.append(Row(path, label, split, scan, patient))
    if bad and options.on_bad_input == "fail":
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{len(listed)} files). Remove it, or pass --on_bad_input=skip."
        )
    return rows, tuple(_notes(root, rows, bad))


def _notes(root: Path, rows: list[Row], bad: list[str]) -> list[str]:
    """Returns what a user should know of the files."""
    notes = []
    if bad:
        notes.append(f"left out {len(bad)} unreadable files, e.g. {bad[0]}")
    alone = sum(
        row.patient == row.path.relative_to(root).as_posix() for row in rows
    )
    if alone:
        notes.append(
            f"{alone} of {len(rows)} files name no patient and are split one by"
            " one: images of one patient may be on two sides (see --patients)"
        )
    text = sum(row.scan.has_text for row in rows)
    if text:
        notes.append(
            f"{text} files say that text is burned into their pixels; pictures "
            "of the report and overlays would show it"
        )
    return notes


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


def _split(rows: list[Row], seed: int) -> dict[str, list[Row]]:
    """Returns the rows of each split; train has normal images only."""
    if rows and rows[0].split:
        parts = {
            key: [row for row in rows if row.split == key]
            for key in SPLIT_FOLDERS
        }
        _check_patients(parts)
    else:
        where = _assign(rows, seed)
        parts = {
            key: [row for row in rows if where[row.patient] == key]
            for key in SPLIT_FOLDERS
        }
    parts["train"] = [row for row in parts["train"] if not row.label]
    return parts


def _check_patients(parts: dict[str, list[Row]]) -> None:
    """Refuses split folders that share a patient."""
    seen: dict[str, Row] = {}
    for key, rows in parts.items():
        for row in rows:
            first = seen.setdefault(row.patient, row)
            if first.split != key:
                raise InputError(
                    f"--dataset must have every patient in one split; "
                    f"{first.path} and {row.path} are of one patient. Move one,"
                    " or remove the split folders to have patients split."
                )


def _assign(rows: list[Row], seed: int) -> dict[str, str]:
    """Returns the split of each patient.

    Patients with an abnormal image go to valid and test, half each, for train
    has no use of them; of the others 70 % are trained on. A patient and the
    seed decide, so that files added later move nobody.
    """
    ill = {row.patient for row in rows if row.label}
    well = {row.patient for row in rows} - ill
    where = {}
    for group, share in ((ill, 0.5), (well, HELD_OUT)):
        order = sorted(group, key=lambda one: _place(one, seed))
        places = np.array([_place(one, seed) for one in order])
        least = 2 if len(order) >= 6 else 1
        test = max(least, int(np.sum(places < share)))
        rest = int(np.sum(places < 2 * share)) if group is well else len(order)
        valid = max(test + least, rest)
        where.update(dict.fromkeys(order[:test], "test"))
        where.update(dict.fromkeys(order[test:valid], "valid"))
        where.update(dict.fromkeys(order[valid:], "train"))
    return where


def _place(patient: str, seed: int) -> float:
    """Returns a number in [0, 1) that patient and seed fix."""
    text = f"{seed}:{patient}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:6]) / 2**48


def _shape(rows: list[Row], image_size: int) -> tuple[int, ...]:
    """Returns the shape that all images are brought to."""
    shapes = {row.scan.frames.shape[1:] for row in rows}
    channels = max((shape[2] for shape in shapes), default=1)
    sides = {shape[:2] for shape in shapes}
    if image_size or len(sides) != 1:
        return (image_size or USUAL_SIZE,) * 2 + (channels,)
    return (*sides.pop(), channels)


def _to_memory(rows: list[Row], shape: tuple[int, ...]) -> splits.MemorySplit:
    """Returns the frames of rows; a file's frames share its label."""
    frames = [np.asarray(pictures.fit(row.scan.frames, shape)) for row in rows]
    counts = [len(one) for one in frames]
    labels = np.repeat([row.label for row in rows], counts).astype(np.int64)
    empty = np.empty((0, *shape), np.float32)
    return splits.MemorySplit(np.concatenate([empty, *frames]), labels)
