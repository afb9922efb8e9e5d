"""The state that serving keeps: the transactions that windows still reach."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.options import InputError

from . import features
from .transactions import DAY, Transactions

ROOM = 4096  # New rows that fit before rows that are too old are dropped.
COLUMNS = ("time", "customer", "terminal", "amount", "fraud", "own")


class History:
    """The last transactions, to compute the features of the next one.

    It holds what the longest window and the labels' delay reach: 37 days for
    the Handbook's features, 67 for the extended ones, which are 7 MB on disk at
    9,600 transactions a day.

    Attributes:
        delay: Days until labels are known.
        names: The features to compute.
        more_days: Days that are kept beyond the features' own reach.
    """

    def __init__(
        self,
        table: Transactions,
        delay: int,
        names: Sequence[str] = features.NAMES,
        more_days: int = 0,
    ) -> None:
        """Keeps the part of `table` that the next transaction can reach.

        Args:
            table: All transactions until now.
            delay: Days until labels are known.
            names: The features to compute.
            more_days: Days before the last transaction. The features of the
                transactions in these days are needed too, for sequences.
        """
        self.delay, self.names, self.more_days = delay, names, more_days
        self._reach = (features.reach(delay, names) + more_days) * DAY
        self._customers = _Names(table.customers)
        self._terminals = _Names(table.terminals)
        self._hold(table)

    def _hold(self, table: Transactions) -> None:
        """Replaces the content by the end of `table` within reach."""
        oldest = table.time[-1] - self._reach
        kept = table.pick(np.flatnonzero(table.time > oldest))
        self._num = len(kept)
        self._columns = {
            name: _with_room(getattr(kept, name)) for name in COLUMNS
        }
        self._of_customer = _grouped(kept.customer)
        self._of_terminal = _grouped(kept.terminal)
        self._row_of = {id: row for row, id in enumerate(kept.ids.tolist())}

    @property
    def last(self) -> int:
        """The time of the last transaction, seconds since 1970-01-01."""
        return int(self._columns["time"][self._num - 1])

    def table(self) -> Transactions:
        """Returns the transactions that the history holds."""
        return Transactions(
            **{name: a[: self._num] for name, a in self._columns.items()},
            ids=np.array(list(self._row_of)),
            customers=self._customers.array(),
            terminals=self._terminals.array(),
        )

    def add(
        self,
        time: int,
        customer: int | str,
        terminal: int | str,
        amount: float,
        id: int | str,  # As the column is called.
        own: Sequence[float] = (),
    ) -> np.ndarray:
        """Takes in a new transaction and returns its features.

        Args:
            time: Seconds since 1970-01-01, not before the last transaction's.
            customer: The customer's id, as in the table of the history.
            terminal: The terminal's id, as in that table.
            amount: The amount, not negative.
            id: The transaction's id, by which `label` will name it.
            own: The numbers of its own columns; see `own_columns`.

        Returns:
            `(len(names) + own columns,) float32`.

        Raises:
            InputError: If the transaction is older than the last one.
        """
        if time < self.last:
            raise InputError(
                f"transactions must come in the order of time; {id} is older "
                "than the last one."
            )
        if self._num == len(self._columns["time"]):
            self._hold(self.table())
        customer_index = self._customers.index(customer)
        terminal_index = self._terminals.index(terminal)
        row, self._num = self._num, self._num + 1
        for name, value in zip(
            COLUMNS,
            (time, customer_index, terminal_index, amount, 0, own),
            strict=True,
        ):
            self._columns[name][row] = value
        self._row_of[id] = row
        self._of_customer.setdefault(customer_index, []).append(row)
        self._of_terminal.setdefault(terminal_index, []).append(row)
        rows = self._rows_that_matter(customer_index, terminal_index)
        relevant = Transactions(
            **{name: a[rows] for name, a in self._columns.items()},
            ids=rows,
            customers=np.empty(0),
            terminals=np.empty(0),
        )
        return features.compute(
            relevant, self.delay, len(rows) - 1, self.names
        )[0]

    def _rows_that_matter(self, customer: int, terminal: int) -> np.ndarray:
        """Returns the rows that the features of a new transaction depend on.

        These are the rows of the customer, of the terminal, and of every
        customer who was defrauded at the terminal: their other payments tell
        whether the frauds' amounts were ordinary.
        """
        at_terminal = self._of_terminal[terminal]
        fraud, customers = self._columns["fraud"], self._columns["customer"]
        defrauded = {int(customers[row]) for row in at_terminal if fraud[row]}
        of_customers = (
            self._of_customer[index] for index in defrauded | {customer}
        )
        return np.array(sorted({*at_terminal}.union(*of_customers)))

    def label(self, id: int | str, fraud: int) -> None:
        """Stores the label of a transaction, once it is known.

        Args:
            id: The transaction's id.
            fraud: 1 for fraud, 0 for none.

        Raises:
            InputError: If the history does not hold the transaction.
        """
        if id not in self._row_of:
            raise InputError(f"the history has no transaction {id!r}.")
        self._columns["fraud"][self._row_of[id]] = fraud

    def followed_by(self, new: Transactions) -> Transactions:
        """Returns the held transactions and new ones in one table.

        Raises:
            InputError: If a new transaction is older than the last one held.
        """
        old = self.table()
        if new.time[0] < old.time[-1]:
            raise InputError(
                "new transactions must not be older than the last one of the "
                f"release's history, {np.datetime64(int(old.time[-1]), 's')}; "
                f"received one of {np.datetime64(int(new.time[0]), 's')}."
            )
        joined: dict[str, np.ndarray] = {
            name: np.concatenate([getattr(old, name), getattr(new, name)])
            for name in ("time", "amount", "fraud", "own")
        }
        for key, names in (
            ("customer", "customers"),
            ("terminal", "terminals"),
        ):
            texts = np.concatenate(
                [
                    getattr(table, names)[getattr(table, key)].astype(str)
                    for table in (old, new)
                ]
            )
            joined[names], joined[key] = np.unique(texts, return_inverse=True)
        ids = np.concatenate([old.ids.astype(str), new.ids.astype(str)])
        return Transactions(ids=ids, **joined)

    def save(self, path: Path) -> None:
        """Writes the history to a compressed `.npz` file."""
        arrays = dataclasses.asdict(self.table())
        days = np.array([self.delay, self.more_days])
        names = np.array(self.names)
        np.savez_compressed(path, days=days, names=names, **arrays)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Reads a history that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        # Releases of earlier versions have no columns of their own.
        columns.setdefault("own", np.empty((len(columns["time"]), 0)))
        delay, more_days = map(int, columns.pop("days"))
        names = tuple(columns.pop("names").tolist())
        return cls(Transactions(**columns), delay, names, more_days)


class _Names:
    """Gives each id a number from 0 on; a new id gets the next number."""

    def __init__(self, known: np.ndarray) -> None:
        self._index = {id: i for i, id in enumerate(known.tolist())}

    def index(self, name: int | str) -> int:
        return self._index.setdefault(name, len(self._index))

    def array(self) -> np.ndarray:
        return np.array(list(self._index))


def _with_room(rows: np.ndarray) -> np.ndarray:
    """Returns rows with room for `ROOM` more behind them."""
    return np.concatenate([rows, np.zeros((ROOM, *rows.shape[1:]), rows.dtype)])


def _grouped(group: np.ndarray) -> dict[int, list[int]]:
    """Returns the rows of each group, in order."""
    order = np.argsort(group, kind="stable")
    keys, starts = np.unique(group[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {
        key: part.tolist()
        for key, part in zip(keys.tolist(), parts, strict=True)
    }
