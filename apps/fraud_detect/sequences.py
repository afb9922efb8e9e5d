"""Sequences: a customer's last transactions, this one the last."""

import numpy as np

from .transactions import DAY, Transactions

STEPS_WITHIN = 30  # Days: older transactions are no part of a sequence.


def previous(table: Transactions, steps: int) -> np.ndarray:
    """Returns the rows of each customer's last transactions.

    Args:
        table: Transactions in the order of time.
        steps: How many, the row itself included.

    Returns:
        `(num, steps) int64`, the row itself last; -1 where the customer has no
        more of them within `STEPS_WITHIN` days.
    """
    order = np.argsort(table.customer, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    found = place[:, None] + np.arange(1 - steps, 1)
    rows = order[np.maximum(found, 0)]
    old = table.time[rows] <= table.time[:, None] - STEPS_WITHIN * DAY
    other = table.customer[rows] != table.customer[:, None]
    return np.where((found < 0) | old | other, -1, rows)
