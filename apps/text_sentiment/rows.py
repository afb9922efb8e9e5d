"""The rows of a user's own table: texts, labels, and what was left out."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common.data import slice_columns, table_files, tables
from common.options import InputError, quote
from common.table_options import ANY_FORMAT, TableFormat

from . import labels as spellings

SHOWN_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Rows:
    """Texts, each with a label.

    Attributes:
        path: The file.
        texts: The texts; they may be empty.
        labels: The label of each text, as it is written, or its class.
        numbers: The row of the file that each text is in, from 1.
        groups: The cells of the columns of `--slice_by`, `(num, columns)`
            objects.
        notes: What was read and what was left out.
    """

    path: str
    texts: list[str]
    labels: list[str]
    numbers: list[int]
    groups: np.ndarray
    notes: tuple[str, ...] = ()

    def where(self, keep: Callable[[str], bool]) -> "Rows":
        """Returns the rows whose labels `keep` accepts."""
        # There are few labels and many rows.
        kept = set(filter(keep, labels := set(self.labels)))
        if kept == labels:
            return self
        places = [i for i, label in enumerate(self.labels) if label in kept]
        return dataclasses.replace(
            self,
            texts=[self.texts[i] for i in places],
            labels=[self.labels[i] for i in places],
            numbers=[self.numbers[i] for i in places],
            groups=self.groups[places],
        )

    def noted(self, *notes: str) -> "Rows":
        """Returns the same rows with further notes."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))


def read(
    path: str,
    text_column: str,
    label_column: str,
    option: str,
    skip_bad: bool,
    table_format: TableFormat = ANY_FORMAT,
    slice_by: Sequence[str] = (),
) -> Rows:
    """Reads the rows of a table that have a label.

    Args:
        path: The table.
        text_column: The column of the texts.
        label_column: The column of the labels.
        option: The option that named the file, for errors.
        skip_bad: Whether to leave out labels that cannot be printed, instead of
            refusing them.
        table_format: What is known of the file's form.
        slice_by: The columns by which figures are shown.

    Raises:
        InputError: If the file cannot be read or lacks a column, or if no row
            has a label.
    """
    columns = [text_column, label_column]
    slice_columns.check(slice_by, path, option, table_format)
    names = list(dict.fromkeys([*columns, *slice_by]))
    table = tables.read(path, names, names, option, table_format)
    texts, labels = (strings(table[name]) for name in columns)
    groups = slice_columns.values(table, slice_by)
    rows = Rows(path, texts, labels, list(range(1, len(texts) + 1)), groups)
    rows = rows.noted(
        f"read {len(texts):,} rows of {table_files.title(path)}: the texts are "
        f"in column {text_column}; the target is column {label_column}"
    )
    given = rows.where(lambda label: not spellings.is_missing(label))
    if not given.texts:
        raise InputError(
            f"--label_column must have a class in some rows; {label_column} in "
            f"{path} has none."
        )
    if missing := len(texts) - len(given.texts):
        given = given.noted(f"left out {missing:,} rows without a label")
    return _printable(given, skip_bad)


def _printable(rows: Rows, skip_bad: bool) -> Rows:
    """Returns the rows whose labels can be lines of `labels.txt`."""
    printable = rows.where(lambda label: label.strip().isprintable())
    num_bad = len(rows.texts) - len(printable.texts)
    if num_bad and not (skip_bad and printable.texts):
        number, label = next(
            (number, label)
            for number, label in zip(rows.numbers, rows.labels, strict=True)
            if not label.strip().isprintable()
        )
        raise InputError(
            f"--label_column must have printable classes; row {number} of "
            f"{rows.path} has {quote(label)}. Mend it, or pass "
            "--on_bad_input=skip."
        )
    if num_bad:
        return printable.noted(
            f"left out {num_bad:,} rows with labels that cannot be printed"
        )
    return rows


def as_classes(rows: Rows) -> Rows:
    """Returns rows whose labels are classes; see `labels.merged`."""
    classes, notes = spellings.merged(rows.labels)
    names = [classes[label] for label in rows.labels]
    return dataclasses.replace(rows, labels=names).noted(*notes)


def as_known(
    rows: Rows, class_names: Sequence[str], rule: str, skip_bad: bool
) -> Rows:
    """Returns rows whose labels are among given classes.

    Args:
        rows: The rows, with labels as they are written.
        class_names: The classes.
        rule: The start of the error: an option, and what it must have.
        skip_bad: Whether to leave out other labels, instead of refusing them.

    Raises:
        InputError: If a label is none of the classes, or none is left.
    """
    classes, notes = spellings.known(rows.labels, class_names)
    left = rows.where(lambda label: label in classes)
    num_bad = len(rows.texts) - len(left.texts)
    if num_bad and not (skip_bad and left.texts):
        bad = next(i for i, x in enumerate(rows.labels) if x not in classes)
        raise InputError(
            f"{rule}, {quote(', '.join(class_names), 500)}; row "
            f"{rows.numbers[bad]} of {rows.path} has "
            f"{quote(rows.labels[bad].strip())}."
        )
    if num_bad:
        notes.append(f"left out {num_bad:,} rows of other classes")
    names = [classes[label] for label in left.labels]
    return dataclasses.replace(left, labels=names).noted(*notes)


def without_rare(rows: Rows, fewest: int, skip_bad: bool) -> Rows:
    """Returns the rows of classes that have enough of them.

    Args:
        rows: The rows, with classes for labels.
        fewest: The fewest rows of a class.
        skip_bad: Whether to leave out rarer classes, instead of refusing them.

    Raises:
        InputError: If a class is too rare.
    """
    counts = collections.Counter(rows.labels)
    rare = {name: num for name, num in counts.items() if num < fewest}
    if not rare:
        return rows
    shown = [f"{name} ({num})" for name, num in sorted(rare.items())]
    if len(shown) > SHOWN_CLASSES:
        shown[SHOWN_CLASSES:] = [f"{len(shown) - SHOWN_CLASSES} more"]
    names = quote(", ".join(shown), 500)[1:-1]
    if not skip_bad or len(counts) - len(rare) < 2:
        raise InputError(
            f"--dataset must have {fewest} rows or more of each class, to "
            f"train, validate and test; {rows.path} has too few of {names}. "
            "Add rows, or leave these out by --on_bad_input=skip; two classes "
            "must remain."
        )
    return rows.where(lambda label: label not in rare).noted(
        f"left out {sum(rare.values()):,} rows of classes with fewer than "
        f"{fewest}: {names}"
    )


def parts(
    labels: np.ndarray, shares: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Returns random parts of rows; each has its share of every class.

    Args:
        labels: `(num,) int64`. A class has at least a row for each part.
        shares: The share of each part but the last, from 0 to 1. A share above
            0 is at least one row of each class.
        seed: Fixes the choice.

    Returns:
        The indices of each part's rows, in random order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    part = np.full(len(labels), len(shares))
    for label in np.unique(labels):
        rows, start = order[labels[order] == label], 0
        for number, share in enumerate(shares):
            end = start + (max(1, round(share * len(rows))) if share else 0)
            part[rows[start:end]] = number
            start = end
    return [order[part[order] == n] for n in range(len(shares) + 1)]


def strings(column: Any) -> list[str]:
    """Returns a column as text; a missing value becomes ""."""
    values = column.to_pylist()
    return [
        value.decode("utf-8")
        if isinstance(value, bytes)
        else "" if value is None else str(value)
        for value in values
    ]  # fmt: skip
