"""Folds: the data of a training, of its validation and its test."""

import dataclasses

import numpy as np

from common.data.splits import MemorySplit, Splits
from common.table_options import ANY_FORMAT, TableFormat

from .history import History
from .own_columns import Column

CLASSES = ("honest", "fraud")


@dataclasses.dataclass(frozen=True)
class FraudSplits(Splits):
    """Splits in memory; a label is 1 for fraud."""

    train: MemorySplit
    valid: MemorySplit
    test: MemorySplit


@dataclasses.dataclass(frozen=True)
class Judged:
    """The labels, customers, days and ids of a split's transactions.

    Attributes:
        fraud: 1 for fraud, 0 for none, `(num,)` integers.
        customer: The customers' indices, `(num,)` integers.
        day: Whole days since 1970-01-01, `(num,)` integers.
        ids: The user's ids of the transactions, `(num,)`.
        groups: The cells of the columns of `--slice_by`, `(num, columns)`
            objects.
    """

    fraud: np.ndarray
    customer: np.ndarray
    day: np.ndarray
    ids: np.ndarray
    groups: np.ndarray

    def pick(self, rows: np.ndarray) -> "Judged":
        """Returns the same arrays for the transactions at `rows` only."""
        return Judged(*(array[rows] for array in vars(self).values()))


@dataclasses.dataclass(frozen=True)
class Fold:
    """The data of one training, and of its validation and test.

    Attributes:
        splits: Features `(num, features)`, or `(num, steps, features)`.
        valid: Labels, customers, days and ids of `splits.valid`.
        test: Labels, customers, days and ids of `splits.test`.
    """

    splits: FraudSplits
    valid: Judged
    test: Judged


@dataclasses.dataclass(frozen=True)
class Data:
    """The data that the app works on.

    Attributes:
        names: The names of the raw features.
        own: The table's own columns; the last features are of these.
        folds: The folds in the order of time; the last fold's model is
            released.
        history: The history that serving continues; None for ready-made
            features.
        table_format: What is known of the form of the table and its cells.
    """

    names: tuple[str, ...]
    own: tuple[Column, ...]
    folds: tuple[Fold, ...]
    history: History | None
    table_format: TableFormat = ANY_FORMAT
