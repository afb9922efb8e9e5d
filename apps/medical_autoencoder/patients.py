"""Assignment of patients to splits: every patient is in one split only."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data import tables
from common.options import InputError

KEYS = ("train", "valid", "test")
# The part of the patients without an abnormal image that goes to valid, and
# the part that goes to test.
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
        rows: `folder.Row`s. Either all of them have a `split`, that of their
            split folder, or `split` is "" and is decided here.
        seed: Together with the patient it decides the split.

    Returns:
        The rows of `train`, `valid` and `test`, by name.

    Raises:
        InputError: If split folders share a patient.
    """
    if rows and rows[0].split:
        parts = {key: [row for row in rows if row.split == key] for key in KEYS}
        _check_patients(parts)
    else:
        assigned = _assign(rows, seed)
        parts = {
            key: [row for row in rows if assigned[row.patient] == key]
            for key in KEYS
        }
    parts["train"] = [row for row in parts["train"] if not row.label]
    return parts


def _check_patients(parts: dict[str, list[Any]]) -> None:
    """Refuses split folders that share a patient."""
    seen: dict[str, Any] = {}
    for key, rows in parts.items():
        for row in rows:
            first = seen.setdefault(row.patient, row)
            if first.split != key:
                raise InputError(
                    f"--dataset must have every patient in one split; "
                    f"{first.path} and {row.path} are of one patient. Move one,"
                    " or remove the split folders to have patients split."
                )


def _assign(rows: Sequence[Any], seed: int) -> dict[str, str]:
    """Returns the split of each patient.

    Of the patients with an abnormal image, about half go to valid and the rest
    to test, because train has normal images only. Of the other patients about
    70 % go to train. Only the patient and the seed decide, so that patients
    stay in their split when files are added later.
    """
    ill = {row.patient for row in rows if row.label}
    well = {row.patient for row in rows} - ill
    assigned = {}
    for group, share in ((ill, 0.5), (well, HELD_OUT)):
        order = sorted(group, key=lambda patient: _place(patient, seed))
        places = np.array([_place(patient, seed) for patient in order])
        least = 2 if len(order) >= 6 else 1
        test = max(least, int(np.sum(places < share)))
        rest = int(np.sum(places < 2 * share)) if group is well else len(order)
        valid = max(test + least, rest)
        assigned.update(dict.fromkeys(order[:test], "test"))
        assigned.update(dict.fromkeys(order[test:valid], "valid"))
        assigned.update(dict.fromkeys(order[valid:], "train"))
    return assigned


def _place(patient: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on patient and seed only."""
    text = f"{seed}:{patient}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:6]) / 2**48
