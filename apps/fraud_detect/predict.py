"""Using a release: scores for new transactions, evaluation on a data set."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from apps.fraud_detect import features, results
from apps.fraud_detect.data import Data
from apps.fraud_detect.history import History
from apps.fraud_detect.sequences import previous
from apps.fraud_detect.transactions import Checks, Columns, numbers, read
from common import predictions, report, runtime, served, tables
from common.config import ConfigT, InputError

BATCH = 4096
INPUTS = "--inputs"
SHOWN = 20


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
    path = asked.release / "mobile" / "features.txt"
    if not path.is_file():
        raise InputError(
            f"--release must be of fraud_detect; {asked.release} has no "
            "mobile/features.txt."
        )
    return tuple(path.read_text("utf-8").split("\n")[:-1])


def as_trained(config: ConfigT, asked: served.Served) -> ConfigT:
    """Returns `config` with what a release was trained with.

    Columns, days and costs that the command line leaves at their defaults are
    the release's, as is the data set unless one is named.
    """
    trained = report.read(asked.release)["config"] if asked.has_files else {}
    kept = ("mode", "release", "inputs", "output", "export_dir", "data_dir")
    changes = {}
    for field in dataclasses.fields(config):
        if field.name in kept or field.name not in trained:
            continue
        if getattr(config, field.name) == field.default:
            value = trained[field.name]
            changes[field.name] = (
                tuple(value) if isinstance(value, list) else value
            )
    return config.replace(**changes)


def evaluate(
    scorer: Scorer, found: Data, costs: results.Costs
) -> dict[str, Any]:
    """Returns the metrics of the last fold's test split."""
    fold = found.folds[-1]
    if found.names != scorer.names:
        raise InputError(
            f"--dataset must have the release's features, "
            f"{', '.join(scorer.names)}; it has {', '.join(found.names)}."
        )
    answer = scorer(fold.splits.test.features)
    flagged = answer["is_fraud"].astype(bool)
    # Any threshold between the two groups says the same.
    threshold = answer["score"][flagged].min() if flagged.any() else np.inf
    return {
        "dataset": fold.splits.name,
        "examples": fold.splits.test.num_examples,
        **results.measure(
            answer["score"].astype(np.float64), fold.test, threshold, costs
        ),
    }


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
    answer = scorer(raw)
    rows: list[dict[str, Any]] = [
        {
            "id": str(id),
            "score": round(float(score), 6),
            "is_fraud": bool(flag),
            "reasons": ", ".join(one.decode() for one in why if one),
        }
        for id, score, flag, why in zip(
            ids, answer["score"], answer["is_fraud"], answer["reasons"],
            strict=True,
        )
    ]  # fmt: skip
    if output:
        predictions.write(Path(output), rows, raw_output)
    worst = sorted(rows, key=lambda row: -row["score"])[:SHOWN]
    predictions.show(worst)
    console = runtime.console()
    for note in notes:
        console.print(f"note: {note}")
    flagged = sum(row["is_fraud"] for row in rows)
    console.print(f"{flagged} of {len(rows)} flagged; shown: {len(worst)}")


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
    if not scorer.steps:
        found = features.compute(table, history.delay, start, history.names)
        return new.ids, found, notes
    every = features.compute(table, history.delay, names=history.names)
    steps = previous(table, scorer.steps)[start:]
    return new.ids, every[steps] * (steps >= 0)[..., None], notes


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
