"""Equal files: they are on one side of the splits, and of one class."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from common.options import InputError

from . import patients


def check_labels(rows: Sequence[Any]) -> None:
    """Refuses equal files of which some are normal and others are not.

    Args:
        rows: `folder.Row`s.

    Raises:
        InputError: If there are such files; it names two.
    """
    first: dict[bytes, Any] = {}
    for row in rows:
        other = first.setdefault(row.digest, row)
        if other.file.label != row.file.label:
            raise InputError(
                "--dataset must have an image as normal or as abnormal only; "
                f"{other.file.path} and {row.file.path} are equal. Remove one "
                "or both."
            )


def without_copies(rows: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Keeps an image of several split folders in test, else in validation.

    What is trained on must not be tested. Copies within a split stay.

    Args:
        rows: `folder.Row`s.

    Returns:
        The rows that are left, and notes on the others.
    """
    split_of: dict[bytes, str] = {}
    for key in reversed(("", *patients.KEYS)):
        for row in rows:
            if row.file.split == key:
                split_of.setdefault(row.digest, key)
    kept = [row for row in rows if split_of[row.digest] == row.file.split]
    left_out = collections.Counter(
        row.file.split for row in rows if split_of[row.digest] != row.file.split
    )
    return kept, [
        f"left out {num} {key} files that are in another split as well"
        for key, num in left_out.items()
    ]


def of_one_patient(rows: Sequence[Any]) -> list[Any]:
    """Returns rows in which the patients of equal files are one patient.

    Args:
        rows: `folder.Row`s.
    """
    merged: dict[str, str] = {}  # The patient that takes another's place.

    def final(patient: str) -> str:
        while patient in merged:
            patient = merged[patient]
        return patient

    patient_of: dict[bytes, str] = {}
    for row in rows:
        first = final(patient_of.setdefault(row.digest, row.patient))
        other = final(row.patient)
        if first != other:
            merged[other] = first
    return [
        dataclasses.replace(row, patient=final(row.patient)) for row in rows
    ]
