"""Assignment of patients to splits: every patient is in one split only."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data import tables
from common.options import InputError

KEYS = ("train", "valid", "test")
# The part of the patients without an abnormal image that goes to each split
# that is missing.
HELD_OUT = 0.15


def read_table(path: str) -> dict[str, str]:
    """Returns the patients in the table of `--patients`, by file name.

    Raises:
        InputError: If the table cannot be read, or gives two patients for a
            file name.
    """
    if not path:
        return {}
    columns = ("file", "patient")
    table = tables.read(path, columns, columns, "--patients")
    files, patients = (table[name].to_pylist() for name in columns)
    patients_by_name: dict[str, str] = {}
    for file, patient in zip(files, patients, strict=True):
        name = Path(str(file)).name
        # Folders are ignored. The message must not contain a patient's name.
        known = patients_by_name.setdefault(name, str(patient))
        if known != str(patient):
            raise InputError(
                f"--patients must give a file one patient; {path} has several "
                f"for {name}. Files of the same name must be renamed."
            )
    return patients_by_name


def split(rows: Sequence[Any], seed: int) -> dict[str, list[Any]]:
    """Returns the rows of each split; train has normal images only.

    Args:
        rows: `folder.Row`s. Either all of them are of a split folder, or all
            are assigned here. Of split folders, `valid` and `test` may be
            absent: they are then taken from `train`.
        seed: Together with the patient it decides the split.

    Returns:
        The rows of `train`, `valid` and `test`, by name.

    Raises:
        InputError: If split folders share a patient.
    """
    parts = {
        key: [row for row in rows if row.file.split == key] for key in KEYS
    }
    given = {row.file.split for row in rows}
    _check_patients(parts)
    pool = rows if given <= {""} else parts["train"]
    missing = [key for key in ("test", "valid") if key not in given]
    if missing:
        assigned = _assign(pool, seed, missing)
        for key in ("train", *missing):
            parts[key] = [row for row in pool if assigned[row.patient] == key]
    parts["train"] = [row for row in parts["train"] if not row.file.label]
    return parts


def _check_patients(parts: dict[str, list[Any]]) -> None:
    """Refuses split folders that share a patient."""
    seen: dict[str, Any] = {}
    for key, rows in parts.items():
        for row in rows:
            first = seen.setdefault(row.patient, row)
            if first.file.split != key:
                raise InputError(
                    f"--dataset must have every patient in one split; "
                    f"{first.file.path} and {row.file.path} are of one patient."
                    " Move one, or remove the split folders to have patients "
                    "split."
                )


def _assign(
    rows: Sequence[Any], seed: int, missing: Sequence[str]
) -> dict[str, str]:
    """Returns the split of each patient: train, or one of `missing`.

    The patients with an abnormal image go to the `missing` splits in about
    equal parts, because train has normal images only. Of the other patients
    about 15 % go to each of these. Only the patient and the seed decide, so
    that patients stay in their split when files are added later.
    """
    ill = {row.patient for row in rows if row.file.label}
    well = {row.patient for row in rows} - ill
    assigned = {}
    for group, share in ((ill, 1 / len(missing)), (well, HELD_OUT)):
        order = sorted(group, key=lambda patient: _place(patient, seed))
        places = np.array([_place(patient, seed) for patient in order])
        least = 2 if len(order) >= 6 else 1
        start = 0
        for number, key in enumerate(missing, start=1):
            end = max(start + least, int(np.sum(places < number * share)))
            assigned.update(dict.fromkeys(order[start:end], key))
            start = end
        assigned.update(dict.fromkeys(order[start:], "train"))
    return assigned


def _place(patient: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on patient and seed only."""
    text = f"{seed}:{patient}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:6]) / 2**48
