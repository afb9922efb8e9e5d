"""Sequences: a customer's last transactions, the present one last."""

import numpy as np

from .transactions import DAY, Transactions

STEPS_WITHIN = 30  # Days: older transactions are no part of a sequence.


def previous(table: Transactions, steps: int) -> np.ndarray:
    """Returns the rows of each customer's last transactions.

    Args:
        table: Transactions in the order of time.
        steps: The length of a sequence, the row itself included.

    Returns:
        `(num, steps) int64`, the row itself last; -1 where the customer has no
        more transactions within `STEPS_WITHIN` days.
    """
    order = np.argsort(table.customer, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    places = place[:, None] + np.arange(1 - steps, 1)
    rows = order[np.maximum(places, 0)]
    old = table.time[rows] <= table.time[:, None] - STEPS_WITHIN * DAY
    other = table.customer[rows] != table.customer[:, None]
    return np.where((places < 0) | old | other, -1, rows)
