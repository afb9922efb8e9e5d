"""Quoted cells of delimited text, checked while the text is read.

A quote that never closes makes a cell of all that follows, up to the next quote
or the end of the file: rows would be lost without an error.
"""

import codecs
from typing import Any

import numpy as np

BLOCK_BYTES = 2**20
QUOTE, LINE_FEED, RETURN = b'"\n\r'


def _ends(block: bytes, before: int) -> np.ndarray:
    """Returns the places of the bytes that end a line, `(num,) int64`.

    A line feed, a carriage return, or the first of the two together ends one.

    Args:
        block: The bytes.
        before: The byte before.
    """
    content = np.frombuffer(block, np.uint8)
    feeds = content == LINE_FEED
    if len(content) and before == RETURN:
        feeds[0] = False
    if b"\r" not in block:  # This search costs a tenth of the comparisons.
        return np.flatnonzero(feeds)
    returns = content == RETURN
    feeds[1:] &= ~returns[:-1]
    return np.flatnonzero(feeds | returns)


def _num_ends(block: bytes, before: int) -> int:
    """Returns the number of `_ends`."""
    if b"\r" in block:
        return len(_ends(block, before))
    return block.count(b"\n") - (before == RETURN and block[:1] == b"\n")


class CountedFile:
    """A file whose lines are counted while it is read.

    If there are as many lines as rows, no cell has several lines, and quotes
    need no further check: counting costs a tenth of it.

    Attributes:
        closed: Always false, for readers that ask: who opened the file closes
            it.
    """

    closed = False

    def __init__(self, file: Any) -> None:
        """Makes the file of one that is open for reading bytes."""
        self._file = file
        self._has_quotes = False
        self._num_ends = 0
        self._last = LINE_FEED

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes of the file."""
        block: bytes = self._file.read(size)
        if block:
            self._num_ends += _num_ends(block, self._last)
            self._has_quotes = self._has_quotes or b'"' in block
            self._last = block[-1]
        return block

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def may_have_long_cells(self, num_rows: int) -> bool:
        """Tells whether a cell may have several lines.

        Args:
            num_rows: The rows that were read from the whole file, with the
                header.
        """
        num_lines = self._num_ends + (self._last not in (LINE_FEED, RETURN))
        return self._has_quotes and num_lines != num_rows


def check(file: Any, separator: str, most_lines: int, has_header: bool) -> None:
    """Reads a file and refuses broken quotes; see `CheckedFile`."""
    checked = CheckedFile(file, separator, most_lines, has_header)
    while checked.read(BLOCK_BYTES):
        pass


class CheckedFile:
    """A file of delimited text whose quoted cells are checked as it is read.

    A quote opens a cell where the cell begins, and only there. A cell must
    close, have at most so many lines, and end behind its second quote if it has
    several lines. `read` raises a ValueError that names the row otherwise.
    """

    def __init__(
        self, file: Any, separator: str, most_lines: int, has_header: bool
    ) -> None:
        """Makes the file.

        Args:
            file: The file, open for reading UTF-8 bytes.
            separator: The separator, one byte.
            most_lines: The most lines of a cell.
            has_header: Whether the first row has the names of the columns.
        """
        self._file, self._most = file, most_lines
        self._separator = ord(separator)
        self._num_rows = -int(has_header)  # Those that ended, but the header.
        self._num_lines = 0
        self._rest = b""  # Quotes at the end of a block: more may follow.
        self._before = LINE_FEED  # The byte before the block.
        self._last_end = -1  # The last line end before, from the block's start.
        self._is_open = False
        self._open_at = (0, 0, 0)  # Row and line of the cell; its line ends.
        self._is_start = True

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes of the file."""
        block: bytes = self._file.read(size)
        checked = self._rest + block if self._rest else block
        if self._is_start:
            checked = checked.removeprefix(codecs.BOM_UTF8)
            self._is_start = False
        if block and checked.endswith(b'"'):
            num = len(checked.rstrip(b'"'))
            checked, self._rest = checked[:num], checked[num:]
        else:
            self._rest = b""
        if checked:
            self._check(checked)
        if not block and self._is_open:
            self._refuse("has a quote that opens a cell and never closes")
        return block

    def _check(self, block: bytes) -> None:
        """Checks the cells of a block, which ends outside a run of quotes."""
        content = np.frombuffer(block, np.uint8)
        ends = _ends(block, self._before)
        if self._is_open or b'"' in block:
            is_inside = self._check_quotes(content, ends)
        else:
            is_inside = np.zeros(len(ends), bool)
        rows = ~is_inside & ~self._are_empty(content, ends)
        self._num_rows += int(rows.sum())
        self._num_lines += len(ends)
        last = int(ends[-1]) if len(ends) else self._last_end
        self._last_end = last - len(content)
        self._before = int(content[-1])

    def _are_empty(self, content: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Tells which lines are empty, `(num,) bool`; readers skip those."""
        lengths = np.diff(ends, prepend=self._last_end) - 1
        previous = np.where(ends > 0, content[ends - 1], self._before)
        # The line feed behind a carriage return is part of that line's end.
        return (lengths == 0) | ((lengths == 1) & (previous == LINE_FEED))

    def _are_borders(self, bytes_: np.ndarray) -> np.ndarray:
        """Tells which bytes stand between cells, `(num,) bool`."""
        return (
            (bytes_ == self._separator)
            | (bytes_ == LINE_FEED)
            | (bytes_ == RETURN)
        )

    def _check_quotes(
        self, content: np.ndarray, ends: np.ndarray
    ) -> np.ndarray:
        """Checks the quoted cells; returns which line ends are inside them.

        Quotes side by side are a run. Inside a cell two quotes stand for one,
        so only runs of an odd length open or close a cell. Such a run where a
        cell begins opens it, or closes an open one; any other such run can only
        close. The state behind a run is therefore the parity of the runs of the
        first kind since the last one of the second.
        """
        quotes = np.flatnonzero(content == QUOTE)
        is_first = np.diff(quotes, prepend=-2) > 1
        starts = quotes[is_first]
        lengths = np.diff(np.append(np.flatnonzero(is_first), len(quotes)))
        before = np.where(starts > 0, content[starts - 1], self._before)
        begins = self._are_borders(before)
        is_odd = lengths % 2 == 1
        toggles = np.cumsum(is_odd & begins) + self._is_open
        resets = np.where(is_odd & ~begins, toggles, 0)
        after = (toggles - np.maximum.accumulate(resets)) % 2 == 1
        states = np.concatenate([[self._is_open], after])
        is_inside = states[np.searchsorted(starts, ends)]
        opens = starts[after & ~states[:-1]]
        closes = (starts + lengths - 1)[states[:-1] & ~after]
        self._check_cells(content, ends, is_inside, opens, closes)
        return is_inside

    def _check_cells(
        self,
        content: np.ndarray,
        ends: np.ndarray,
        is_inside: np.ndarray,
        opens: np.ndarray,
        closes: np.ndarray,
    ) -> None:
        """Refuses the first cell that is too long or ends behind its quote."""
        num_before = self._open_at[2] if self._is_open else 0
        before = np.full(int(self._is_open), -1)
        first = np.concatenate([before, opens])
        still = np.full(len(first) - len(closes), len(content))
        last = np.concatenate([closes, still])
        num_ends = np.searchsorted(ends, last) - np.searchsorted(ends, first)
        if len(first):
            num_ends[0] += num_before
        has_text = last + 1 < len(content)
        behind = content[np.where(has_text, last + 1, 0)]
        is_cut = has_text & (num_ends > 0) & ~self._are_borders(behind)
        is_long = num_ends >= self._most
        bad = np.flatnonzero(is_cut | is_long)
        cell = int(bad[0]) if len(bad) else len(first) - 1
        if cell >= 0 and first[cell] >= 0:
            rows = ~is_inside & ~self._are_empty(content, ends)
            place = int(np.searchsorted(ends, first[cell]))
            row = self._num_rows + int(rows[:place].sum()) + 1
            self._open_at = (row, self._num_lines + place + 1, 0)
        if len(bad):
            self._refuse(
                f"has a cell of more than {self._most} lines; its quote "
                "probably never closes, else raise --max_cell_lines"
                if is_long[cell]
                else "has a quoted cell of several lines with text behind its "
                "second quote; a quote is probably missing"
            )
        self._is_open = len(first) > len(closes)
        if self._is_open:
            self._open_at = (*self._open_at[:2], int(num_ends[-1]))

    def _refuse(self, fault: str) -> None:
        """Raises the error of the cell at `_open_at`."""
        row, line, _ = self._open_at
        place = (
            f"row {row} (line {line})" if row else f"the header (line {line})"
        )
        raise ValueError(f"{place} {fault}")
