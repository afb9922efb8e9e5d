"""The report as one HTML page that needs no other file."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from .plots import Plot

Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report: examples as text, figures by group.

    Attributes:
        title: The heading above it.
        caption: One sentence on what the table shows.
        header: The columns' names.
        rows: The cells, row by row; floats are shown with four digits, and all
            text is escaped.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


SHOWN = 0.00005  # The smallest difference that four digits show.

COLUMNS = (
    "variant",
    "{metric}",
    "valid",
    "drop",
    "kB",
    "gzip kB",
    "x smaller",
    "sparsity",
    "k mult.",
    "p50 ms",
    "max error",
)


def rows(report: Report) -> list[list[str]]:
    """Returns the table of variants as text; its first row is the header."""
    metric = report["task_metric"]
    table = [[name.format(metric=metric) for name in COLUMNS]]
    float32_bytes = report["variants"][0]["gzip_bytes"]
    for variant in report["variants"]:
        drop = variant["drop"]
        table.append(
            [
                variant["name"],
                _format(variant["metric"]),
                _format(variant["valid_metric"]),
                _format(drop and round(drop, 4) + 0.0),  # No -0.0000.
                f"{variant['bytes'] / 1000:.1f}",
                f"{variant['gzip_bytes'] / 1000:.1f}",
                f"{float32_bytes / variant['gzip_bytes']:.1f}",
                f"{variant['sparsity']:.2f}" if "sparsity" in variant else "",
                _thousands(variant.get("multiplications")),
                f"{variant['latency_ms']['p50']:.3f}",
                _error(variant["max_abs_error"]),
            ]
        )
    return table


def trade_offs(report: Report) -> list[str]:
    """Returns sentences on what other files than the chosen one would cost."""
    rows, metric = report["variants"], report["task_metric"]
    chosen = next(row for row in rows if row["chosen"])
    front = [row["name"] for row in rows if row.get("pareto")]
    sentences = []
    if 0 < len(front) < len(rows):
        sentences.append(
            f"On the Pareto front of size, validation {metric} and latency: "
            f"{', '.join(front)}."
        )
    sign = 1 if report["higher_is_better"] else -1
    better = [
        row
        for row in rows
        if sign * (row["valid_metric"] - chosen["valid_metric"]) >= SHOWN
    ]
    if better:
        next_one = min(better, key=lambda row: row["gzip_bytes"])
        gain = abs(next_one["valid_metric"] - chosen["valid_metric"])
        times = next_one["gzip_bytes"] / chosen["gzip_bytes"]
        sentences.append(
            f"The smallest file that is better than {chosen['name']} is "
            f"{next_one['name']}: its validation {metric} is better by "
            f"{gain:.4f}, and it has {times:.1f} times the bytes."
        )
    return sentences


def _thousands(count: int | None) -> str:
    """Returns a number of multiplications in thousands; "" for None."""
    return "" if count is None else f"{count / 1000:,.1f}"


def decisions(report: Report) -> list[list[str]]:
    """Returns a table of each file's threshold and the figures at it.

    Its first row is the header. It is empty if the files have no thresholds.
    """
    figures = {
        variant["name"]: variant["at_threshold"]
        for variant in report["variants"]
        if "at_threshold" in variant
    }
    if not figures:
        return []
    names = list(next(iter(figures.values())))
    return [
        ["variant", *names],
        *(
            [variant, *(_format(values.get(name)) for name in names)]
            for variant, values in figures.items()
        ),
    ]


def scalars(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Returns the items that are plain numbers."""
    return [(k, v) for k, v in values.items() if isinstance(v, (int, float))]


def render(
    report: Report, sections: Sequence[Table | tuple[Plot, bytes]]
) -> str:
    """Returns the HTML page; every text in it is escaped.

    Args:
        report: What `report.build` returns.
        sections: Tables, and plots with their PNG files, in the order shown.
    """
    metrics = report["metrics"]
    names = list(dict(scalars(metrics["test"])))
    measured = list(metrics.items())
    measured += [(row["name"], row["metrics"]) for row in report["baselines"]]
    return _template().render(
        report=report,
        cards=_cards(report),
        metric_names=names,
        metric_rows=[
            [name, *map(values.get, names)] for name, values in measured
        ],
        variants=rows(report),
        decisions=decisions(report),
        trade_offs=trade_offs(report),
        sections=[
            (section, "")
            if isinstance(section, Table)
            else (section[0], base64.b64encode(section[1]).decode())
            for section in sections
        ],
        tensors=_tensors(report),
        facts=report["training"] | report["versions"] | report["config"],
    )


def _template() -> jinja2.Template:
    """Returns the template of the page, a file beside this module."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _format, "difference": _error}
    environment.globals["zip"] = zip
    return environment.get_template("page.html")


def _cards(report: Report) -> list[tuple[str, str]]:
    """Returns the names and values of the figures at the top of the page."""
    chosen = next(row for row in report["variants"] if row["chosen"])
    float32 = report["variants"][0]
    metric = report["task_metric"]
    return [
        (f"test {metric}", _format(report["metrics"]["test"][metric])),
        ("on the phone", _format(chosen["metric"])),
        ("file, gzip", f"{chosen['gzip_bytes'] / 1000:.1f} kB"),
        ("smaller", f"{float32['gzip_bytes'] / chosen['gzip_bytes']:.1f} x"),
        ("latency p50", f"{chosen['latency_ms']['p50']:.3f} ms"),
    ]


def _tensors(report: Report) -> list[list[str]]:
    """Returns a row for each input and output of the SavedModel."""
    lines = []
    for name, signature in report["serving"]["signatures"].items():
        for side in ("inputs", "outputs"):
            for key, spec in signature[side].items():
                shape = ("batch" if n is None else n for n in spec["shape"])
                text = f"({', '.join(map(str, shape))})"
                lines.append([name, side[:-1], key, spec["dtype"], text])
    return lines


def _format(value: Any) -> str:
    """Returns a figure with four digits, anything else as it is."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _error(value: float | None) -> str:
    """Returns a difference with one digit."""
    return "" if value is None else f"{value:.1g}"
