"""The feature table: what is known of each transaction when it happens.

The 15 features of the Fraud Detection Handbook (Le Borgne et al., 2022,
chapter 3): amount; weekend and night; per customer, number of transactions and
mean amount over 1, 7 and 30 days up to and including the transaction; per
terminal, number of transactions and share of fraud over the same spans, which
end `delay` days before it, since labels come late. Windows are open on the
left and closed on the right.

Five more, strictly from the past too (`EXTENDED`): a customer's mean amount
before this transaction, 30 days, and long before it, 60 to 14 days ago (a
stolen card raises the windows that end today); for a terminal, days since the
first and the last known fraud in the windows' reach and honest transactions
since (a terminal that was broken into is repaired some day).

One function computes them, for a whole table or for one new transaction behind
its history: training and serving cannot drift apart.
"""

from collections.abc import Sequence

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


EXTENDED = (
    *NAMES,
    "customer_mean_before",
    "customer_mean_past",
    "terminal_first_fraud",
    "terminal_last_fraud",
    "terminal_honest_since",
)
PAST = (60, 14)  # Days: the span of `customer_mean_past`.
NEVER = 40.0  # Days and transactions, where no fraud is known.


def reach(delay: int, names: Sequence[str]) -> int:
    """Returns the days that the features look back."""
    longest = delay + max(WINDOWS)
    return max(longest, PAST[0]) if "customer_mean_past" in names else longest


def compute(
    table: Transactions,
    delay: int,
    start: int = 0,
    names: Sequence[str] = NAMES,
) -> np.ndarray:
    """Returns the features of the transactions from row `start` on.

    Args:
        table: Transactions in the order of time; those before `start` are
            their history.
        delay: Days until a transaction's label is known.
        start: The first row wanted.
        names: `NAMES` or `EXTENDED`.

    Returns:
        `(num - start, len(names)) float32`, columns as in `names`.
    """
    found = np.empty((len(table) - start, len(names)), np.float32)
    found[:, 0] = table.amount[start:]
    weekday = (table.day[start:] + 3) % 7  # 1970-01-01 was a Thursday.
    found[:, 1] = weekday >= 5
    found[:, 2] = table.time[start:] % DAY // 3600 <= NIGHT_ENDS
    units = np.rint(table.amount / AMOUNT_UNIT).astype(np.int64)
    of_customers = Windows(table.customer, table.time, units, start)
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
    if len(names) > len(NAMES):
        habit = found[:, NAMES.index("customer_mean_30d")]
        found[:, 15:17] = _habits(of_customers, habit)
        found[:, 17:] = _known_frauds(of_terminals, delay, late)
    return found


def _habits(of_customers: "Windows", habit: np.ndarray) -> np.ndarray:
    """Returns the mean amounts before this one and long before it.

    Where there is none, `habit`.
    """
    month = of_customers.until(max(WINDOWS) * DAY)
    spans = (
        (month, of_customers.here - 1),
        tuple(of_customers.until(days * DAY) for days in PAST),
    )
    found = []
    for first, last in spans:
        count, total = of_customers.between(first, last)
        mean = total * AMOUNT_UNIT / np.maximum(count, 1)
        found.append(np.where(count > 0, mean, habit))
    return np.stack(found, axis=1)


def _known_frauds(
    of_terminals: "Windows", delay: int, late: np.ndarray
) -> np.ndarray:
    """Returns days since the first and last known fraud, and honest ones since.

    Args:
        of_terminals: Windows whose values are the labels.
        delay: Days until labels are known.
        late: The position behind what is known.
    """
    start = of_terminals.until((delay + max(WINDOWS)) * DAY)
    first, last, some = of_terminals.marked(start, late)
    found = [
        of_terminals.age(first) / DAY,
        of_terminals.age(last) / DAY,
        np.minimum(late - 1 - last, NEVER),
    ]
    return np.stack([np.where(some, one, NEVER) for one in found], axis=1)


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

    def age(self, position: np.ndarray) -> np.ndarray:
        """Returns how many seconds ago the row at each position was."""
        return self._time[self._start :] - self._in_order[position]
