"""What this app leaves: the files for phones, the report's figures."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn import metrics as curves

from common.data.splits import Split
from common.keras2 import bridge
from common.mobile import conversion, files, measurement
from common.mobile.measurement import Measurement, Pair
from common.report import plots
from common.report.page import Table
from common.shared_options import Options
from common.training import fitting, inference

from . import ranking
from .data import Data, Fold, Judged
from .explain import Explainer
from .model import Detector, settle
from .settings import Costs

CALIBRATION_ROWS = 500
SHOWN_ALERTS = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A fold's trained model and its scores.

    Attributes:
        fold: The data.
        detector: The model in its parts.
        model: The whole, from raw features to scores.
        log: What training did.
        valid: Scores `(num,)`.
        test: Likewise.
        threshold: From this score on there are `Costs.alerts` alerts a day on
            the validation split.
        work_dirs: Where training kept its checkpoints.
    """

    fold: Fold
    detector: Detector
    model: keras.Model
    log: fitting.Log
    valid: np.ndarray
    test: np.ndarray
    threshold: float
    work_dirs: list[Path]


def measure(
    score: np.ndarray, judged: Judged, threshold: float, costs: Costs
) -> dict[str, float]:
    """Returns all figures of a split."""
    found = ranking.summarize(
        score, judged.fraud, judged.customer, judged.day, costs.top
    )
    return {
        **found,
        **at_threshold(score, judged.fraud, judged.day, threshold, costs),
    }


def at_threshold(
    score: np.ndarray,
    fraud: np.ndarray,
    day: np.ndarray,
    threshold: float,
    costs: Costs,
) -> dict[str, float]:
    """Returns precision, recall, alerts a day and what they cost."""
    at = ranking.at_threshold(score, fraud, day, threshold)
    missed = (1 - at["recall"]) * int(fraud.sum()) / len(np.unique(day))
    cost = missed * costs.miss + at["alerts_per_day"] * costs.alert
    return {**at, "cost_per_day": cost}


def decide(valid: Pair, test: Pair, costs: Costs) -> dict[str, float]:
    """Returns a file's threshold, and what it gives on test.

    Args:
        valid: Scores `(num, 1)`, which the threshold is fitted to; fraud and
            day `(num, 2)`.
        test: Likewise, to be judged.
        costs: Gives the alert budget.
    """
    (known, about), (score, truth) = valid, test
    threshold = ranking.threshold(known[:, 0], about[:, 1], costs.alerts)
    at = at_threshold(score[:, 0], truth[:, 0], truth[:, 1], threshold, costs)
    return {"threshold": threshold, **at}


def summarize(
    outcomes: Sequence[Outcome], costs: Costs
) -> dict[str, dict[str, float]]:
    """Returns the metrics of each split, means over the folds."""
    found = {}
    for name in ("valid", "test"):
        each = [
            measure(getattr(o, name), getattr(o.fold, name), o.threshold, costs)
            for o in outcomes
        ]
        found[name] = {
            key: float(np.mean([one[key] for one in each]))
            for key in each[0]
            if all(key in one for one in each)
        }
        found[name]["threshold"] = outcomes[-1].threshold
    return found


def write_mobile(
    directory: Path,
    outcome: Outcome,
    twins: dict,
    variants: list,
    names: Sequence[str],
    costs: Costs,
    options: Options,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, `features.txt` and thresholds.

    Encoding and score stay in float in every file.
    """
    detector, splits = outcome.detector, outcome.fold.splits
    raw, network = splits.train.features, detector.network
    whole = {
        techniques: bridge.around(
            settle(detector, raw, twin).whole(), network, twin
        )
        for techniques, twin in twins.items()
    }
    few = splits.train.sample(CALIBRATION_ROWS, options.seed)
    layers = {one.name for model in whole.values() for one in model.layers}
    floats = tuple(sorted(layers - {network.name}))
    paths = conversion.write(
        directory, whole, variants, {"features": few.features}, ["score"],
        conversion.Int8("float32", whole=False, denylist=floats),
    )  # fmt: skip
    files.write_names(directory / files.FEATURES, names)
    fold = outcome.fold
    rows = {
        name: measurement.rows(getattr(splits, name).num_examples, options)
        for name in ("valid", "test")
    }
    valid, test = (getattr(splits, k).choose(v) for k, v in rows.items())
    how = Measurement(
        valid=lambda: dated(valid, fold.valid.day[rows["valid"]]),
        test=lambda: dated(test, fold.test.day[rows["test"]]),
        reference=outcome.test[rows["test"], None],
        metric=lambda found, truth: float(
            curves.average_precision_score(truth[:, 0], found[:, 0])
        ),
        decide=lambda _, valid, test: decide(valid, test, costs),
    )
    return measurement.measure_all(paths, how, options.max_drop)


def dated(
    split: Split, day: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches of raw features, and of labels and days `(num, 2)`."""
    start = 0
    for raw, labels in inference.batches(split):
        days = day[start : start + len(labels)]
        start += len(labels)
        yield raw, np.stack([labels, days], axis=1)


def draw(
    result: dict[str, Any],
    outcomes: Sequence[Outcome],
    costs: Costs,
    explainer: Explainer,
) -> list[Any]:
    """Returns the plots and tables of the report.

    Args:
        result: The report.
        outcomes: Of all folds.
        costs: See `Costs`.
        explainer: Says why transactions were flagged.
    """
    last = outcomes[-1]
    second = next(key for key in result["history"] if key != "loss")
    return [
        plots.size_against_metric(
            result["variants"], "average_precision",
            result["config"]["max_drop"],
        ),
        plots.learning_curves(result["history"], second),
        precision_recall(last),
        cost_plot(last, costs),
        by_week(outcomes, costs),
        alert_table(last, explainer),
    ]  # fmt: skip


def precision_recall(outcome: Outcome) -> plots.Plot:
    """Plots precision against recall on test, and the threshold chosen."""
    fraud, score = outcome.fold.test.fraud, outcome.test
    figure = plots.new_figure(6.4, 4.2)
    axes = figure.subplots()
    precision, recall, _ = curves.precision_recall_curve(fraud, score)
    axes.plot(recall, precision, c=plots.BLUE)
    at = ranking.at_threshold(
        score, fraud, outcome.fold.test.day, outcome.threshold
    )
    axes.plot(at["recall"], at["precision"], "o", c=plots.ORANGE, zorder=3)
    axes.axhline(fraud.mean(), c=plots.GREY, lw=0.8, ls=":")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    plots.style(axes)
    return plots.Plot(
        "precision_recall",
        "Precision and recall",
        "Test transactions. Orange: the threshold, chosen on validation for "
        "the alert budget. Dotted: what alerts at random would find.",
        figure,
    )


def cost_plot(outcome: Outcome, costs: Costs) -> plots.Plot:
    """Plots the cost of a day against the alerts of a day."""
    judged = outcome.fold.test
    alerts, cost = ranking.cost_curve(
        outcome.test, judged.fraud, judged.day, costs.miss, costs.alert
    )
    at = ranking.at_threshold(
        outcome.test, judged.fraud, judged.day, outcome.threshold
    )["alerts_per_day"]
    end = np.searchsorted(alerts, max(4 * costs.alerts, 2 * at))
    figure = plots.new_figure(6.4, 4.2)
    axes = figure.subplots()
    axes.plot(alerts[:end], cost[:end], c=plots.BLUE)
    place = min(int(np.searchsorted(alerts, at)), len(cost) - 1)
    axes.plot(at, cost[place], "o", c=plots.ORANGE, zorder=3)
    axes.set(xlabel="alerts per day", ylabel="cost per day", ylim=(0, None))
    plots.style(axes)
    return plots.Plot(
        "cost",
        "What alerts cost",
        f"A missed fraud costs {costs.miss:g}, an alert {costs.alert:g}. "
        "Orange: the threshold for the alert budget.",
        figure,
    )


def by_week(outcomes: Sequence[Outcome], costs: Costs) -> Table:
    """Tabulates the test weeks; each fold has its own model."""
    weeks: list[tuple[list[Any], dict[str, float]]] = []
    for one in outcomes:
        judged = one.fold.test
        week = (judged.day - judged.day[0]) // 7
        for number in np.unique(week):
            part = week == number
            few = Judged(
                *(getattr(judged, field.name)[part]
                  for field in dataclasses.fields(judged))
            )  # fmt: skip
            if not 0 < few.fraud.sum() < len(few.fraud):
                continue  # Ranking metrics need both classes.
            start = str(np.datetime64(int(few.day[0]), "D"))
            found = measure(one.test[part], few, one.threshold, costs)
            lead = [start, len(few.day), int(few.fraud.sum())]
            weeks.append((lead, found))
    # A week may lack what the others have: cards, for one.
    names = list(dict.fromkeys(key for _, found in weeks for key in found))
    rows = [[*lead, *map(found.get, names)] for lead, found in weeks]
    header = ["week of", "transactions", "frauds", *names]
    return Table("By week", "Test figures of each week.", header, rows)


def alert_table(outcome: Outcome, explainer: Explainer) -> Table:
    """Tabulates the most suspicious test transactions and why."""
    judged = outcome.fold.test
    order = np.argsort(-outcome.test, kind="stable")[:SHOWN_ALERTS]
    raw = outcome.fold.splits.test.pick(order).features
    reasons = explainer.reasons(explainer.parts(raw)).numpy()
    rows = [
        [judged.ids[row], float(outcome.test[row]),
         "fraud" if judged.fraud[row] else "honest",
         ", ".join(one.decode() for one in why if one)]
        for row, why in zip(order, reasons, strict=True)
    ]  # fmt: skip
    return Table(
        "The strongest alerts",
        "Test transactions with the highest scores, what they were, and the "
        "quantities that raised the score most, the strongest first.",
        ["transaction", "score", "is", "reasons"],
        rows,
    )


def write_history(directory: Path, found: Data) -> None:
    """Writes what serving continues with, if the data are transactions."""
    if found.history is not None:
        place = directory / "assets.extra"
        place.mkdir(exist_ok=True)
        found.history.save(place / "history.npz")
