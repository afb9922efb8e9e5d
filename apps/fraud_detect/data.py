"""Data as folds: of transactions, of ready-made features, or simulated."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data import tables, tfds_sets
from common.data.splits import MemorySplit, Splits
from common.options import InputError

from . import features, protocols
from .history import History
from .sequences import STEPS_WITHIN, previous
from .settings import Columns, Plan
from .transactions import (
    DAY,
    Checks,
    Transactions,
    numbers,
    read,
)

CLASSES = ("honest", "fraud")
SIMULATED = "simulated_transactions"
# The card set that many teach with: time in seconds, V1 to V28, Amount, Class.
CARD_SET = ("Time", "Class")


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
    """

    fraud: np.ndarray
    customer: np.ndarray
    day: np.ndarray
    ids: np.ndarray

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
        folds: The folds in the order of time; the last fold's model is
            released.
        history: The history that serving continues; None for ready-made
            features.
    """

    names: tuple[str, ...]
    folds: tuple[Fold, ...]
    history: History | None


def names_of(plan: Plan) -> tuple[str, ...]:
    """Returns the names of the features that a plan computes."""
    return features.EXTENDED if plan.extended else features.NAMES


def load(dataset: str, plan: Plan) -> Data:
    """Loads a table, or an embedded set by its name.

    Raises:
        InputError: If the data cannot be used; see `transactions`.
    """
    if not tables.is_table(dataset):
        if dataset != SIMULATED:
            raise InputError(
                f"--dataset must be a file that ends in "
                f"{', '.join(tables.SUFFIXES)}, or {SIMULATED}; "
                f"received {dataset!r}."
            )
        return of_transactions(simulated(dataset), (), dataset, plan)
    known = tables.names(dataset)
    name = Path(dataset).name
    if not is_feature_table(known, plan.columns):
        columns = _own_columns(dataset, plan)
        table, notes = read(dataset, columns, plan.skip_bad)
        return of_transactions(table, tuple(notes), name, plan)
    return of_features(Path(dataset), plan)


def load_for_evaluation(
    path: str, plan: Plan, names: tuple[str, ...], history: History | None
) -> Data:
    """Loads all rows of a table as the test split that judges a release.

    Args:
        path: The table.
        plan: Gives columns, delay and steps; its protocol is not used.
        names: The names of the release's features.
        history: The release's history, which later transactions continue, as
            they do in prediction; None for a table of ready-made features.

    Returns:
        One fold that has only a test split.
    """
    if history is None:
        _, rows, judged, notes = read_features(Path(path), names, plan)
    else:
        names = names_of(plan)
        rows, judged, notes = _read_later(path, plan, history)
    splits = FraudSplits.whole(Path(path).name, CLASSES, rows, notes)
    empty = judged.pick(np.arange(0))
    return Data(names, (Fold(splits, empty, judged),), None)


def _read_later(
    path: str, plan: Plan, history: History
) -> tuple[MemorySplit, Judged, tuple[str, ...]]:
    """Reads transactions, which continue the history if they are later."""
    table, notes = read(path, _own_columns(path, plan), plan.skip_bad)
    num = len(table)
    if table.time[0] >= history.last:
        table = history.followed_by(table)
    else:
        notes.append(
            "The table begins before the release's history ends: features look "
            "back no further than the table."
        )
    start = len(table) - num
    raw = features_from(table, start, plan.delay, names_of(plan), plan.steps)
    judged = _judged(table, np.arange(start, len(table)))
    rows = MemorySplit(raw, judged.fraud.astype(np.int64))
    return rows, judged, tuple(notes)


def _own_columns(path: str, plan: Plan) -> Columns:
    """Returns the plan's columns, without ids if the table has none."""
    has_ids = plan.columns.id in tables.names(path)
    return plan.columns if has_ids else dataclasses.replace(plan.columns, id="")


def _judged(table: Transactions, rows: np.ndarray) -> Judged:
    """Returns labels, customers, days and ids of the transactions at `rows`."""
    return Judged(
        table.fraud[rows], table.customer[rows], table.day[rows],
        table.ids[rows],
    )  # fmt: skip


def features_from(
    table: Transactions,
    start: int,
    delay: int,
    names: Sequence[str],
    steps: int,
) -> np.ndarray:
    """Returns a model's inputs for the transactions from row `start` on.

    Args:
        table: Transactions in the order of time.
        start: The first row whose features are returned; the rows before it
            are their history.
        delay: Days until labels are known.
        names: The names of the features.
        steps: Transactions in a sequence; 0 for none.

    Returns:
        `(num - start, features)`, or `(num - start, steps, features)`, float32.
    """
    if not steps:
        return features.compute(table, delay, start, names)
    every = features.compute(table, delay, names=names)
    rows = previous(table, steps)[start:]
    return every[rows] * (rows >= 0)[..., None]


def is_feature_table(known: list[str], columns: Columns) -> bool:
    """Tells whether a table has ready-made features.

    It does if no column of customers, terminals or amounts is in it.

    Args:
        known: The names of the table's columns.
        columns: The names of the columns of transactions.
    """
    cards = (columns.customer, columns.terminal, columns.amount)
    return not set(cards) & set(known)


def simulated(name: str) -> Transactions:
    """Returns an embedded set of simulated transactions."""
    stored = tfds_sets.builder(name).as_dataset(split="train")
    days = list(stored.as_numpy_iterator())
    days.sort(key=lambda day: day["time"][0])
    column = {
        key: np.concatenate([day[key] for day in days]) for key in days[0]
    }
    customers, customer = np.unique(column["customer"], return_inverse=True)
    terminals, terminal = np.unique(column["terminal"], return_inverse=True)
    return Transactions(
        time=column["time"],
        customer=customer,
        terminal=terminal,
        amount=column["amount"],
        fraud=column["fraud"].astype(np.int8),
        ids=np.arange(len(customer)),
        customers=customers,
        terminals=terminals,
    )


def of_transactions(
    table: Transactions, notes: tuple[str, ...], name: str, plan: Plan
) -> Data:
    """Computes the features of transactions and splits them into folds.

    Args:
        table: The transactions in the order of time.
        notes: What was repaired while they were read, for the user.
        name: The data set's name in the report.
        plan: How the data become folds.
    """
    raw = features.compute(table, plan.delay, names=names_of(plan))
    rows = _rows_of_folds(table, plan)
    notes += (
        "Left out of valid and test: customers whose fraud is known by then.",
    )
    if rows[1:]:
        notes += (
            f"Metrics are means over {len(rows)} folds; files and curves are "
            "of the last.",
        )
    steps = previous(table, plan.steps) if plan.steps else None

    def split(part: np.ndarray) -> MemorySplit:
        picked = raw[part]
        if steps is not None:
            picked = raw[steps[part]] * (steps[part] >= 0)[..., None]
        return MemorySplit(picked, table.fraud[part].astype(np.int64))

    folds = [
        Fold(
            FraudSplits(
                name,
                CLASSES,
                split(fold.train),
                split(fold.valid),
                split(fold.test),
                notes,
            ),
            _judged(table, fold.valid),
            _judged(table, fold.test),
        )
        for fold in rows
    ]
    more_days = STEPS_WITHIN if plan.steps else 0
    history = History(table, plan.delay, names_of(plan), more_days)
    return Data(names_of(plan), tuple(folds), history)


def _rows_of_folds(table: Transactions, plan: Plan) -> list[protocols.Fold]:
    """Returns the rows of each fold of the plan's protocol."""
    if plan.protocol == "time":
        return [
            protocols.time_fold(
                table, plan.train_days, plan.test_days, plan.delay
            )
        ]
    return [
        protocols.handbook_fold(table, *weeks, plan.delay)
        for weeks in protocols.PROTOCOLS[plan.protocol]
    ]


def of_features(path: Path, plan: Plan) -> Data:
    """Splits a table of ready-made features, in the order of time."""
    if plan.protocol != "time" or plan.steps:
        raise InputError(
            f"--protocol must be time and --model no sequence for ready-made "
            f"features; received {plan.protocol}."
        )
    names, rows, judged, notes = read_features(path, (), plan)
    num = rows.num_examples
    parts = np.split(np.arange(num), [int(0.6 * num), int(0.8 * num)])
    train, valid, test = (rows.pick(part) for part in parts)
    notes += ("Split in the order of time: 60, 20 and 20 % of rows.",)
    splits = FraudSplits(path.name, CLASSES, train, valid, test, notes)
    of_valid, of_test = (judged.pick(part) for part in parts[1:])
    return Data(names, (Fold(splits, of_valid, of_test),), None)


def read_features(
    path: Path, names: tuple[str, ...], plan: Plan
) -> tuple[tuple[str, ...], MemorySplit, Judged, tuple[str, ...]]:
    """Reads a table of ready-made features, in the order of time.

    Args:
        path: The table.
        names: The features to read; () for all columns but time and label.
        plan: Gives the columns of time and label.

    Returns:
        The features' names; the rows; their labels and days, each row with a
        customer of its own; and notes on what was repaired.
    """
    known = tables.names(path)
    time, label = plan.columns.time, plan.columns.label
    if set(CARD_SET) <= set(known):
        time, label = CARD_SET
    for name in (time, label):
        if name not in known:
            raise InputError(
                f"--dataset must have columns of transactions, or ready-made "
                f"features with --time_column and --label_column; {path} has "
                f"{', '.join(known)}: no {name}."
            )
    wanted = [*names, time, label] if names else known
    table = tables.read(path, wanted)
    checks = Checks(path, table.num_rows, plan.skip_bad)
    column = {name: numbers(table[name], name, checks) for name in wanted}
    bad = (column[label] != 0) & (column[label] != 1)
    checks.refuse(bad, label, "must be 0 or 1", column[label])
    names = tuple(name for name in wanted if name not in (time, label))
    _check_feature_names(names)
    kept = checks.good_rows()
    kept = kept[np.argsort(column[time][kept], kind="stable")]
    values = np.stack([column[name] for name in names], axis=1)[kept]
    fraud = column[label][kept].astype(np.int64)
    day = (column[time][kept] // DAY).astype("i8")
    split = MemorySplit(values.astype(np.float32), fraud)
    return names, split, Judged(fraud, kept, day, kept), tuple(checks.notes)


def _check_feature_names(names: Sequence[str]) -> None:
    """Raises `InputError` for a name that cannot be a signature's input."""
    for name in names:
        if not name.isidentifier():
            raise InputError(
                f"features must be called by letters, digits and _, for they "
                f"are what a client sends; received {name!r}."
            )


def check_labels(data: Data, in_train: bool) -> None:
    """Checks that every split that needs labels has both classes.

    Args:
        data: The data.
        in_train: Whether training needs labels.

    Raises:
        InputError: If such a split has frauds only, or none.
    """
    for fold in data.folds:
        for name in ("train", "valid", "test")[not in_train :]:
            labels = getattr(fold.splits, name).labels
            if 0 < labels.sum() < len(labels):
                continue
            raise InputError(
                f"--dataset must have frauds and honest transactions in "
                f"{name}; received {int(labels.sum())} frauds in {len(labels)} "
                "rows. Choose other days, or, where train has no fraud, "
                "--model=autoencoder."
            )
