"""Tables of ready-made features: no customers, no terminals."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data import slice_columns, table_files, tables
from common.data.splits import MemorySplit
from common.options import InputError, quote

from . import own_cells, own_columns
from .checks import Checks
from .folds import CLASSES, Data, Fold, FraudSplits, Judged
from .own_columns import Column
from .settings import Columns, FoldPlan
from .transactions import DAY, ids_of, labels, times, with_form

# The card set that many teach with: time in seconds, V1 to V28, Amount, Class.
CARD_SET = {"time": "Time", "label": "Class"}
TRAIN, VALID = 0.6, 0.2  # The parts of the rows; the others test.


def of_features(path: Path, columns: Columns, plan: FoldPlan) -> Data:
    """Loads a table and splits it: in the order of time, or at random.

    Args:
        path: The table.
        columns: The columns that it has.
        plan: How the data become folds.
    """
    if plan.protocol != "time" or plan.steps:
        raise InputError(
            f"--protocol must be time and --model no sequence for ready-made "
            f"features; received {plan.protocol}."
        )
    rows = _read(path, columns, plan, None)
    parts, note = _parts(rows, plan.seed)
    first = parts[0]
    fitted, more = own_columns.fit(
        rows.columns, rows.values[first], rows.judged.fraud[first]
    )
    own_columns.check_names([column.name for column in fitted])
    if not fitted:
        raise InputError(
            f"--dataset must have columns that tell something; {path} has none "
            f"beside those of time, label and ids."
        )
    splits = rows.coded(fitted)
    train, valid, test = (splits.pick(part) for part in parts)
    noted = own_columns.noted_slices(rows.names, fitted)
    notes = (
        *rows.notes, *own_columns.described(fitted), *noted, *more, note
    )  # fmt: skip
    names = tuple(column.feature for column in fitted)
    fold = Fold(
        FraudSplits(
            table_files.title(path), CLASSES, train, valid, test, notes
        ),
        *(rows.judged.pick(part) for part in parts[1:]),
    )
    return Data(names, fitted, (fold,), None, rows.names.table_format)


def read_features(
    path: Path, columns: Columns, plan: FoldPlan, own: Sequence[Column]
) -> tuple[MemorySplit, Judged, tuple[str, ...]]:
    """Reads all rows of a table, to judge a release.

    Args:
        path: The table.
        columns: The columns that it has.
        plan: Tells whether bad rows are left out.
        own: The release's columns.

    Returns:
        The rows; their labels and days; and notes on what was repaired.
    """
    rows = _read(path, columns, plan, own)
    return rows.coded(own), rows.judged, rows.notes


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The good rows of a table, in the order of time if it has one.

    Attributes:
        columns: See `own_cells.read`.
        values: See `own_cells.read`.
        judged: Labels and days; each row has a customer of its own.
        has_time: Whether the table has a column of times.
        notes: What was left out or repaired.
        names: The names in the table, with the form of their cells.
    """

    columns: tuple[Column, ...]
    values: np.ndarray
    judged: Judged
    has_time: bool
    notes: tuple[str, ...]
    names: Columns

    def coded(self, fitted: Sequence[Column]) -> MemorySplit:
        """Returns the features and labels."""
        coded = own_columns.code(self.columns, self.values, fitted)
        return MemorySplit(coded.astype(np.float32), self.judged.fraud)


def _with_label(columns: Columns, known: Sequence[str], path: Path) -> Columns:
    """Returns the columns of a table of features; only a label is required.

    Args:
        columns: The columns that the options name and the table has.
        known: The names of the table's columns.
        path: The table, for the error message.

    Raises:
        InputError: If there is no column of labels.
    """
    if set(CARD_SET.values()) <= set(known):
        columns = columns.or_usual(CARD_SET)
    if not columns.label:
        raise InputError(
            f"--dataset must have labels; {path} has "
            f"{quote(', '.join(known), 500)}. Name their column by "
            "--label_column."
        )
    # Without cards an amount is a feature as any other.
    return dataclasses.replace(columns, amount="")


def _read(
    path: Path, columns: Columns, plan: FoldPlan, own: Sequence[Column] | None
) -> _Rows:
    """Reads a table.

    Args:
        path: The table.
        columns: The columns that it has.
        plan: Tells whether bad rows are left out.
        own: The columns to read; None reads all.
    """
    known = tables.names(path, table_format=columns.table_format)
    columns = _with_label(columns, known, path)
    own = own_columns.wanted(columns, known) if own is None else own
    slice_columns.check(columns.slices, path, table_format=columns.table_format)
    more = own_columns.only_slices(columns, own)
    table = tables.read(
        path,
        [*columns.names(), *(column.name for column in own), *more],
        [*columns.texts(), *own_columns.texts(own), *more],
        table_format=columns.table_format,
        as_written=[*columns.as_written(), *own_columns.as_written(own)],
    )
    columns = with_form(columns, table)
    checks = Checks(path, table.num_rows, plan.skip_bad)
    fraud = labels(table, columns.label, checks).astype(np.int64)
    ids = ids_of(table, columns.id, checks)
    when = np.zeros(len(fraud), np.int64)
    if columns.time:
        when = times(table[columns.time], columns, checks)
    kept = checks.good_rows()
    kept = kept[np.argsort(when[kept], kind="stable")]
    read_columns, values, notes = own_cells.read(
        table, own, columns.table_format
    )
    groups = slice_columns.values(table, columns.slices)
    judged = Judged(
        fraud[kept], kept, when[kept] // DAY, ids[kept], groups[kept]
    )
    return _Rows(
        read_columns,
        values[kept],
        judged,
        bool(columns.time),
        (*checks.notes, *notes),
        columns,
    )


def _parts(rows: _Rows, seed: int) -> tuple[list[np.ndarray], str]:
    """Returns the rows of train, valid and test, and a note on the split."""
    num = len(rows.values)
    ends = [int(TRAIN * num), int((TRAIN + VALID) * num)]
    if rows.has_time:
        note = "Split in the order of time: 60, 20 and 20 % of rows."
        return np.split(np.arange(num), ends), note
    order, fraud = (
        np.random.default_rng(seed).permutation(num),
        rows.judged.fraud,
    )
    # Within each class every part gets its share.
    parts = [
        np.split(
            part, [int(TRAIN * len(part)), int((TRAIN + VALID) * len(part))]
        )
        for part in (order[fraud[order] == 0], order[fraud[order] == 1])
    ]
    mixed = [np.sort(np.concatenate(pair)) for pair in zip(*parts, strict=True)]
    return mixed, (
        "There is no column of times: 60, 20 and 20 % of rows at random. "
        "Figures a day are of the whole split, as if it were one day; "
        "--time_column names a column of times."
    )
