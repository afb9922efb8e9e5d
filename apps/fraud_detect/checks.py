"""Checks of a user's rows: bad ones are an error, or left out and counted."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.options import InputError, quote


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
            raise InputError(f"{self._path} must have good rows; it has none.")
        return np.flatnonzero(self._good)

    def leave_out(self, rows: np.ndarray, reason: str) -> None:
        """Leaves rows out in any case, and notes their number.

        Args:
            rows: `(num,) bool`.
            reason: The end of a note such as "12 rows left out: ...".
        """
        rows = rows & self._good
        if rows.any():
            self._good &= ~rows
            self.notes.append(f"{int(rows.sum())} rows left out: {reason}.")


@contextlib.contextmanager
def one_reading(column: str, option: str) -> Iterator[None]:
    """Refuses a column whose cells can be read in two ways.

    Args:
        column: The column's name.
        option: The option that tells which way is meant.

    Raises:
        InputError: In place of the ValueError that says so.
    """
    try:
        yield
    except ValueError as error:
        raise InputError(
            f"column {column} must have one reading; {error}, or pass {option}."
        ) from None
