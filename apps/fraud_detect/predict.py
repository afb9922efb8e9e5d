"""Using a release: scores for new transactions, evaluation on a data set."""

import dataclasses
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import console
from common.data import tables
from common.mobile import files
from common.options import InputError, is_given
from common.release import evaluation, predictions, served

from . import own_cells, own_columns, ranking, results, slicing, train
from .checks import Checks
from .config import APP, Config
from .data import features_from, of_release, read_coded
from .folds import Data
from .history import History
from .inputs import DTYPES, columns_of
from .own_columns import Column
from .settings import Columns, Costs
from .transactions import ids_of

BATCH = 4096
INPUTS = "--inputs"
SHOWN = 20
HISTORY = "assets.extra/history.npz"  # In a release.


def run(config: Config) -> None:
    """Predicts, or evaluates, with a release."""
    use = evaluation.use(config, APP)
    scorer = Scorer(use.served)
    if use.whole or config.mode == "predict":
        scorer = scorer_as_given(use.served, config)
    # The release's own options: the same columns, the same weeks.
    options = use.config
    if config.mode == "predict":
        predict_file(
            scorer, options.inputs, options.output, options.column_names(),
            options.on_bad_input == "skip", options.raw_output,
        )  # fmt: skip
        return
    # A given --alerts chooses a new threshold; otherwise the release's holds.
    alerts = config.alerts if is_given(config, "alerts") else None
    data = (
        train.load_data(options, scorer.own, scorer.history(), whole=True)
        if use.whole
        else train.load_data(options)
    )
    evaluation.show(
        evaluate(scorer, data, options.costs(), alerts, options.slice_by)
    )


def _as_given(own: Sequence[Column], config: Config) -> tuple[Column, ...]:
    """Returns columns without the forms that a given option tells anew."""
    forms = [
        form
        for option, forms in own_columns.FORMS_OF.items()
        if is_given(config, option)
        for form in forms
    ]
    return own_columns.without_forms(own, forms)


class Scorer:
    """A released detector, called as a client calls a server.

    Attributes:
        names: The raw features.
        own: The table's own columns, which the last features are of.
        steps: Transactions in a sequence; 0 for none.
    """

    def __init__(self, model: served.Served) -> None:
        self._served = model
        self.names = _names(model)
        self.own = _own(model, self.names)
        shape = model.inputs()[self.names[0]].shape
        self.steps = int(shape[1]) if len(shape) > 1 else 0

    def __call__(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """Returns `score`, `is_fraud` and `reasons` for raw features.

        Args:
            raw: `(num, features)`, or `(num, steps, features)`, float32.
        """
        parts = []
        for start in range(0, len(raw), BATCH):
            batch = raw[start : start + BATCH]
            columns = columns_of(self.names, self.own)
            named: dict[str, Any] = {
                name: own_columns.cells_of(column, batch[..., i])
                for i, (name, column) in enumerate(
                    zip(self.names, columns, strict=True)
                )
            }
            parts.append(self._served(**named))
        return {
            key: np.concatenate([part[key] for part in parts])
            for key in parts[0]
        }

    def coded(
        self, columns: Sequence[Column], values: np.ndarray
    ) -> np.ndarray:
        """Returns the numbers of a table's own columns as the release has them.

        Args:
            columns: What `own_cells.read` returned for the columns in `own`.
            values: Their numbers, `(rows, columns)`.
        """
        if self._served.has_files:
            return own_columns.code(columns, values, self.own)
        # A server looks categories up by their texts, whatever their codes.
        self.own = tuple(columns)
        return values

    def history(self) -> History | None:
        """Returns the release's history, or None if it has none.

        A server without the release's files has none either: it takes features.
        """
        if not self._served.has_files:
            return None
        path = self._served.release / HISTORY
        return History.load(path) if path.is_file() else None


def scorer_as_given(model: served.Served, config: Config) -> Scorer:
    """Returns a release's scorer for new data, read as the options say."""
    scorer = Scorer(model)
    scorer.own = _as_given(scorer.own, config)
    return scorer


def _names(model: served.Served) -> tuple[str, ...]:
    """Returns the names of the raw features."""
    if not model.has_files:
        return tuple(model.inputs())
    return files.read_names(model.release / "mobile" / files.FEATURES, APP)


def _own(model: served.Served, names: Sequence[str]) -> tuple[Column, ...]:
    """Returns a release's own columns.

    A server does not tell the names in the table nor the categories: the names
    are those of the features, and each text is a category.
    """
    if model.has_files:
        path = model.release / "mobile" / own_columns.FILE
        if path.is_file():
            return own_columns.load(path, APP)
        # All are computed, or all are numbers: releases of earlier versions.
        is_computed = (model.release / HISTORY).is_file()
        return () if is_computed else columns_of(names, ())
    kinds = {dtype.name: kind for kind, dtype in DTYPES.items()}
    return tuple(
        Column(name, kinds[model.inputs()[name].dtype.name]) for name in names
    )


def evaluate(
    scorer: Scorer,
    data: Data,
    costs: Costs,
    alerts: float | None = None,
    slice_by: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the metrics of the last fold's test split.

    Args:
        scorer: The release.
        data: The data.
        costs: The costs, and the cards looked at a day.
        alerts: If given, the threshold is chosen for so many alerts a day, and
            the release's own threshold is not used.
        slice_by: The columns of the groups that are measured apart.
    """
    fold = data.folds[-1]
    evaluation.check_names(
        "features", fold.splits.name, data.names, scorer.names
    )
    if data.own != scorer.own:  # The codes would be of other categories.
        raise InputError(
            f"{fold.splits.name} must be the table that the release was "
            "trained on, for its categories are others now. Pass it by "
            "--dataset, to judge the release on all of its rows."
        )
    raw = fold.splits.test.features
    steps = (scorer.steps,) if scorer.steps else ()
    if raw.shape[1:-1] != steps:
        raise InputError(
            f"--model and --steps must be the release's, of sequences of "
            f"{scorer.steps}; received features of {raw.shape[1:]}."
        )
    answer = scorer(raw)
    score = answer["score"].astype(np.float64)
    flagged = answer["is_fraud"].astype(bool)
    # Any threshold between the two groups flags the same transactions.
    threshold = score[flagged].min() if flagged.any() else np.inf
    if alerts is not None:
        threshold = ranking.threshold(score, fold.test.day, alerts)
    by_slice = slicing.build(
        {"test": score}, {"test": fold.test}, threshold, costs, slice_by
    )
    return evaluation.describe(
        fold.splits.name,
        len(score),
        fold.splits.judged,
        results.measure(score, fold.test, threshold, costs)
        | ({"slices": by_slice} if by_slice else {}),
        unknown(fold.test.fraud, bool((score >= threshold).any()), costs),
        fold.splits.notes,
    )


def unknown(fraud: np.ndarray, any_alert: bool, costs: Costs) -> dict[str, str]:
    """Returns the metrics that cannot be computed, each with the reason.

    Args:
        fraud: `(num,)` zeros and ones.
        any_alert: Whether there is any alert.
        costs: Gives the number in the name of the card precision.
    """
    reasons = {}
    ranked = ("average_precision", "auc_roc")
    if not any_alert:
        reasons["precision"] = "there is no alert"
    if fraud.all():
        reasons |= dict.fromkeys(ranked, "all transactions are frauds")
    if not fraud.any():
        names = (*ranked, f"card_precision@{costs.top}", "recall")
        reasons |= dict.fromkeys(names, "there is no fraud")
    return reasons


def predict_file(
    scorer: Scorer,
    path: str,
    output: str,
    columns: Columns,
    skip_bad: bool,
    raw_output: bool = False,
) -> None:
    """Scores the rows of a table and prints the most suspicious ones.

    New transactions continue the release's history.

    Args:
        scorer: The release.
        path: The table.
        output: The CSV or JSON file to write, or "".
        columns: The names in the table.
        skip_bad: Whether bad rows are left out and counted, or an error.
        raw_output: Whether a CSV file keeps cells that a spreadsheet would
            take for formulas as they are.

    Raises:
        InputError: If the table cannot be used, or the file not be written.
    """
    predictions.check_output(output)
    ids, raw, notes = read(scorer, path, columns, skip_bad)
    scored: Iterator[predictions.Row] = rows(scorer, ids, raw)
    if output:
        scored = predictions.write(Path(output), scored, raw_output)
    print_worst(*worst(scored, SHOWN), len(raw), notes)


def print_worst(
    shown: Sequence[predictions.Row],
    flagged: int,
    num: int,
    notes: Sequence[str],
) -> None:
    """Prints the most suspicious rows, and how many of all were flagged."""
    predictions.print_table(shown)
    terminal = console.get()
    for note in notes:
        terminal.print(f"note: {note}")
    terminal.print(f"{flagged} of {num} flagged; shown: {len(shown)}")


def read(
    scorer: Scorer, path: str, columns: Columns, skip_bad: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns ids and features of a table's rows, and notes.

    Args:
        scorer: The release.
        path: The table.
        columns: The names in the table.
        skip_bad: Whether bad rows are left out and counted, or an error.

    Raises:
        InputError: If the table cannot be used.
    """
    if not path:
        raise InputError("--inputs must name a table; received nothing.")
    history = scorer.history()
    if history is None:
        return _ready_made(scorer, path, columns, skip_bad)
    return _new(scorer, history, path, columns, skip_bad)


def rows(
    scorer: Scorer, ids: np.ndarray, raw: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yields the output row of each transaction, scored `BATCH` at a time."""
    for start in range(0, len(raw), BATCH):
        answer = scorer(raw[start : start + BATCH])
        for id, score, flag, reasons in zip(
            ids[start : start + BATCH], answer["score"], answer["is_fraud"],
            answer["reasons"], strict=True,
        ):  # fmt: skip
            yield {
                "id": str(id),
                "score": round(float(score), 6),
                "is_fraud": bool(flag),
                "reasons": ", ".join(name.decode() for name in reasons if name),
            }


def worst(
    rows: Iterable[predictions.Row], most: int
) -> tuple[list[predictions.Row], int]:
    """Returns the most suspicious rows, and the number of all flagged rows."""
    flagged = 0

    def counted() -> Iterator[predictions.Row]:
        nonlocal flagged
        for row in rows:
            flagged += row["is_fraud"]
            yield row

    shown = heapq.nlargest(most, counted(), key=lambda row: row["score"])
    return shown, flagged


def _new(
    scorer: Scorer,
    history: History,
    path: str,
    columns: Columns,
    skip_bad: bool,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns ids and features of new transactions, and notes."""
    known = tables.names(path, INPUTS, columns.table_format)
    columns = of_release(columns, history, known)
    # The labels are not known yet.
    columns = dataclasses.replace(columns, label="", slices=())
    new, notes, _ = read_coded(path, columns, skip_bad, scorer.own, INPUTS)
    table = history.followed_by(new)
    start = len(table) - len(new)
    raw = features_from(
        table, start, history.delay, history.names, scorer.steps
    )
    return new.ids, raw, notes


def _ready_made(
    scorer: Scorer, path: str, columns: Columns, skip_bad: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns ids and features of a feature table, and notes."""
    known = tables.names(path, INPUTS, columns.table_format)
    columns = dataclasses.replace(
        columns, time="", customer="", terminal="", amount="", label="",
        id=columns.id if columns.id in known else "",
    )  # fmt: skip
    names = [*columns.names(), *(column.name for column in scorer.own)]
    table = tables.read(
        path, names, own_columns.texts(scorer.own), INPUTS,
        columns.table_format, own_columns.as_written(scorer.own),
    )  # fmt: skip
    checks = Checks(Path(path), table.num_rows, skip_bad)
    ids = ids_of(table, columns.id, checks)
    kept = checks.good_rows()
    read_columns, values, notes = own_cells.read(
        table, scorer.own, columns.table_format
    )
    raw = scorer.coded(read_columns, values).astype(np.float32)
    return ids[kept], raw[kept], [*checks.notes, *notes]
