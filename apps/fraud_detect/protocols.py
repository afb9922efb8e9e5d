"""The transactions that train a model, and those that judge it.

The protocol of the Fraud Detection Handbook (Le Borgne et al., 2022, chapters 3
and 5): a span trains, a span as long as the delay of labels is skipped, the
next span tests. Cards that are known to be compromised would be blocked in
practice: their customers are left out of the test.
"""

import dataclasses

import numpy as np

from common.options import InputError

from .transactions import DAY, Transactions, seconds

WEEK = 7


@dataclasses.dataclass(frozen=True)
class Fold:
    """The data of one training, of its validation and test, as rows of a table.

    Attributes:
        train: Rows that the model is fitted to, `(num,) int64`.
        valid: Rows for every choice: epochs, thresholds, the file to ship.
        test: Rows whose metrics are reported.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


# First days of the weeks of each fold: train, valid, test. The weeks that
# choose (epochs, thresholds, files) lie before those that train, as in the
# Handbook, whose settings are tuned on weeks before.
PROTOCOLS = {
    "handbook_p1": (("2018-07-25", "2018-07-11", "2018-08-08"),),
    "handbook_p2": (("2018-07-11", "2018-06-27", "2018-07-25"),),
    "handbook_p3": (
        ("2018-07-25", "2018-07-11", "2018-08-08"),
        ("2018-08-01", "2018-07-18", "2018-08-15"),
        ("2018-08-08", "2018-07-25", "2018-08-22"),
        ("2018-08-15", "2018-08-01", "2018-08-29"),
    ),
}


def handbook_fold(
    table: Transactions, train: str, valid: str, test: str, delay: int
) -> Fold:
    """Returns the rows of a fold of weeks that begin on the given days.

    Args:
        table: All transactions.
        train: The first day of the training week, as in 2018-07-25.
        valid: The first day of the validation week.
        test: The first day of the test week.
        delay: Days until labels are known.

    Raises:
        InputError: If a week has no transaction.
    """
    fold = Fold(
        between(table, seconds(train), WEEK),
        judged(table, seconds(valid), WEEK, WEEK, delay),
        judged(table, seconds(test), WEEK, WEEK, delay),
    )
    for rows, start in zip(
        dataclasses.astuple(fold), (train, valid, test), strict=True
    ):
        if not len(rows):
            raise InputError(
                f"--protocol must be one whose weeks are in the data; the week "
                f"of {start} has no transaction. Use --protocol=time for data "
                "of your own."
            )
    return fold


def time_fold(
    table: Transactions, train_days: int, test_days: int, delay: int
) -> Fold:
    """Returns the rows of a split by time: train, valid and test.

    Between them are gaps as long as labels take to come.

    Args:
        table: All transactions.
        train_days: Days that train; 0 for all days before the gap.
        test_days: Days at the end that test; as many days validate.
        delay: Days until labels are known.

    Raises:
        InputError: If the table spans too few days.
    """
    end = (int(table.day[-1]) + 1) * DAY
    test = end - test_days * DAY
    valid = test - (delay + test_days) * DAY
    train_end = valid - delay * DAY
    start = train_end - train_days * DAY if train_days else int(table.time[0])
    days = -(-(train_end - start) // DAY)
    if days < 1 or start < table.day[0] * DAY:
        needed = 2 * (delay + test_days) + max(train_days, 1)
        raise InputError(
            f"--dataset must span {needed} days for --train_days={train_days} "
            f"--test_days={test_days} --delay={delay}; it spans "
            f"{int(table.day[-1] - table.day[0]) + 1}."
        )
    return Fold(
        between(table, train_end - days * DAY, days),
        judged(table, valid, test_days, test_days, delay),
        judged(table, test, test_days, test_days, delay),
    )


def between(table: Transactions, start: int, days: int) -> np.ndarray:
    """Returns the rows of `days` days from `start`, in seconds."""
    first, last = np.searchsorted(table.time, (start, start + days * DAY))
    return np.arange(first, last)


def judged(
    table: Transactions, start: int, days: int, train_days: int, delay: int
) -> np.ndarray:
    """Returns the rows of a span that may judge a model.

    Left out are customers with a fraud that is known by then: a fraud in the
    span that would train, or, for each day of the span, one that happened at
    least `delay` + 1 days earlier, from `start` - `delay` - 1 days on.

    Args:
        table: All transactions.
        start: The first second of the span.
        days: The length of the span.
        train_days: The length of the span that trains, which ends `delay` days
            before `start`.
        delay: Days until labels are known.
    """
    known = np.zeros(len(table.customers), bool)
    _note(known, table, start - (delay + train_days) * DAY, train_days)
    kept = []
    for day in range(days):
        today = start + day * DAY
        _note(known, table, today - (delay + 1) * DAY, 1)
        rows = between(table, today, 1)
        kept.append(rows[~known[table.customer[rows]]])
    return np.concatenate(kept)


def _note(
    known: np.ndarray, table: Transactions, start: int, days: int
) -> None:
    """Adds the customers with a fraud in a span to `known`, in place."""
    rows = between(table, start, days)
    known[table.customer[rows[table.fraud[rows] == 1]]] = True
