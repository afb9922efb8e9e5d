"""Using a release: scores for new transactions, evaluation on a data set."""

import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import console
from common.data import tables
from common.mobile import files
from common.options import InputError, is_given
from common.release import evaluation, predictions, served

from . import ranking, results, train
from .config import APP, Config
from .data import Data, features_from
from .history import History
from .settings import Columns, Costs
from .transactions import Checks, numbers, read

BATCH = 4096
INPUTS = "--inputs"
SHOWN = 20


def run(config: Config) -> None:
    """Predicts, or evaluates, with a release."""
    use = evaluation.use(config, APP)
    scorer = Scorer(use.served)
    # A release is asked as it was trained: the same columns, the same weeks.
    options = use.config
    if config.mode == "predict":
        predict_file(
            scorer, options.inputs, options.output, options.columns(),
            options.on_bad_input == "skip", options.raw_output,
        )  # fmt: skip
        return
    # Given ones choose their own threshold; the release has one for its own.
    alerts = config.alerts if is_given(config, "alerts") else None
    found = (
        train.load_data(options, scorer.names, scorer.history())
        if use.whole
        else train.load_data(options)
    )
    evaluation.show(evaluate(scorer, found, options.costs(), alerts))


class Scorer:
    """A released detector, asked as a client asks a server.

    Attributes:
        names: The raw features.
        steps: Transactions in a sequence; 0 for none.
    """

    def __init__(self, asked: served.Served) -> None:
        self._served = asked
        self.names = _names(asked)
        shape = asked.inputs()[self.names[0]].shape
        self.steps = int(shape[1]) if len(shape) > 1 else 0

    def __call__(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """Returns `score`, `is_fraud` and `reasons` for raw features."""
        parts = []
        for start in range(0, len(raw), BATCH):
            few = raw[start : start + BATCH]
            named: dict[str, Any] = {
                name: few[..., i] for i, name in enumerate(self.names)
            }
            parts.append(self._served(**named))
        return {
            key: np.concatenate([part[key] for part in parts])
            for key in parts[0]
        }

    def history(self) -> History | None:
        """Returns what the release knows of the past, if it has any.

        Where only a server is known there is none: it takes features.
        """
        if not self._served.has_files:
            return None
        path = self._served.release / "assets.extra" / "history.npz"
        return History.load(path) if path.is_file() else None


def _names(asked: served.Served) -> tuple[str, ...]:
    """Returns the names of the raw features."""
    if not asked.has_files:
        return tuple(asked.inputs())
    return files.read_names(asked.release / "mobile" / files.FEATURES, APP)


def evaluate(
    scorer: Scorer,
    found: Data,
    costs: Costs,
    alerts: float | None = None,
) -> dict[str, Any]:
    """Returns the metrics of the last fold's test split.

    Args:
        scorer: The release.
        found: The data.
        costs: What it is judged by.
        alerts: Judge so many alerts a day, whatever the release's threshold.
    """
    fold = found.folds[-1]
    evaluation.check_names(
        "features", fold.splits.name, found.names, scorer.names
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
    # Any threshold between the two groups says the same.
    threshold = score[flagged].min() if flagged.any() else np.inf
    if alerts is not None:
        threshold = ranking.threshold(score, fold.test.day, alerts)
    return evaluation.describe(
        fold.splits.name,
        len(score),
        fold.splits.judged,
        results.measure(score, fold.test, threshold, costs),
        unknown(fold.test.fraud, bool((score >= threshold).any()), costs),
        fold.splits.notes,
    )


def unknown(fraud: np.ndarray, any_alert: bool, costs: Costs) -> dict[str, str]:
    """Returns which metrics cannot be computed, and why.

    Args:
        fraud: `(num,)` zeros and ones.
        any_alert: Whether there is any alert.
        costs: Names the card precision.
    """
    found = {}
    ranked = ("average_precision", "auc_roc")
    if not any_alert:
        found["precision"] = "there is no alert"
    if fraud.all():
        found |= dict.fromkeys(ranked, "all transactions are frauds")
    if not fraud.any():
        names = (*ranked, f"card_precision@{costs.top}", "recall")
        found |= dict.fromkeys(names, "there is no fraud")
    return found


def predict_file(
    scorer: Scorer,
    path: str,
    output: str,
    columns: Columns,
    skip_bad: bool,
    raw_output: bool = False,
) -> None:
    """Scores the rows of a table; prints the most suspicious.

    New transactions continue the history that the release was made with.
    """
    predictions.check_output(output)
    if not path:
        raise InputError("--inputs must name a table; received nothing.")
    history = scorer.history()
    if history is None:
        ids, raw, notes = _ready_made(scorer, path, columns, skip_bad)
    else:
        ids, raw, notes = _new(scorer, history, path, columns, skip_bad)
    rows: Iterator[predictions.Row] = _rows(scorer, ids, raw)
    if output:
        rows = predictions.write(Path(output), rows, raw_output)
    worst, flagged = _worst(rows)
    predictions.print_table(worst)
    terminal = console.get()
    for note in notes:
        terminal.print(f"note: {note}")
    terminal.print(f"{flagged} of {len(raw)} flagged; shown: {len(worst)}")


def _rows(
    scorer: Scorer, ids: np.ndarray, raw: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yields what is said of each transaction, `BATCH` at a time."""
    for start in range(0, len(raw), BATCH):
        answer = scorer(raw[start : start + BATCH])
        for id, score, flag, why in zip(
            ids[start : start + BATCH], answer["score"], answer["is_fraud"],
            answer["reasons"], strict=True,
        ):  # fmt: skip
            yield {
                "id": str(id),
                "score": round(float(score), 6),
                "is_fraud": bool(flag),
                "reasons": ", ".join(one.decode() for one in why if one),
            }


def _worst(
    rows: Iterable[predictions.Row],
) -> tuple[list[predictions.Row], int]:
    """Returns the most suspicious rows, and how many of all are flagged."""
    flagged = 0

    def counted() -> Iterator[predictions.Row]:
        nonlocal flagged
        for row in rows:
            flagged += row["is_fraud"]
            yield row

    worst = heapq.nlargest(SHOWN, counted(), key=lambda row: row["score"])
    return worst, flagged


def _new(
    scorer: Scorer,
    history: History,
    path: str,
    columns: Columns,
    skip_bad: bool,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns ids and features of new transactions, and notes."""
    known = tables.names(path, INPUTS)
    columns = dataclasses.replace(
        columns,
        id=columns.id if columns.id in known else "",
        label="",  # Nobody knows it yet.
    )
    new, notes = read(path, columns, skip_bad, INPUTS)
    table = history.followed_by(new)
    start = len(table) - len(new)
    found = features_from(
        table, start, history.delay, history.names, scorer.steps
    )
    return new.ids, found, notes


def _ready_made(
    scorer: Scorer, path: str, columns: Columns, skip_bad: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns row numbers and features of a feature table, and notes."""
    table = tables.read(path, scorer.names, option=INPUTS)
    checks = Checks(Path(path), table.num_rows, skip_bad)
    column = [numbers(table[name], name, checks) for name in scorer.names]
    rows = checks.good_rows()
    raw = np.stack(column, axis=1)[rows].astype(np.float32)
    return rows, raw, checks.notes
