"""The model card: a release in Markdown, from nothing but its report.

The sections are those of Mitchell et al., "Model Cards for Model Reporting"
(2019), as far as something was measured, or recorded, that belongs there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from . import metrics, page, slices

NAME = "model_card.md"
MOST_CLASSES = 50  # Of more classes, those are shown that are weakest.

# Characters that are markup in CommonMark and GitHub's tables and formulas. An
# underscore inside a word is none.
MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
# What would begin a heading, a list or a line at the start of a text.
START = re.compile(r"^([#+-]+|=+|\d+[.)])(?=\s|$)")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Markdown(str):
    """Text that is markup already, and is not escaped any more."""


def render(report: page.Report) -> str:
    """Returns the model card of a report; every text in it is escaped.

    Args:
        report: The content of `report.json`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escape,
    )
    variants = page.without_empty(page.rows(report))
    return environment.get_template("card.md").render(
        report=report,
        table=table,
        about=_about(report),
        limits=_limits(report),
        data=_data(report),
        classes=_class_counts(report),
        metrics=_metrics(report),
        baselines=_baselines(report),
        per_class=_per_class(report),
        num_classes=len(next(iter(page.classes(report).values()), ())),
        slices=slices.tables(report),
        files=variants,
        chosen=next(r["name"] for r in report["variants"] if r["chosen"]),
        decisions=page.decisions(report),
        cost=_cost(report),
    )


def escape(value: Any) -> str:
    """Returns a value as text that Markdown shows as it is, on one line."""
    if isinstance(value, Markdown):
        return value
    line = CONTROLS.sub("", " ".join(page.shown(value).split()))
    line = MARKUP.sub(r"\\\g<0>", line.replace("&", "&amp;"))
    line = line.replace("<", "&lt;").replace(">", "&gt;")
    return START.sub(_escape_last, line)


def _escape_last(start: re.Match[str]) -> str:
    """Returns the start of a text with a backslash before its last letter."""
    return f"{start[0][:-1]}\\{start[0][-1]}"


def table(header: Sequence[Any], lines: Iterable[Sequence[Any]]) -> Markdown:
    """Returns a table; the text of its cells is escaped.

    Args:
        header: The names of the columns.
        lines: The cells, row by row.
    """
    rule = ["---"] * len(header)
    rows = [[escape(cell) for cell in row] for row in (header, *lines)]
    return Markdown(
        "\n".join(
            f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])
        )
    )


def _about(report: page.Report) -> list[tuple[str, str]]:
    """Returns the names and values of what the model is."""
    model = report["model"]
    about = [
        ("application", report["app"]),
        ("network", f"{model['name']}, {model['weights']:,} weights"),
        ("made on", report["date"]),
    ]
    if license := report["config"].get("license"):
        about.append(("licence", license))
    if teacher := report.get("teacher"):
        about.append(
            (
                "teacher",
                f"{teacher['name']}, {teacher['weights']} weights, whose "
                "outputs the network learnt too",
            )
        )
    return about


def _limits(report: page.Report) -> list[str]:
    """Returns sentences on where the model must not be trusted.

    They are the application's, and those that follow from the figures.
    """
    name = report["dataset"]["name"]
    limits = [*report["limits"], f"All figures are of {name} alone."]
    columns = page.classes(report)
    if "f1" in columns and len(columns["class"]) > 1:
        place = min(range(len(columns["f1"])), key=columns["f1"].__getitem__)
        limits.append(
            f"On test the weakest of {len(columns['class'])} classes is "
            f"{columns['class'][place]}: F1 {columns['f1'][place]:.4f}, "
            f"recall {columns['recall'][place]:.4f}, of "
            f"{columns['support'][place]:,} examples."
        )
    if report.get("worst_slice"):
        limits.append(report["worst_slice"])
    return limits


def _data(report: page.Report) -> list[tuple[str, Any]]:
    """Returns the names and values of what is known of the data."""
    more = [(key, value) for key, value in report["dataset"].items()]
    if _class_counts(report):
        return more
    return more + [row for row in page.facts(report) if "Classes" in row[0]]


def _class_counts(report: page.Report) -> list[list[Any]]:
    """Returns the examples of each class by split; header first.

    It is empty if they are not known, or are too many to list.
    """
    counts = report["classes"]
    names = list(dict.fromkeys(name for row in counts.values() for name in row))
    if not 0 < len(names) <= MOST_CLASSES:
        return []
    return [
        ["class", *(page.SPLITS.get(split, split) for split in counts)],
        *(
            [name, *(row.get(name) for row in counts.values())]
            for name in names
        ),
    ]


def _metrics(report: page.Report) -> list[list[Any]]:
    """Returns a row for each metric, with its interval on test; header first.

    The ends of an interval have no rows of their own.
    """
    (figure, test, *others), *lines = page.metrics(report)
    values = report["metrics"]["test"]
    intervals = {line[0]: _interval(report, values, line[0]) for line in lines}
    rows = [
        [name, value, intervals[name], *more]
        for name, value, *more in lines
        if not _is_end(name, values)
    ]
    return page.without_empty([[figure, test, "95 % interval", *others], *rows])


def _baselines(report: page.Report) -> list[list[Any]]:
    """Returns a row for each method, the model first, below a header.

    It is empty if there are no baselines.
    """
    if not (figures := page.baselines(report)):
        return []
    metric = report["task_metric"]
    values = [report["metrics"]["test"]]
    values += [row["metrics"] for row in report["baselines"]]
    figures = [row for row in figures if not _is_end(row[0], values[0])]
    header, *rows = (list(row) for row in zip(*figures, strict=True))
    return page.without_empty(
        [
            ["method", *header[1:], f"95 % interval of {metric}"],
            *(
                [*row, _interval(report, of_row, metric)]
                for row, of_row in zip(rows, values, strict=True)
            ),
        ]
    )


def _is_end(name: str, values: Mapping[str, Any]) -> bool:
    """Tells whether a metric is an end of another one's interval."""
    metric, _, end = name.rpartition("_")
    return end in ("low", "high") and metric in values


def _interval(report: page.Report, values: Mapping[str, Any], name: str) -> str:
    """Returns the 95 % interval of a test metric; "" if there is none.

    Args:
        report: The report.
        values: Figures of the test split, by name.
        name: The metric.
    """
    ends, value = values.get("intervals", {}).get(name), values.get(name)
    if f"{name}_low" in values:
        ends = (values[f"{name}_low"], values[f"{name}_high"])
    # Of examples with one class each, the accuracy is a share.
    elif name == "accuracy" and value is not None and report["classes"]:
        ends = metrics.proportion_interval(value, report["dataset"]["test"])
    return " to ".join(map(page.shown, ends or ()))


def _per_class(report: page.Report) -> list[list[Any]]:
    """Returns the figures of each class, or of the weakest; header first."""
    columns = page.classes(report)
    lines = [list(line) for line in zip(*columns.values(), strict=True)]
    if len(lines) > MOST_CLASSES and "f1" in columns:
        place = list(columns).index("f1")
        lines = sorted(lines, key=lambda line: line[place])[:MOST_CLASSES]
    return [list(columns), *lines] if lines else []


def _cost(report: page.Report) -> list[tuple[str, Any]]:
    """Returns the names and values of what training took."""
    names = {
        "seconds": "seconds",
        "epochs": "epochs",
        "examples_per_second": "examples per second",
        "peak_memory_mb": "peak memory of the run, MB",
        "machine": "machine",
    }
    training = report["training"]
    known = [
        (names[key], str(training[key])) for key in names if key in training
    ]
    return [*known, ("seed", report["seed"])]
