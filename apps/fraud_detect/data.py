"""Data as folds: of transactions, of ready-made features, or simulated."""

import dataclasses
from pathlib import Path

import numpy as np

from apps.fraud_detect import features, protocols
from apps.fraud_detect.history import History
from apps.fraud_detect.sequences import STEPS_WITHIN, previous
from apps.fraud_detect.transactions import (
    DAY,
    Checks,
    Columns,
    Transactions,
    numbers,
    read,
)
from common import tables, tfds_source
from common.config import InputError
from common.splits import MemorySplit, Splits

CLASSES = ("honest", "fraud")
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
    """Whose transactions a split holds, and when; `(num,)` each."""

    fraud: np.ndarray
    customer: np.ndarray
    day: np.ndarray
    ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Fold:
    """A training and its judges.

    Attributes:
        splits: Features `(num, features)`, or `(num, steps, features)`.
        valid: About the rows of the split.
        test: Likewise.
    """

    splits: FraudSplits
    valid: Judged
    test: Judged


@dataclasses.dataclass(frozen=True)
class Data:
    """What the app works on.

    Attributes:
        names: The raw features.
        folds: In the order of time; the last one's model is released.
        history: What serving continues with, if there are transactions.
    """

    names: tuple[str, ...]
    folds: tuple[Fold, ...]
    history: History | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """How data become folds.

    Attributes:
        columns: The names in the user's table.
        protocol: `time` or one of `protocols.PROTOCOLS`.
        names: The features of transactions, `features.NAMES` or more.
        delay: Days until labels are known.
        train_days: Days that train, with `time`; 0 for all.
        test_days: Days that test, and that validate, with `time`.
        steps: Transactions in a sequence; 0 for none.
        skip_bad: Leave bad rows out.
        data_dir: See `tfds_source.builder`.
    """

    columns: Columns
    protocol: str
    names: tuple[str, ...]
    delay: int
    train_days: int
    test_days: int
    steps: int
    skip_bad: bool
    data_dir: str


def load(dataset: str, plan: Plan) -> Data:
    """Loads a table, or an embedded set by its name.

    Raises:
        InputError: If the data are not as they must be; see `transactions`.
    """
    if not tables.is_table(dataset):
        if "/" in dataset or dataset not in tfds_source.EMBEDDED[1:]:
            raise InputError(
                f"--dataset must be a file that ends in "
                f"{', '.join(tables.SUFFIXES)}, or simulated_transactions; "
                f"received {dataset!r}."
            )
        return of_transactions(simulated(dataset), (), dataset, plan)
    known = tables.names(dataset)
    name = Path(dataset).name
    if not is_feature_table(known, plan.columns):
        id_column = plan.columns.id if plan.columns.id in known else ""
        columns = dataclasses.replace(plan.columns, id=id_column)
        table, notes = read(dataset, columns, plan.skip_bad)
        return of_transactions(table, tuple(notes), name, plan)
    return of_features(Path(dataset), known, plan)


def is_feature_table(known: list[str], columns: Columns) -> bool:
    """Tells a table of ready-made features: nothing of cards is in it."""
    cards = (columns.customer, columns.terminal, columns.amount)
    return not set(cards) & set(known)


def simulated(name: str) -> Transactions:
    """Returns an embedded set of simulated transactions."""
    stored = tfds_source.builder(name).as_dataset(split="train")
    days = list(stored.as_numpy_iterator())
    days.sort(key=lambda one: one["time"][0])
    column = {
        key: np.concatenate([one[key] for one in days]) for key in days[0]
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
    """Computes the features of transactions and splits them."""
    found = features.compute(table, plan.delay, names=plan.names)
    if plan.protocol == "time":
        rows = [
            protocols.time_fold(
                table, plan.train_days, plan.test_days, plan.delay
            )
        ]
    else:
        rows = [
            protocols.handbook_fold(table, *weeks, plan.delay)
            for weeks in protocols.PROTOCOLS[plan.protocol]
        ]
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
        picked = found[part]
        if steps is not None:
            picked = found[steps[part]] * (steps[part] >= 0)[..., None]
        return MemorySplit(picked, table.fraud[part].astype(np.int64))

    def judged(part: np.ndarray) -> Judged:
        return Judged(
            table.fraud[part],
            table.customer[part],
            table.day[part],
            table.ids[part],
        )

    folds = [
        Fold(
            FraudSplits(
                name,
                CLASSES,
                split(one.train),
                split(one.valid),
                split(one.test),
                notes,
            ),
            judged(one.valid),
            judged(one.test),
        )
        for one in rows
    ]
    more = STEPS_WITHIN if plan.steps else 0
    history = History(table, plan.delay, plan.names, more)
    return Data(plan.names, tuple(folds), history)


def of_features(path: Path, known: list[str], plan: Plan) -> Data:
    """Splits a table of ready-made features, in the order of time."""
    time, label = plan.columns.time, plan.columns.label
    if set(CARD_SET) <= set(known):
        time, label = CARD_SET
    table = tables.read(path, known)
    for one in (time, label):
        if one not in known:
            raise InputError(
                f"--dataset must have columns of transactions, or ready-made "
                f"features with --time_column and --label_column; {path} has "
                f"{', '.join(known)}: no {one}."
            )
    if plan.protocol != "time" or plan.steps:
        raise InputError(
            f"--protocol must be time and --model no sequence for ready-made "
            f"features; received {plan.protocol}."
        )
    checks = Checks(path, table.num_rows, plan.skip_bad)
    column = {name: numbers(table[name], name, checks) for name in known}
    bad = (column[label] != 0) & (column[label] != 1)
    checks.refuse(bad, label, "must be 0 or 1", column[label])
    names = tuple(name for name in known if name not in (time, label))
    for name in names:
        if not name.isidentifier():
            raise InputError(
                f"features must be called by letters, digits and _, for they "
                f"are what a client sends; received {name!r}."
            )
    kept = checks.good_rows()
    kept = kept[np.argsort(column[time][kept], kind="stable")]
    parts = np.split(kept, [int(0.6 * len(kept)), int(0.8 * len(kept))])
    values = np.stack([column[name] for name in names], axis=1)
    values, fraud = values.astype(np.float32), column[label].astype(np.int64)
    _, valid, test = (
        Judged(
            fraud[rows], rows, (column[time][rows] // DAY).astype("i8"), rows
        )
        for rows in parts
    )
    train_split, valid_split, test_split = (
        MemorySplit(values[rows], fraud[rows]) for rows in parts
    )
    splits = FraudSplits(
        path.name, CLASSES, train_split, valid_split, test_split,
        (*checks.notes, "Split in the order of time: 60, 20 and 20 % of rows."),
    )  # fmt: skip
    return Data(names, (Fold(splits, valid, test),), None)


def check_labels(found: Data, in_train: bool) -> None:
    """Refuses folds that cannot train or judge a model.

    Args:
        found: The data.
        in_train: Whether training needs labels.
    """
    for fold in found.folds:
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
