"""The results of the app: the files for phones, the report's figures."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn import metrics as curves

from common.data.splits import Split
from common.keras2 import bridge
from common.mobile import (
    conversion,
    files,
    measurement,
    metadata,
    thresholds,
)
from common.mobile.measurement import Measurement, Pair
from common.report import plots
from common.report.page import Table
from common.shared_options import LSTMOptions, Options
from common.training import fitting, inference
from common.variants import Plan, Techniques

from . import own_columns, ranking
from .config import APP
from .explain import Explainer
from .folds import Data, Fold, Judged
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
        model: The full model, from raw features to scores.
        log: The log of the training.
        valid: Scores of the validation split, `(num,) float32`.
        test: Scores of the test split, `(num,) float32`.
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
    """Returns all metrics of a split.

    Args:
        score: `(num,)` floats.
        judged: The labels, customers and days of the same transactions.
        threshold: Transactions with this score or more are flagged.
        costs: Gives the cards looked at a day, and the costs.
    """
    metrics = ranking.summarize(
        score, judged.fraud, judged.customer, judged.day, costs.top
    )
    return {
        **metrics,
        **at_threshold(score, judged.fraud, judged.day, threshold, costs),
    }


def at_threshold(
    score: np.ndarray,
    fraud: np.ndarray,
    day: np.ndarray,
    threshold: float,
    costs: Costs,
) -> dict[str, float]:
    """Returns precision, recall, alerts a day and cost a day at a threshold.

    Args:
        score: `(num,)` floats.
        fraud: `(num,)` zeros and ones.
        day: `(num,)` integers.
        threshold: Transactions with this score or more are flagged.
        costs: The costs of a missed fraud and of an alert.
    """
    at = ranking.at_threshold(score, fraud, day, threshold)
    missed = (1 - at["recall"]) * int(fraud.sum()) / len(np.unique(day))
    cost = missed * costs.miss + at["alerts_per_day"] * costs.alert
    return {**at, "cost_per_day": cost}


def decide(valid: Pair, test: Pair, costs: Costs) -> dict[str, float]:
    """Returns a file's threshold, and its metrics on test.

    Args:
        valid: Scores `(num, 1)`, and labels and days `(num, 2)`, of the
            validation split, which the threshold is fitted to.
        test: The same of the test split, which is judged.
        costs: Gives the alert budget.
    """
    (valid_score, valid_truth), (score, truth) = valid, test
    threshold = ranking.threshold(
        valid_score[:, 0], valid_truth[:, 1], costs.alerts
    )
    at = at_threshold(score[:, 0], truth[:, 0], truth[:, 1], threshold, costs)
    return {"threshold": threshold, **at}


def summarize(
    outcomes: Sequence[Outcome], costs: Costs
) -> dict[str, dict[str, float]]:
    """Returns the metrics of `valid` and `test`, means over the folds."""
    means = {}
    for name in ("valid", "test"):
        folds = [
            measure(getattr(o, name), getattr(o.fold, name), o.threshold, costs)
            for o in outcomes
        ]
        means[name] = {
            key: float(np.mean([metrics[key] for metrics in folds]))
            for key in folds[0]
            if all(key in metrics for metrics in folds)
        }
        means[name]["threshold"] = outcomes[-1].threshold
    return means


def write_mobile(
    directory: Path,
    outcome: Outcome,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    data: Data,
    costs: Costs,
    options: LSTMOptions,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, and the text files beside them.

    Encoding and score stay in float in every file.

    Args:
        directory: The release's `mobile`, made here.
        outcome: The model that is released.
        twins: The network's tf_keras twins, from `chain.compress`.
        plan: The files to write.
        data: Gives the features' names and the table's own columns.
        costs: Gives the alert budget of the thresholds.
        options: Give the form of LSTMs, the seed and the size of the sample;
            see `measurement.rows`.

    Returns:
        The rows of `variants` in `report.json`.
    """
    detector, splits = outcome.detector, outcome.fold.splits
    raw, network = splits.train.features, detector.network
    models = {
        techniques: bridge.around(
            settle(detector, raw, twin).full_model(), network, twin
        )
        for techniques, twin in twins.items()
    }
    sample = splits.train.sample(CALIBRATION_ROWS, options.seed)
    layers = {layer.name for model in models.values() for layer in model.layers}
    floats = tuple(sorted(layers - {network.name}))
    paths = conversion.write(
        directory, models, plan, {"features": sample.features}, ["score"],
        conversion.Int8("float32", whole=False, denylist=floats),
        lstm=options.mobile_lstm,
    )  # fmt: skip
    files.write_names(directory / files.FEATURES, data.names)
    if data.own:
        own_columns.write(directory / own_columns.FILE, data.own)
    metadata.write(paths, facts(options.license))
    return measurement.measure_all(
        paths, _measurement(outcome, costs, options), options.max_drop
    )


def facts(license: str) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves."""
    return metadata.Facts(
        APP,
        "Scores a card transaction; a higher score is more suspicious.",
        {
            "features": metadata.Tensor(
                "The transaction's features, in their own units.",
                names=files.FEATURES,
            )
        },
        {
            "score": metadata.Tensor(
                f"The score. {thresholds.FILE} beside the model has the "
                "threshold."
            )
        },
        license,
    )


def _measurement(
    outcome: Outcome, costs: Costs, options: Options
) -> Measurement:
    """Returns the data and the metric that the files are measured with."""
    fold, splits = outcome.fold, outcome.fold.splits
    rows = {
        name: measurement.rows(getattr(splits, name).num_examples, options)
        for name in ("valid", "test")
    }
    valid, test = (getattr(splits, k).choose(v) for k, v in rows.items())
    return Measurement(
        valid=lambda: dated(valid, fold.valid.day[rows["valid"]]),
        test=lambda: dated(test, fold.test.day[rows["test"]]),
        reference=outcome.test[rows["test"], None],
        metric=lambda scores, truth: float(
            curves.average_precision_score(truth[:, 0], scores[:, 0])
        ),
        decide=lambda _, valid, test: decide(valid, test, costs),
    )


def dated(
    split: Split, day: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches of raw features, and of labels and days `(batch, 2)`.

    Args:
        split: The transactions.
        day: The days of the same transactions, `(num,)` integers.
    """
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
) -> list[plots.Plot | Table]:
    """Returns the plots and tables of the report.

    Args:
        result: The report.
        outcomes: The outcomes of all folds.
        costs: The alert budget and the costs.
        explainer: Names the reasons for which transactions were flagged.
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
    """Returns the plot of precision against recall, the threshold marked."""
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
        f"At the threshold: precision {at['precision']:.4f}, recall "
        f"{at['recall']:.4f}.",
    )


def cost_plot(outcome: Outcome, costs: Costs) -> plots.Plot:
    """Returns the plot of the cost of a day against its alerts."""
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
        f"At the threshold: {at:.1f} alerts a day, which cost {cost[place]:g}.",
    )


def by_week(outcomes: Sequence[Outcome], costs: Costs) -> Table:
    """Returns the table of the test weeks; each fold has its own model."""
    weeks: list[tuple[list[Any], dict[str, float]]] = []
    for outcome in outcomes:
        judged = outcome.fold.test
        week = (judged.day - judged.day[0]) // 7
        for number in np.unique(week):
            part = week == number
            of_week = judged.pick(part)
            if not 0 < of_week.fraud.sum() < len(of_week.fraud):
                continue  # Ranking metrics need both classes.
            start = str(np.datetime64(int(of_week.day[0]), "D"))
            metrics = measure(
                outcome.test[part], of_week, outcome.threshold, costs
            )
            lead = [start, len(of_week.day), int(of_week.fraud.sum())]
            weeks.append((lead, metrics))
    # A week may lack a metric of the others, such as the card precision.
    names = list(dict.fromkeys(key for _, metrics in weeks for key in metrics))
    rows = [[*lead, *map(metrics.get, names)] for lead, metrics in weeks]
    header = ["week of", "transactions", "frauds", *names]
    return Table("By week", "Test figures of each week.", header, rows)


def alert_table(outcome: Outcome, explainer: Explainer) -> Table:
    """Returns the table of the most suspicious test transactions."""
    judged = outcome.fold.test
    order = np.argsort(-outcome.test, kind="stable")[:SHOWN_ALERTS]
    raw = outcome.fold.splits.test.pick(order).features
    reasons = explainer.reasons(explainer.parts(raw)).numpy()
    rows = [
        [judged.ids[row], float(outcome.test[row]),
         "fraud" if judged.fraud[row] else "honest",
         ", ".join(name.decode() for name in row_reasons if name)]
        for row, row_reasons in zip(order, reasons, strict=True)
    ]  # fmt: skip
    return Table(
        "The strongest alerts",
        "Test transactions with the highest scores, what they were, and the "
        "quantities that raised the score most, the strongest first.",
        ["transaction", "score", "is", "reasons"],
        rows,
    )


def write_history(directory: Path, data: Data) -> None:
    """Writes the history that serving continues, if there is one.

    Args:
        directory: The release.
        data: The data that the release was made from.
    """
    if data.history is not None:
        assets = directory / "assets.extra"
        assets.mkdir(exist_ok=True)
        data.history.save(assets / "history.npz")
