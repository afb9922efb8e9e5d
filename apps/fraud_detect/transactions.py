"""Transactions as columns in the order of time, read from a user's table."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from common.data import cells, tables
from common.options import InputError, quote

from .settings import Columns

DAY = 86_400  # Seconds.
LONGEST_ID = 200  # Characters.


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
    """

    time: np.ndarray
    customer: np.ndarray
    terminal: np.ndarray
    amount: np.ndarray
    fraud: np.ndarray
    ids: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray

    ROWS = ("time", "customer", "terminal", "amount", "fraud", "ids")

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


def read(
    path: str | Path,
    columns: Columns,
    skip_bad: bool,
    option: str = "--dataset",
) -> tuple[Transactions, list[str]]:
    """Reads transactions and puts them into the order of time, then of ids.

    Args:
        path: The table's file; see `tables.read`.
        columns: The names in the table.
        skip_bad: Whether bad rows are left out and counted, or an error.
        option: The option that named the file, for error messages.

    Returns:
        The transactions, and notes on what was repaired, one line each.

    Raises:
        InputError: If a column is missing or a row is bad.
    """
    wanted = [name for name in dataclasses.astuple(columns) if name]
    keys = [name for name in (columns.customer, columns.terminal) if name]
    table = tables.read(path, wanted, keys, option)
    checks = Checks(Path(path), table.num_rows, skip_bad)
    time = _times(table[columns.time], columns.time, checks)
    amount = numbers(table[columns.amount], columns.amount, checks)
    checks.refuse(amount < 0, columns.amount, "must not be negative", amount)
    fraud = _labels(table, columns.label, checks)
    ids = _ids(table, columns.id, checks)
    customer_ids = _keys(table[columns.customer], columns.customer, checks)
    terminal_ids = _keys(table[columns.terminal], columns.terminal, checks)
    kept = checks.good_rows()
    # Equal times are ordered by id: the order in the file may be arbitrary.
    order = kept[np.lexsort((ids[kept], time[kept]))]
    late = int(np.sum(np.diff(time[kept]) < 0))
    if late:
        checks.notes.append(
            f"{late} rows came before an earlier one; all were sorted by time."
        )
    customers, customer = np.unique(customer_ids[order], return_inverse=True)
    terminals, terminal = np.unique(terminal_ids[order], return_inverse=True)
    return Transactions(
        time[order],
        customer,
        terminal,
        amount[order],
        fraud[order].astype(np.int8),
        ids[order],
        customers,
        terminals,
    ), checks.notes


class Checks:
    """Counts bad rows and leaves them out, or raises an error at the first.

    Attributes:
        notes: The numbers of rows left out, one line per rule.
    """

    def __init__(self, path: Path, num: int, skip_bad: bool) -> None:
        self.notes: list[str] = []
        self._path, self._skip = path, skip_bad
        self._good = np.ones(num, bool)

    def refuse(
        self,
        bad: np.ndarray,
        column: str,
        rule: str,
        values: Sequence[Any] | np.ndarray,
    ) -> None:
        """Marks the rows where `bad` as unusable.

        Args:
            bad: `(num,) bool`.
            column: The column's name.
            rule: The rule for the column's values, as in "must not be empty".
            values: The column's values, `(num,)`, to be quoted in the message.

        Raises:
            InputError: If bad rows are not to be skipped.
        """
        bad = bad & self._good
        if not bad.any():
            return
        first, count = int(np.argmax(bad)), int(bad.sum())
        if not self._skip:
            raise InputError(
                f"{column} {rule}; row {first + 1} of {self._path} has "
                f"{quote(str(values[first]))} (bad rows: {count}). Mend it, or "
                "pass --on_bad_input=skip."
            )
        self._good &= ~bad
        self.notes.append(f"{count} rows left out: {column} {rule}.")

    def good_rows(self) -> np.ndarray:
        """Returns the indices of the rows that are not bad.

        Raises:
            InputError: If all rows are bad.
        """
        if not self._good.any():
            raise InputError(f"--dataset must have good rows; {self._path} "
                             "has none.")  # fmt: skip
        return np.flatnonzero(self._good)


def numbers(column: pa.ChunkedArray, name: str, checks: Checks) -> np.ndarray:
    """Returns a column as `(num,) float64`; refuses all but finite numbers."""
    shown: Any
    if _is_number(column.type):
        # Integers beyond 2**53 become the nearest float64.
        shown = values = column.cast(pa.float64(), safe=False).to_numpy()
    else:
        shown = column.to_pylist()
        with _one_reading(name):
            values = cells.numbers(shown)
    checks.refuse(~np.isfinite(values), name, "must be a number", shown)
    return values


def _labels(table: pa.Table, column: str, checks: Checks) -> np.ndarray:
    """Returns the labels as zeros and ones; zeros without such a column."""
    if not column:
        return np.zeros(table.num_rows)
    if _is_number(table[column].type):
        shown = fraud = numbers(table[column], column, checks)
    else:
        shown = table[column].to_pylist()
        fraud = cells.truths(shown)
    invalid = (fraud != 0) & (fraud != 1)
    checks.refuse(invalid, column, "must be 0 or 1, or yes or no", shown)
    return np.where(invalid, 0, fraud)


def _ids(table: pa.Table, column: str, checks: Checks) -> np.ndarray:
    """Returns the transactions' ids; row numbers without such a column."""
    if not column:
        return np.arange(table.num_rows)
    ids = _keys(table[column], column, checks)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    checks.refuse(repeated, column, "must be unique", ids)
    return ids


@contextlib.contextmanager
def _one_reading(column: str) -> Iterator[None]:
    """Refuses a column whose cells can be read in two ways.

    Raises:
        InputError: In place of the ValueError that says so.
    """
    try:
        yield
    except ValueError as error:
        raise InputError(
            f"column {column} must have one reading; {error}."
        ) from None


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _times(column: pa.ChunkedArray, name: str, checks: Checks) -> np.ndarray:
    """Returns a column of times as whole seconds since 1970-01-01."""
    rule = "must be a date and time such as 2018-07-25 13:05:00"
    if _is_number(column.type):
        values = np.nan_to_num(cells.seconds(numbers(column, name, checks)))
        too_far = np.abs(values) > cells.LAST_SECOND
        checks.refuse(
            too_far, name, "must be seconds, up to the year 2200", values
        )
        return np.floor(np.where(too_far, 0, values)).astype(np.int64)
    if not (
        pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    ):
        texts = column.to_pylist()
        with _one_reading(name):
            times = cells.times(texts)
        checks.refuse(np.isnat(times), name, rule, texts)
        return times.astype(np.int64)
    times = column.to_numpy().astype("datetime64[s]")
    checks.refuse(np.isnat(times), name, rule, times)
    return times.astype(np.int64)


def _keys(column: pa.ChunkedArray, name: str, checks: Checks) -> np.ndarray:
    """Returns a column of ids, as integers or as text."""
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
