"""The feature table: what is known of each transaction when it happens.

The 15 features of the Fraud Detection Handbook (Le Borgne et al., 2022,
chapter 3): amount; weekend and night; per customer, number of transactions and
mean amount over 1, 7 and 30 days up to and including the transaction; per
terminal, number of transactions and share of fraud over the same spans, which
end `delay` days before it, since labels come late. Windows are open on the
left and closed on the right.

Ten more, strictly from the past too (`EXTENDED`). Of a customer: the mean
amount before this transaction, 30 days, and long before it, 60 to 14 days ago
(a stolen card raises the windows that end today); how many amounts of the last
14 days were unusual. Of a terminal (one that was broken into is repaired some
day): days since the first and the last known fraud in the windows' reach and
honest transactions since; days since the first known fraud of an ordinary
amount, which is a sign of the terminal and not of the card, and honest
transactions since; how many known frauds in a row are its latest transactions,
and days since this run began.

One function computes them, for a whole table or for one new transaction behind
its history: training and serving cannot drift apart.
"""

from collections.abc import Sequence

import numpy as np

from .transactions import DAY, Transactions
from .windows import Windows

WINDOWS = (1, 7, 30)  # Days.
NIGHT_ENDS = 6  # The last hour that counts as night, from 0.
# Sums are of whole numbers, so that they are the same in any order.
AMOUNT_UNIT = 1e-4

NAMES = (
    "amount",
    "weekend",
    "night",
    *(
        f"customer_{statistic}_{days}d"
        for days in WINDOWS
        for statistic in ("count", "mean")
    ),
    *(
        f"terminal_{statistic}_{days}d"
        for days in WINDOWS
        for statistic in ("count", "risk")
    ),
)


EXTENDED = (
    *NAMES,
    "customer_mean_before",
    "customer_mean_past",
    "terminal_first_fraud",
    "terminal_last_fraud",
    "terminal_honest_since",
    "customer_unusual_14d",
    "terminal_ordinary_fraud",
    "terminal_ordinary_honest_since",
    "terminal_fraud_run",
    "terminal_run_days",
)
PAST = (60, 14)  # Days: the span of `customer_mean_past`.
UNUSUAL = 2.5  # Times the customer's mean amount before.
UNUSUAL_DAYS = 14
NEVER = 40.0  # Days and transactions, where no fraud is known.


def names_of(
    extended: bool, has_customers: bool, has_terminals: bool
) -> tuple[str, ...]:
    """Returns the names of the features that a table's columns allow.

    Args:
        extended: Whether to take `EXTENDED`, not `NAMES`.
        has_customers: Whether the table has a column of customers.
        has_terminals: Whether it has a column of terminals.
    """
    missing = ("customer_",) * (not has_customers)
    missing += ("terminal_",) * (not has_terminals)
    return tuple(
        name
        for name in (EXTENDED if extended else NAMES)
        if not name.startswith(missing)
    )


def _is_extended(names: Sequence[str]) -> bool:
    """Tells whether any of the names is one of the ten more features."""
    return not set(names) <= set(NAMES)


def reach(delay: int, names: Sequence[str]) -> int:
    """Returns the days that the features look back."""
    longest = delay + max(WINDOWS)
    if not _is_extended(names):
        return longest
    # Whether a fraud was ordinary is judged by the 30 days before it.
    return max(longest + max(WINDOWS), PAST[0])


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
        start: The first row whose features are returned.
        names: Some of `EXTENDED`.

    Returns:
        `(num - start, len(names) + own columns) float32`: columns as in
        `names`, and then the table's own.
    """
    every = EXTENDED if _is_extended(names) else NAMES
    values = np.empty((len(table) - start, len(every)), np.float32)
    values[:, 0] = table.amount[start:]
    weekday = (table.day[start:] + 3) % 7  # 1970-01-01 was a Thursday.
    values[:, 1] = weekday >= 5
    values[:, 2] = table.time[start:] % DAY // 3600 <= NIGHT_ENDS
    units = np.rint(table.amount / AMOUNT_UNIT).astype(np.int64)
    of_customers = Windows(table.customer, table.time, units, start)
    of_terminals = Windows(table.terminal, table.time, table.fraud, start)
    late = of_terminals.until(delay * DAY)
    _fill_windows(values, of_customers, of_terminals, delay, late)
    if every is EXTENDED:
        oldest = of_terminals.until((delay + max(WINDOWS)) * DAY)
        habit = values[:, NAMES.index("customer_mean_30d")]
        values[:, 15:17] = _habits(of_customers, habit)
        values[:, 17:20] = _known_frauds(of_terminals, oldest, late)
        unusual = _unusual(table, units)
        cards = Windows(table.customer, table.time, unusual, start)
        recent = cards.until(UNUSUAL_DAYS * DAY)
        values[:, 20] = cards.between(recent, cards.here - 1)[1]
        ordinary = Windows(
            table.terminal, table.time, (table.fraud == 1) & ~unusual, start
        )
        values[:, 21:23] = _ordinary_frauds(
            ordinary, of_terminals, oldest, late
        )
        values[:, 23:] = _fraud_runs(of_terminals, oldest, late)
    if len(names) < len(every):
        values = values[:, [every.index(name) for name in names]]
    if not table.own.shape[1]:
        return values
    own = table.own[start:].astype(np.float32)
    return np.concatenate([values, own], axis=1)


def _fill_windows(
    values: np.ndarray,
    of_customers: Windows,
    of_terminals: Windows,
    delay: int,
    late: np.ndarray,
) -> None:
    """Fills in the counts, means and risks over `WINDOWS`.

    Args:
        values: The feature table, `(rows, features) float32`; changed in place.
        of_customers: Windows whose values are amounts in `AMOUNT_UNIT`.
        of_terminals: Windows whose values are the labels.
        delay: Days until a transaction's label is known.
        late: The position behind the last transaction whose label is known.
    """
    for index, days in enumerate(WINDOWS):
        count, total = of_customers.between(
            of_customers.until(days * DAY), of_customers.here
        )
        values[:, 3 + 2 * index] = count
        values[:, 4 + 2 * index] = total * AMOUNT_UNIT / count
        count, total = of_terminals.between(
            of_terminals.until((delay + days) * DAY), late
        )
        values[:, 9 + 2 * index] = count
        values[:, 10 + 2 * index] = total / np.maximum(count, 1)


def _habits(of_customers: Windows, habit: np.ndarray) -> np.ndarray:
    """Returns a customer's mean amounts just before and long before each row.

    Args:
        of_customers: Windows whose values are amounts in `AMOUNT_UNIT`.
        habit: `(rows,)` mean amounts that stand where a span has no
            transaction.

    Returns:
        `(rows, 2)`: the mean of the 30 days before the transaction, and of the
        days `PAST` before it.
    """
    month = of_customers.until(max(WINDOWS) * DAY)
    spans = (
        (month, of_customers.here - 1),
        tuple(of_customers.until(days * DAY) for days in PAST),
    )
    means = []
    for first, last in spans:
        count, total = of_customers.between(first, last)
        mean = total * AMOUNT_UNIT / np.maximum(count, 1)
        means.append(np.where(count > 0, mean, habit))
    return np.stack(means, axis=1)


def _known_frauds(
    of_terminals: Windows, oldest: np.ndarray, late: np.ndarray
) -> np.ndarray:
    """Returns what is known of the frauds at each row's terminal.

    Args:
        of_terminals: Windows whose values are the labels.
        oldest: The first position within reach.
        late: The position behind the last transaction whose label is known.

    Returns:
        `(rows, 3)`: days since the first and since the last known fraud, and
        the known honest transactions since the last.
    """
    first, last, any_fraud = of_terminals.marked(oldest, late)
    columns = [
        of_terminals.age(first) / DAY,
        of_terminals.age(last) / DAY,
        np.minimum(late - 1 - last, NEVER),
    ]
    return np.stack(
        [np.where(any_fraud, column, NEVER) for column in columns], axis=1
    )


def _unusual(table: Transactions, units: np.ndarray) -> np.ndarray:
    """Tells which amounts are far above the customer's mean before.

    Args:
        table: See `compute`.
        units: The table's amounts in `AMOUNT_UNIT`, `(num,) int64`.

    Returns:
        `(num,) bool`.
    """
    amounts = Windows(table.customer, table.time, units, 0)
    count, total = amounts.between(
        amounts.until(max(WINDOWS) * DAY), amounts.here - 1
    )
    # Without a month before, nothing is unusual.
    return (units * count > UNUSUAL * total) & (count > 0)


def _ordinary_frauds(
    ordinary: Windows,
    of_terminals: Windows,
    oldest: np.ndarray,
    late: np.ndarray,
) -> np.ndarray:
    """Returns what is known of frauds of ordinary amounts at the terminal.

    Args:
        ordinary: Windows whose values are 1 for frauds of ordinary amounts.
        of_terminals: Windows of the same rows; their values are the labels.
        oldest: The first position within reach.
        late: The position behind the last transaction whose label is known.

    Returns:
        `(rows, 2)`: days since the first such fraud, and the known honest
        transactions since.
    """
    first, _, any_fraud = ordinary.marked(oldest, late)
    count, frauds = of_terminals.between(np.minimum(first, late), late)
    columns = [ordinary.age(first) / DAY, np.minimum(count - frauds, NEVER)]
    return np.stack(
        [np.where(any_fraud, column, NEVER) for column in columns], axis=1
    )


def _fraud_runs(
    of_terminals: Windows, oldest: np.ndarray, late: np.ndarray
) -> np.ndarray:
    """Returns the run of known frauds that a terminal's known rows end with.

    Args:
        of_terminals: Windows whose values are the labels.
        oldest: The first position within reach.
        late: The position behind the last transaction whose label is known.

    Returns:
        `(rows, 2)`: the number of frauds in the run, and days since it began.
    """
    begin = of_terminals.run(oldest, late)
    days = of_terminals.age(np.minimum(begin, late - 1)) / DAY
    run = late - begin
    return np.stack([run, np.where(run > 0, days, NEVER)], axis=1)
