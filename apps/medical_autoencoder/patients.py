"""Who is on which side of a split: no patient is on two."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data import tables
from common.options import InputError

KEYS = ("train", "valid", "test")
# Parts of the patients without an abnormal image that go to valid and to test.
HELD_OUT = 0.15


def read_table(path: str) -> dict[str, str]:
    """Returns the patients in the table of `--patients`, by file name.

    Raises:
        InputError: If the table cannot be read, or gives a name two patients.
    """
    if not path:
        return {}
    columns = ("file", "patient")
    table = tables.read(path, columns, columns, "--patients")
    files, patients = (table[name].to_pylist() for name in columns)
    found: dict[str, str] = {}
    for file, patient in zip(files, patients, strict=True):
        name = Path(str(file)).name
        # Folders play no part; no patient's name is printed.
        if found.setdefault(name, str(patient)) != str(patient):
            raise InputError(
                f"--patients must give a file one patient; {path} has several "
                f"for {name}. Files of one name in two folders must be renamed."
            )
    return found


def split(rows: Sequence[Any], seed: int) -> dict[str, list[Any]]:
    """Returns the rows of each split; train has normal images only.

    Args:
        rows: Have `path`, `patient`, `label` (0 normal, 1 abnormal) and
            `split`: the folder's, or "" for one to be decided.
        seed: Decides it, with the patient.
    """
    if rows and rows[0].split:
        parts = {key: [row for row in rows if row.split == key] for key in KEYS}
        _check_patients(parts)
    else:
        where = _assign(rows, seed)
        parts = {
            key: [row for row in rows if where[row.patient] == key]
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
