"""The feature table: what is known of each transaction when it happens.

The 15 features of the Fraud Detection Handbook (Le Borgne et al., 2022,
chapter 3): amount; weekend and night; per customer, number of transactions and
mean amount over 1, 7 and 30 days up to and including the transaction; per
terminal, number of transactions and share of fraud over the same spans, which
end `delay` days before it, since labels come late. Windows are open on the
left and closed on the right.

One function computes them, for a whole table or for one new transaction behind
its history: training and serving cannot drift apart.
"""

import numpy as np

from apps.fraud_detect.transactions import DAY, Transactions

WINDOWS = (1, 7, 30)  # Days.
NIGHT_ENDS = 6  # The last hour that counts as night, from 0.
# Sums are of whole numbers, so that they are the same in any order.
AMOUNT_UNIT = 1e-4

NAMES = (
    "amount",
    "weekend",
    "night",
    *(
        f"customer_{what}_{days}d"
        for days in WINDOWS
        for what in ("count", "mean")
    ),
    *(
        f"terminal_{what}_{days}d"
        for days in WINDOWS
        for what in ("count", "risk")
    ),
)


def compute(table: Transactions, delay: int, start: int = 0) -> np.ndarray:
    """Returns the features of the transactions from row `start` on.

    Args:
        table: Transactions in the order of time; those before `start` are
            their history.
        delay: Days until a transaction's label is known.
        start: The first row wanted.

    Returns:
        `(num - start, len(NAMES)) float32`, columns as in `NAMES`.
    """
    found = np.empty((len(table) - start, len(NAMES)), np.float32)
    found[:, 0] = table.amount[start:]
    weekday = (table.day[start:] + 3) % 7  # 1970-01-01 was a Thursday.
    found[:, 1] = weekday >= 5
    found[:, 2] = table.time[start:] % DAY // 3600 <= NIGHT_ENDS
    cents = np.rint(table.amount / AMOUNT_UNIT).astype(np.int64)
    of_customers = Windows(table.customer, table.time, cents, start)
    of_terminals = Windows(table.terminal, table.time, table.fraud, start)
    late = of_terminals.until(delay * DAY)
    for index, days in enumerate(WINDOWS):
        count, total = of_customers.between(
            of_customers.until(days * DAY), of_customers.here
        )
        found[:, 3 + 2 * index] = count
        found[:, 4 + 2 * index] = total * AMOUNT_UNIT / count
        count, total = of_terminals.between(
            of_terminals.until((delay + days) * DAY), late
        )
        found[:, 9 + 2 * index] = count
        found[:, 10 + 2 * index] = total / np.maximum(count, 1)
    return found


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
