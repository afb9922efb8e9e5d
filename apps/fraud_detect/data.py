"""Data as folds: of transactions, of ready-made features, or simulated."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data import slice_columns, table_files, tables, tfds_sets
from common.data.splits import MemorySplit
from common.options import InputError

from . import features, own_columns, protocols
from .feature_tables import of_features, read_features
from .folds import CLASSES, Data, Fold, FraudSplits, Judged
from .history import History
from .own_columns import Column
from .sequences import STEPS_WITHIN, previous
from .settings import Columns, FoldPlan
from .transactions import Transactions, read

SIMULATED = "simulated_transactions"


def load(dataset: str, plan: FoldPlan) -> Data:
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
        slice_columns.check_table(plan.columns.slices, dataset)
        return of_transactions(
            simulated(dataset), (), dataset, plan, plan.columns
        )
    known = tables.names(dataset, table_format=plan.columns.table_format)
    columns = plan.columns.present(known, ("customer", "terminal", "id"))
    if not (columns.customer or columns.terminal):
        columns = plan.columns.present(known)
        return of_features(Path(dataset), columns, plan)
    slice_columns.check(
        columns.slices, dataset, table_format=columns.table_format
    )
    reading = read(
        dataset, columns, plan.skip_bad, own=own_columns.wanted(columns, known)
    )
    notes = [*reading.notes, *_missing_windows(plan.columns, columns)]
    name = table_files.title(dataset)
    return of_transactions(
        reading.transactions, tuple(notes), name, plan, reading.columns,
        reading.own, reading.groups,
    )  # fmt: skip


def _missing_windows(wanted: Columns, columns: Columns) -> list[str]:
    """Returns notes on the windows that a table does not allow.

    Args:
        wanted: The columns of the options.
        columns: Those that the table has.
    """
    return [
        f"There is no column {getattr(wanted, role)}: the windows of {role}s "
        f"are left out. --{role}_column names such a column."
        for role in ("customer", "terminal")
        if not getattr(columns, role)
    ]


def load_for_evaluation(
    path: str,
    plan: FoldPlan,
    own: Sequence[Column],
    history: History | None,
) -> Data:
    """Loads all rows of a table as the test split that judges a release.

    Args:
        path: The table.
        plan: Gives columns, delay and steps; its protocol is not used.
        own: The release's own columns.
        history: The release's history, which later transactions continue, as
            they do in prediction; None for a table of ready-made features.

    Returns:
        One fold that has only a test split.
    """
    if history is None:
        names: tuple[str, ...] = ()
        known = tables.names(path, table_format=plan.columns.table_format)
        columns = plan.columns.present(known)
        rows, judged, notes = read_features(Path(path), columns, plan, own)
    else:
        names = tuple(history.names)
        rows, judged, notes = _read_later(path, plan, own, history)
    splits = FraudSplits.whole(table_files.title(path), CLASSES, rows, notes)
    empty = judged.pick(np.arange(0))
    names += tuple(column.feature for column in own)
    return Data(names, tuple(own), (Fold(splits, empty, judged),), None)


def _read_later(
    path: str, plan: FoldPlan, own: Sequence[Column], history: History
) -> tuple[MemorySplit, Judged, tuple[str, ...]]:
    """Reads transactions, which continue the history if they are later."""
    known = tables.names(path, table_format=plan.columns.table_format)
    columns = of_release(plan.columns, history, known)
    slice_columns.check(columns.slices, path, table_format=columns.table_format)
    table, notes, groups = read_coded(path, columns, plan.skip_bad, own)
    num = len(table)
    if table.time[0] >= history.last:
        table = history.followed_by(table)
    else:
        notes.append(
            "The table begins before the release's history ends: features look "
            "back no further than the table."
        )
    start = len(table) - num
    raw = features_from(table, start, plan.delay, history.names, plan.steps)
    judged = _judged(table, np.arange(start, len(table)), groups)
    rows = MemorySplit(raw, judged.fraud.astype(np.int64))
    return rows, judged, tuple(notes)


def of_release(
    columns: Columns, history: History, known: Sequence[str]
) -> Columns:
    """Returns the columns that a release's features need.

    Args:
        columns: The columns of the options.
        history: The release's history.
        known: The names of the table's columns. It may lack ids.
    """
    has = {
        role: any(name.startswith(f"{role}_") for name in history.names)
        for role in ("customer", "terminal")
    }
    return dataclasses.replace(
        columns,
        customer=columns.customer if has["customer"] else "",
        terminal=columns.terminal if has["terminal"] else "",
        id=columns.id if columns.id in known else "",
    )


def read_coded(
    path: str | Path,
    columns: Columns,
    skip_bad: bool,
    own: Sequence[Column],
    option: str = "--dataset",
) -> tuple[Transactions, list[str], np.ndarray]:
    """Reads transactions whose own columns have a release's codes.

    Args:
        path: The table.
        columns: The names in the table.
        skip_bad: See `transactions.read`.
        own: The release's own columns.
        option: The option that named the file, for error messages.

    Returns:
        The transactions, notes, and the cells of the columns of `--slice_by`;
        see `transactions.Reading`.
    """
    reading = read(path, columns, skip_bad, option, own)
    table = reading.transactions
    coded = own_columns.code(reading.own, table.own, own)
    table = dataclasses.replace(table, own=coded)
    return table, reading.notes, reading.groups


def _judged(
    table: Transactions, rows: np.ndarray, groups: np.ndarray
) -> Judged:
    """Returns labels, customers, days and ids of the transactions at `rows`.

    Args:
        table: Transactions.
        rows: Indices into it, `(num,)`.
        groups: The groups of the transactions at `rows`.
    """
    return Judged(
        table.fraud[rows], table.customer[rows], table.day[rows],
        table.ids[rows], groups,
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
    return _sequences(every, previous(table, steps)[start:])


def _sequences(every: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the features of sequences, with zeros for rows before the first.

    Args:
        every: `(num, features) float32`.
        rows: `(sequences, steps)` indices; -1 before the first row.
    """
    return np.where((rows >= 0)[..., None], every[rows], np.float32(0))


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
        own=np.empty((len(customer), 0)),
    )


def of_transactions(
    table: Transactions,
    notes: tuple[str, ...],
    name: str,
    plan: FoldPlan,
    columns: Columns,
    own: Sequence[Column] = (),
    groups: np.ndarray | None = None,
) -> Data:
    """Computes the features of transactions and splits them into folds.

    Args:
        table: The transactions in the order of time.
        notes: What was repaired while they were read, for the user.
        name: The data set's name in the report.
        plan: How the data become folds.
        columns: The columns that the table has.
        own: The table's own columns.
        groups: The cells of the columns of `--slice_by`, `(num, columns)`
            objects; None if there are none.
    """
    if groups is None:
        groups = np.empty((len(table), 0), object)
    if plan.steps and not columns.customer:
        raise InputError(
            "--model=sequence needs a column of customers, whose transactions "
            "are the sequences; name it by --customer_column."
        )
    rows = _rows_of_folds(table, plan)
    # Of the last fold, whose model is released.
    last = rows[-1].train
    fitted, more = own_columns.fit(own, table.own[last], table.fraud[last])
    noted = own_columns.noted_slices(columns, fitted)
    notes += (*own_columns.described(fitted), *noted, *more)
    coded = own_columns.code(own, table.own, fitted)
    table = dataclasses.replace(table, own=coded)
    windows = features.names_of(
        plan.extended, bool(columns.customer), bool(columns.terminal)
    )
    own_columns.check_names([column.name for column in fitted], windows)
    raw = features.compute(table, plan.delay, names=windows)
    notes += (
        "Left out of valid and test: customers whose fraud is known by then.",
    )
    if rows[1:]:
        notes += (
            f"Metrics are means over {len(rows)} folds; files and curves are "
            "of the last.",
        )
    steps = previous(table, plan.steps) if plan.steps else None
    folds = [
        _to_fold(fold, table, raw, steps, name, notes, groups) for fold in rows
    ]
    more_days = STEPS_WITHIN if plan.steps else 0
    history = History(table, plan.delay, windows, more_days)
    names = (*windows, *(column.feature for column in fitted))
    return Data(names, fitted, tuple(folds), history, columns.table_format)


def _to_fold(
    rows: protocols.Fold,
    table: Transactions,
    raw: np.ndarray,
    steps: np.ndarray | None,
    name: str,
    notes: tuple[str, ...],
    groups: np.ndarray,
) -> Fold:
    """Returns a fold with the features of its transactions.

    Args:
        rows: The rows of each split.
        table: All transactions.
        raw: Their features, `(num, features) float32`.
        steps: The rows of each transaction's sequence; see `_sequences`. None
            for a model that takes single transactions.
        name: See `of_transactions`.
        notes: See `of_transactions`.
        groups: See `of_transactions`.
    """

    def split(part: np.ndarray) -> MemorySplit:
        picked = raw[part]
        if steps is not None:
            picked = _sequences(raw, steps[part])
        return MemorySplit(picked, table.fraud[part].astype(np.int64))

    return Fold(
        FraudSplits(
            name,
            CLASSES,
            split(rows.train),
            split(rows.valid),
            split(rows.test),
            notes,
        ),
        _judged(table, rows.valid, groups[rows.valid]),
        _judged(table, rows.test, groups[rows.test]),
    )


def _rows_of_folds(table: Transactions, plan: FoldPlan) -> list[protocols.Fold]:
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
