"""Counts and sums over spans of time, of every row of a table at once."""

import numpy as np


class Windows:
    """Counts and sums over spans of time before each row, by group.

    Rows are sorted by group and time once; a span is then a pair of positions
    in that order, and its sum a difference of two running totals.

    Attributes:
        here: For each row from `start` on, the position behind it in that
            order, `(num - start,) int64`.
    """

    def __init__(
        self, group: np.ndarray, time: np.ndarray, value: np.ndarray, start: int
    ) -> None:
        """Sorts the rows by group and time.

        Args:
            group: `(num,)` integers from 0 on.
            time: `(num,) int64` seconds, ascending.
            value: `(num,)` integers to be added up.
            start: The first row whose spans are computed.
        """
        self._time = time - time[0]
        # Longer than any span, so that a span never reaches another group.
        self._step = int(self._time[-1]) + 1
        order = np.argsort(group, kind="stable")  # Ties keep the rows' order.
        self._group = group.astype(np.int64)
        self._sorted = (self._group * self._step + self._time)[order]
        self._total = np.concatenate([[0], np.cumsum(value[order], dtype="i8")])
        self._marks = np.flatnonzero(value[order])
        zero = np.where(value[order] == 0, np.arange(1, len(order) + 1), 0)
        self._zero_before = np.concatenate([[0], np.maximum.accumulate(zero)])
        self._in_order = self._time[order]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        self.here = place[start:] + 1
        self._wanted = order[order >= start]
        self._start = start

    def until(self, ago: int) -> np.ndarray:
        """Returns the positions behind rows at least `ago` seconds old.

        Args:
            ago: Seconds before each row from `start` on.

        Returns:
            `(num - start,) int64`: a position for each of those rows.
        """
        group = self._group[self._wanted]
        # A time before the first row must not reach into the group before.
        when = np.maximum(self._time[self._wanted] - ago, -1)
        keys = group * self._step + when
        positions = np.empty(len(keys), np.int64)
        # Looked up in the sorted order, neighbours are in the cache.
        positions[self._wanted - self._start] = np.searchsorted(
            self._sorted, keys, side="right"
        )
        return positions

    def between(
        self, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns count and sum of the rows from `first` to before `last`."""
        return last - first, self._total[last] - self._total[first]

    def marked(
        self, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns where the first and last values other than 0 are.

        Args:
            first: Positions of the spans' beginnings.
            last: Positions behind the spans' ends.

        Returns:
            The positions of the first and of the last such value, and whether
            the span has any; if not, its two positions mean nothing.
        """
        if not len(self._marks):
            return first, first, np.zeros(len(first), bool)
        first_mark = np.searchsorted(self._marks, first)
        last_mark = np.searchsorted(self._marks, last) - 1
        limit = len(self._marks) - 1
        return (
            self._marks[np.clip(first_mark, 0, limit)],
            self._marks[np.clip(last_mark, 0, limit)],
            first_mark <= last_mark,
        )

    def run(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Returns where the run of values other than 0 at spans' ends begins.

        Args:
            first: Positions of the spans' beginnings.
            last: Positions behind the spans' ends.

        Returns:
            Positions; `last` where a span ends with a 0 or is empty.
        """
        return np.maximum(first, self._zero_before[last])

    def age(self, position: np.ndarray) -> np.ndarray:
        """Returns how many seconds ago the row at each position was."""
        return self._time[self._start :] - self._in_order[position]
