"""The sentence at the top of a report, for readers who know nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import terms

MOST_LISTED = 6  # The most classes whose shares fit one line.


@dataclass(frozen=True)
class Subject:
    """What a report is about, in the words of its app.

    Attributes:
        title: The heading of the page, such as "Image classification".
        model: The kind of network, or the name of the user's model.
        examples: What the model learns from, in the plural, such as "images".
        task: What it learnt; it ends "learnt from 1,293 images of digits ...".
        data: The data's name in that sentence; "" for the name in the report.
        judged: What the figures are means over, in the plural; "" if these are
            `examples`.
        verb: What was done with the examples.
        terms: A phrase of explanation for figures of the app's own, by name.
        use: What the model is for, in full sentences.
        limits: What it cannot do, or must not be used for, a sentence each.
    """

    title: str
    model: str
    examples: str
    task: str
    data: str = ""
    judged: str = ""
    verb: str = "learnt from"
    terms: Mapping[str, str] = field(default_factory=dict)
    use: str = ""
    limits: Sequence[str] = ()


def best_baseline(
    metric: str, baselines: Sequence[Mapping[str, Any]], higher_is_better: bool
) -> tuple[str, float] | None:
    """Returns the name and the figure of the best baseline, if any has one.

    Args:
        metric: The task metric.
        baselines: Rows of the report; rows without the metric are left out.
        higher_is_better: Whether more of the metric is better.
    """
    sign = 1 if higher_is_better else -1
    values = [
        (row["name"], row["metrics"][metric])
        for row in baselines
        if row["metrics"].get(metric) is not None
    ]
    return max(values, key=lambda pair: sign * pair[1], default=None)


def sentence(report: Mapping[str, Any], subject: Subject) -> str:
    """Returns what was learnt, from what, how well, and what ships.

    Args:
        report: `report.json`, as far as it has been made.
        subject: The words of the app.
    """
    data, metric = report["dataset"], report["task_metric"]
    learnt = (
        f"The model ({subject.model}) {subject.verb} {data['train']:,} "
        f"{subject.examples} of {subject.data or data['name']} {subject.task}"
    )
    meaning = subject.terms.get(metric) or terms.METRICS.get(metric, "")
    explained = f" ({meaning})" if meaning else ""
    return (
        f"{learnt}: on {data['test']:,} {subject.judged or subject.examples} "
        f"kept for this test, its {metric.replace('_', ' ')}{explained} is "
        f"{figure(report['metrics']['test'].get(metric))}"
        f"{_compared(report)}{_shipped(report)}."
    )


def figure(value: float | None) -> str:
    """Returns a figure as the report shows it."""
    return "unknown" if value is None else f"{value:.4f}"


def _compared(report: Mapping[str, Any]) -> str:
    """Returns how the model stands against the best baseline."""
    metric, higher = report["task_metric"], report["higher_is_better"]
    # A part of the model is no simpler method.
    others = [row for row in report["baselines"] if not row.get("part")]
    best = best_baseline(metric, others, higher)
    value = report["metrics"]["test"].get(metric)
    if best is None or value is None:
        return ", and no simpler method was measured beside it"
    name, other = best
    shown = figure(other)
    if shown == figure(value):
        return f", no better than a simple method ({name})"
    if (value > other) == higher:
        return f", against {shown} by the best of the simple methods ({name})"
    return f", worse than the {shown} of a simple method ({name})"


def _shipped(report: Mapping[str, Any]) -> str:
    """Returns what the file for phones is, how large, and how good."""
    rows = report["variants"]
    chosen = next((row for row in rows if row["chosen"]), None)
    if chosen is None:
        return ""
    times = rows[0]["gzip_bytes"] / chosen["gzip_bytes"]
    metric = report["task_metric"].replace("_", " ")
    num_measured, num_test = chosen["examples"], report["dataset"]["test"]
    part = f"{num_measured:,} of these" if num_measured < num_test else "these"
    smaller = (
        f", {times:.1f} times smaller than uncompressed" if times > 1.05 else ""
    )
    return (
        "; what ships is the model for servers and, for phones, a file of "
        f"{chosen['gzip_bytes'] / 1000:,.1f} kB when zipped{smaller} "
        f"({terms.variant(chosen['name'])}), whose {metric} on {part} is "
        f"{figure(chosen['metric'])}"
    )


def shares(counts: Mapping[str, int]) -> str:
    """Returns the classes' shares of a split, in a line.

    Args:
        counts: The number of examples by class.
    """
    total = sum(counts.values()) or 1
    parts = [
        (shorten(name), f"{number / total:.1%}")
        for name, number in sorted(counts.items(), key=lambda item: -item[1])
    ]
    if len(parts) <= MOST_LISTED:
        return ", ".join(f"{name}: {share}" for name, share in parts)
    (first, most), *_, (last, least) = parts
    return f"{len(parts)} classes, from {most} ({first}) to {least} ({last})"


def shorten(name: str, length: int = 24) -> str:
    """Returns a name, cut to `length` characters if it is longer."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
