"""The state that serving keeps: the transactions that windows still reach."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.options import InputError

from . import features
from .transactions import DAY, Transactions

ROOM = 4096  # New rows until what is too old is let go.
COLUMNS = ("time", "customer", "terminal", "amount", "fraud")


class History:
    """The last transactions, to compute the features of the next one.

    It holds what the longest window and the labels' delay reach: 37 days for
    the Handbook's features, 67 for the extended ones, which are 7 MB on disk at
    9,600 transactions a day.

    Attributes:
        delay: Days until labels are known.
        names: The features to compute.
        more_days: See `__init__`.
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
            table: All that has happened.
            delay: Days until labels are known.
            names: The features to compute.
            more_days: Days before the last one whose transactions' own
                features are needed too, for sequences.
        """
        self.delay, self.names, self.more_days = delay, names, more_days
        self._reach = (features.reach(delay, names) + more_days) * DAY
        self._customers = _Names(table.customers)
        self._terminals = _Names(table.terminals)
        self._hold(table)

    def _hold(self, table: Transactions) -> None:
        """Takes the end of `table` as all that is held."""
        oldest = table.time[-1] - self._reach
        kept = table.pick(np.flatnonzero(table.time > oldest))
        self._num = len(kept)
        self._columns = {
            name: np.resize(getattr(kept, name), len(kept) + ROOM)
            for name in COLUMNS
        }
        self._of_customer = _grouped(kept.customer)
        self._of_terminal = _grouped(kept.terminal)
        self._row_of = {id: row for row, id in enumerate(kept.ids.tolist())}

    @property
    def last(self) -> int:
        """The second of the last transaction."""
        return int(self._columns["time"][self._num - 1])

    def table(self) -> Transactions:
        """Returns what is held."""
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
    ) -> np.ndarray:
        """Takes in a new transaction and returns its features.

        Args:
            time: Seconds since 1970-01-01; not before the last one's.
            customer: As in the table that the history was made of.
            terminal: Likewise.
            amount: Not negative.
            id: What `label` will call it.

        Returns:
            `(len(names),) float32`.
        """
        if time < self.last:
            raise InputError(
                f"transactions must come in the order of time; {id} is older "
                "than the last one."
            )
        if self._num == len(self._columns["time"]):
            self._hold(self.table())
        one, other = (
            self._customers.index(customer),
            self._terminals.index(terminal),
        )
        row, self._num = self._num, self._num + 1
        for name, value in zip(
            COLUMNS, (time, one, other, amount, 0), strict=True
        ):
            self._columns[name][row] = value
        self._row_of[id] = row
        self._of_customer.setdefault(one, []).append(row)
        self._of_terminal.setdefault(other, []).append(row)
        rows = self._rows_that_matter(one, other)
        few = Transactions(
            **{name: a[rows] for name, a in self._columns.items()},
            ids=rows,
            customers=np.empty(0),
            terminals=np.empty(0),
        )
        return features.compute(few, self.delay, len(rows) - 1, self.names)[0]

    def _rows_that_matter(self, customer: int, terminal: int) -> np.ndarray:
        """Returns the rows of both, and of those defrauded at the terminal.

        Whether their amounts were ordinary is told by their other payments.
        """
        here = self._of_terminal[terminal]
        fraud, of_row = self._columns["fraud"], self._columns["customer"]
        cards = {int(of_row[row]) for row in here if fraud[row]} | {customer}
        mine = (self._of_customer[one] for one in cards)
        return np.array(sorted({*here}.union(*mine)))

    def label(self, id: int | str, fraud: int) -> None:
        """Notes what was found out about a transaction."""
        if id not in self._row_of:
            raise InputError(f"the history has no transaction {id!r}.")
        self._columns["fraud"][self._row_of[id]] = fraud

    def followed_by(self, new: Transactions) -> Transactions:
        """Returns what is held and new transactions in one table."""
        old = self.table()
        if new.time[0] < old.time[-1]:
            raise InputError(
                "new transactions must not be older than the last one of the "
                f"release's history, {np.datetime64(int(old.time[-1]), 's')}; "
                f"received one of {np.datetime64(int(new.time[0]), 's')}."
            )
        joined: dict[str, np.ndarray] = {
            name: np.concatenate([getattr(old, name), getattr(new, name)])
            for name in ("time", "amount", "fraud")
        }
        for key, names in (
            ("customer", "customers"),
            ("terminal", "terminals"),
        ):
            both = np.concatenate(
                [
                    getattr(one, names)[getattr(one, key)].astype(str)
                    for one in (old, new)
                ]
            )
            joined[names], joined[key] = np.unique(both, return_inverse=True)
        ids = np.concatenate([old.ids.astype(str), new.ids.astype(str)])
        return Transactions(ids=ids, **joined)

    def save(self, path: Path) -> None:
        """Writes what is held to a compressed `.npz` file."""
        arrays = dataclasses.asdict(self.table())
        days = np.array([self.delay, self.more_days])
        names = np.array(self.names)
        np.savez_compressed(path, days=days, names=names, **arrays)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        delay, more_days = map(int, columns.pop("days"))
        names = tuple(columns.pop("names").tolist())
        return cls(Transactions(**columns), delay, names, more_days)


class _Names:
    """Numbers ids, new ones too."""

    def __init__(self, known: np.ndarray) -> None:
        self._index = {one: i for i, one in enumerate(known.tolist())}

    def index(self, name: int | str) -> int:
        return self._index.setdefault(name, len(self._index))

    def array(self) -> np.ndarray:
        return np.array(list(self._index))


def _grouped(group: np.ndarray) -> dict[int, list[int]]:
    """Returns the rows of each group, in order."""
    order = np.argsort(group, kind="stable")
    keys, starts = np.unique(group[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {
        key: part.tolist()
        for key, part in zip(keys.tolist(), parts, strict=True)
    }
