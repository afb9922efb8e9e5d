"""Transactions as columns in the order of time, read from a user's table."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute

from common.data import cells, dates, slice_columns, tables

from . import own_cells, own_columns
from .checks import Checks, one_reading
from .settings import Columns

DAY = 86_400  # Seconds.
LONGEST_ID = 200  # Characters.
# The seconds of `--time_unit`, where it is not to be judged.
TIME_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": DAY}


@dataclasses.dataclass(frozen=True)
class Transactions:
    """Card transactions, one per row, sorted by time.

    Attributes:
        time: Seconds since 1970-01-01, `(num,) int64`.
        customer: Indices into `customers`, `(num,) int64`.
        terminal: Indices into `terminals`, `(num,) int64`.
        amount: `(num,) float64`, none negative.
        fraud: 1 for a known fraud, else 0, `(num,) int8`.
        ids: The user's ids of the transactions, `(num,)`.
        customers: The user's ids of the customers, sorted.
        terminals: The user's ids of the terminals, sorted.
        own: The numbers of the table's own columns, `(num, columns) float64`;
            see `own_columns`.
    """

    time: np.ndarray
    customer: np.ndarray
    terminal: np.ndarray
    amount: np.ndarray
    fraud: np.ndarray
    ids: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray
    own: np.ndarray

    ROWS = ("time", "customer", "terminal", "amount", "fraud", "ids", "own")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def day(self) -> np.ndarray:
        """Whole days since 1970-01-01, `(num,) int64`."""
        return self.time // DAY

    def pick(self, rows: np.ndarray | slice) -> "Transactions":
        """Returns the transactions at `rows`, which must keep the order."""
        return dataclasses.replace(
            self, **{name: getattr(self, name)[rows] for name in self.ROWS}
        )


class Reading(NamedTuple):
    """What a table of transactions gives.

    Attributes:
        transactions: The transactions.
        own: Their own columns.
        notes: What was repaired, one line each.
        columns: The names in the table, with the form of their cells.
        groups: The cells of the columns of `--slice_by`, in the order of the
            transactions, `(num, columns)` objects.
    """

    transactions: Transactions
    own: tuple[own_columns.Column, ...]
    notes: list[str]
    columns: Columns
    groups: np.ndarray


def read(
    path: str | Path,
    columns: Columns,
    skip_bad: bool,
    option: str = "--dataset",
    own: Sequence[own_columns.Column] = (),
) -> Reading:
    """Reads transactions and puts them into the order of time, then of ids.

    Args:
        path: The table's file; see `tables.read`.
        columns: The names in the table.
        skip_bad: Whether bad rows are left out and counted, or an error.
        option: The option that named the file, for error messages.
        own: The table's own columns to read too; see `own_cells.read`.

    Raises:
        InputError: If a column is missing or a row is bad.
    """
    names = [*columns.names(), *(column.name for column in own)]
    more = own_columns.only_slices(columns, own)
    table = tables.read(
        path, [*names, *more],
        [*columns.texts(), *own_columns.texts(own), *more], option,
        columns.table_format,
        [*columns.as_written(), *own_columns.as_written(own)],
    )  # fmt: skip
    columns = with_form(columns, table)
    checks = Checks(Path(path), table.num_rows, skip_bad)
    form = columns.table_format
    time = times(table[columns.time], columns, checks)
    amount = numbers(
        table[columns.amount], columns.amount, checks, form.decimal
    )
    checks.refuse(amount < 0, columns.amount, "must not be negative", amount)
    fraud = labels(table, columns.label, checks)
    ids = ids_of(table, columns.id, checks)
    customer_ids = _keys(table, columns.customer, checks)
    terminal_ids = _keys(table, columns.terminal, checks)
    order = _order(time, ids, checks)
    read_columns, values, notes = own_cells.read(table, own, form)
    customers, customer = np.unique(customer_ids[order], return_inverse=True)
    terminals, terminal = np.unique(terminal_ids[order], return_inverse=True)
    transactions = Transactions(
        time[order],
        customer,
        terminal,
        amount[order],
        fraud[order].astype(np.int8),
        ids[order],
        customers,
        terminals,
        values[order],
    )
    return Reading(
        transactions,
        read_columns,
        [*checks.notes, *notes],
        columns,
        slice_columns.values(table, columns.slices)[order],
    )


def _order(time: np.ndarray, ids: np.ndarray, checks: Checks) -> np.ndarray:
    """Returns the indices of the good rows in the order of time, then of ids.

    The order of equal times in the file may be arbitrary.
    """
    kept = checks.good_rows()
    late = int(np.sum(np.diff(time[kept]) < 0))
    if late:
        checks.notes.append(
            f"{late} rows came before an earlier one; all were sorted by time."
        )
    return kept[np.lexsort((ids[kept], time[kept]))]


def with_form(columns: Columns, table: pa.Table) -> Columns:
    """Returns the columns with the form of dates and amounts in a table.

    A release keeps it for tables to come, whose few cells may not tell it.

    Args:
        columns: The columns that the table has.
        table: Their cells.

    Raises:
        InputError: If the dates can be read in two ways.
    """
    form = columns.table_format
    texts = _texts(table, columns.time)
    if form.day_first is None and any(map(dates.DATE.fullmatch, texts)):
        with one_reading(columns.time, "--date_order"):
            is_day_first = dates.is_day_first(texts)
        order = "day_first" if is_day_first else "month_first"
        form = dataclasses.replace(form, date_order=order)
    amounts = _texts(table, columns.amount)
    mark = form.decimal or cells.decimal_mark(amounts)
    if mark:
        name = "comma" if mark == "," else "point"
        form = dataclasses.replace(form, decimal_mark=name)
    return dataclasses.replace(columns, table_format=form)


def _texts(table: pa.Table, name: str) -> list[str]:
    """Returns the cells of a column of texts; [] if there is no such column."""
    if not name or not pa.types.is_string(table[name].type):
        return []
    return [str(cell).strip() for cell in table[name].to_pylist()]


def numbers(
    column: pa.ChunkedArray, name: str, checks: Checks, decimal: str = ""
) -> np.ndarray:
    """Returns a column as `(num,) float64`; refuses all but finite numbers.

    Args:
        column: The column.
        name: Its name.
        checks: Notes bad rows.
        decimal: The decimal mark; see `cells.numbers`.
    """
    shown: Any
    if own_cells.is_number(column.type):
        # Integers beyond 2**53 become the nearest float64.
        shown = values = column.cast(pa.float64(), safe=False).to_numpy()
    else:
        shown = column.to_pylist()
        with one_reading(name, "--decimal_mark"):
            values = cells.numbers(shown, decimal)
    checks.refuse(~np.isfinite(values), name, "must be a number", shown)
    return values


def labels(table: pa.Table, column: str, checks: Checks) -> np.ndarray:
    """Returns the labels as zeros and ones; zeros without such a column.

    Rows without a label are left out.
    """
    if not column:
        return np.zeros(table.num_rows)
    shown = table[column].to_pylist()
    fraud = cells.truths(shown)
    empty = [
        cell is None or str(cell).strip() in own_cells.MISSING_TEXTS
        for cell in shown
    ]
    checks.leave_out(np.array(empty), f"they have no {column}")
    invalid = (fraud != 0) & (fraud != 1)
    checks.refuse(invalid, column, "must be 0 or 1, or yes or no", shown)
    return np.where(invalid, 0, fraud)


def ids_of(table: pa.Table, column: str, checks: Checks) -> np.ndarray:
    """Returns the transactions' ids; row numbers without such a column."""
    if not column:
        return np.arange(table.num_rows)
    ids = _keys(table, column, checks)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    checks.refuse(repeated, column, "must be unique", ids)
    return ids


def times(
    column: pa.ChunkedArray, columns: Columns, checks: Checks
) -> np.ndarray:
    """Returns a column of times as whole seconds since 1970-01-01."""
    name = columns.time
    rule = (
        "must be a date and time such as 2018-07-25 13:05:00, of the years "
        f"{dates.YEARS[0]} to {dates.YEARS[-1]}"
    )
    if own_cells.is_number(column.type):
        values = numbers(column, name, checks)
        values = (
            values * TIME_UNITS[columns.time_unit]
            if columns.time_unit in TIME_UNITS
            else dates.seconds(values)
        )
        values = np.nan_to_num(values)
        too_far = np.abs(values) > dates.LAST_SECOND
        checks.refuse(
            too_far, name, "must be seconds, up to the year 2200", values
        )
        return np.floor(np.where(too_far, 0, values)).astype(np.int64)
    if not (
        pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    ):
        texts = column.to_pylist()
        with one_reading(name, "--date_order"):
            moments = dates.times(texts, columns.table_format.day_first)
        checks.refuse(np.isnat(moments), name, rule, texts)
        return moments.astype(np.int64)
    moments = column.to_numpy().astype("datetime64[s]")
    checks.refuse(~dates.are_plausible(moments), name, rule, moments)
    return moments.astype(np.int64)


def _keys(table: pa.Table, name: str, checks: Checks) -> np.ndarray:
    """Returns a column of ids, as integers or as text.

    Without such a column each row has an id of its own.
    """
    if not name:
        return np.arange(table.num_rows)
    column = table[name]
    empty = compute.is_null(column).to_numpy()
    if pa.types.is_integer(column.type) and not empty.any():
        return column.to_numpy()
    if pa.types.is_floating(column.type):
        rounded = np.abs(np.nan_to_num(column.to_numpy())) >= 2**53
        rule = "must be text where numbers lose their last digits"
        checks.refuse(rounded, name, rule, column.to_numpy())
    texts = [str(cell or "") for cell in column.to_pylist()]
    too_long = np.array([len(text) > LONGEST_ID for text in texts])
    rule = f"must have at most {LONGEST_ID} characters"
    checks.refuse(too_long, name, rule, texts)
    # An array of texts gives every row as much memory as the longest text.
    keys = np.array([text[:LONGEST_ID] for text in texts])
    checks.refuse(empty | (keys == ""), name, "must not be empty", keys)
    return keys


def seconds(date: str) -> int:
    """Returns the first second of a day written as 2018-07-25."""
    return int(np.datetime64(date, "s").astype(np.int64))
