"""Counts and sums over spans of time, of every row of a table at once."""

import numpy as np


class Windows:
    """Counts and sums over spans of time before each row, by group.

    Rows are sorted by group and time once; a span is then a pair of positions
    in that order, and its sum a difference of two running totals.

    Attributes:
        here: The position behind each wanted row, in that order.
    """

    def __init__(
        self, group: np.ndarray, time: np.ndarray, value: np.ndarray, start: int
    ) -> None:
        """Sorts.

        Args:
            group: `(num,)` integers from 0 on.
            time: `(num,) int64` seconds, ascending.
            value: `(num,)` integers to be added up.
            start: The first row whose spans are wanted.
        """
        self._time = time - time[0]
        # Beyond the longest span there is, so that groups do not touch.
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
        """Returns the position behind what is at least `ago` seconds old."""
        group = self._group[self._wanted]
        # A time before the first row must not reach into the group before.
        when = np.maximum(self._time[self._wanted] - ago, -1)
        keys = group * self._step + when
        found = np.empty(len(keys), np.int64)
        # Looked up in the sorted order, neighbours are in the cache.
        found[self._wanted - self._start] = np.searchsorted(
            self._sorted, keys, side="right"
        )
        return found

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
            first: Positions.
            last: Positions behind the spans' ends.

        Returns:
            Two positions, and whether there is any; where there is none, the
            positions mean nothing.
        """
        if not len(self._marks):
            return first, first, np.zeros(len(first), bool)
        one = np.searchsorted(self._marks, first)
        other = np.searchsorted(self._marks, last) - 1
        limit = len(self._marks) - 1
        return (
            self._marks[np.clip(one, 0, limit)],
            self._marks[np.clip(other, 0, limit)],
            one <= other,
        )

    def run(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Returns where the values other than 0 at the end of spans begin.

        Args:
            first: Positions.
            last: Positions behind the spans' ends: the result if the last
                value is 0, or there is none.
        """
        return np.maximum(first, self._zero_before[last])

    def age(self, position: np.ndarray) -> np.ndarray:
        """Returns how many seconds ago the row at each position was."""
        return self._time[self._start :] - self._in_order[position]
