"""The image files of a data set before they are read: by split, with labels."""

import collections
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from common.options import InputError

from . import folders, image_checks

ALL = "all"  # The key of rows whose split is not given.
NOT_IN_TEST = "images not in test"


class Row(NamedTuple):
    """An image file.

    Attributes:
        path: The file's path.
        label: An index into the class names.
        group: What stays in one split: the group that a table gives, such as a
            patient, or the file's own name below the data set's folder.
    """

    path: str
    label: int
    group: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        root: The folder of the data set.
        class_names: The classes.
        rows: The files by split: `ALL`, or `train` and those of `valid` and
            `test` that the data set has.
        unlisted: What images in `root` are that are not among `rows`, such as
            "images outside of class folders".
        notes: What was assumed, for the user to read.
        table: The file that the labels come from, if they come from one.
    """

    root: Path
    class_names: tuple[str, ...]
    rows: dict[str, list[Row]]
    unlisted: str
    notes: tuple[str, ...] = ()
    table: Path | None = None

    def left_out(self) -> collections.Counter[str]:
        """Returns the numbers of files in `root` that are not listed, by kind.

        A kind is an ending, the place of what is never read, or `unlisted`.
        """
        listed = {row.path for rows in self.rows.values() for row in rows}
        if self.table:
            below = os.path.relpath(self.table, self.root)
            listed.add(str(self.root / below))
        kinds = folders.passed_over(self.root)
        for path in folders.files(self.root, lambda path: True):
            if str(path) not in listed:
                ending = path.suffix.lower() or "without a suffix"
                is_image = image_checks.is_image(path)
                kinds[self.unlisted if is_image else ending] += 1
        return kinds


def check_names(names: Iterable[str], place: str) -> None:
    """Refuses classes whose names cannot be printed, for they are no UTF-8.

    Args:
        names: The names of the classes.
        place: Where they come from, such as "class folders", and in which file.
    """
    for name in names:
        if not name.isprintable():
            raise InputError(
                f"--dataset must have {place} with printable UTF-8 names; "
                f"received {name!r}."
            )
