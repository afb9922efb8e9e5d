"""The report as one HTML page that needs no other file."""

import base64
import dataclasses
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .plots import Plot

Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report: examples as text, figures by group.

    Attributes:
        title: The heading above it.
        caption: What to see in it, one sentence.
        header: The columns' names.
        rows: Cells; floats are shown with four digits, all text is escaped.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


LONG_CELL = 60  # Characters; longer text is wrapped.
COLUMNS = (
    "variant",
    "{metric}",
    "valid",
    "drop",
    "kB",
    "gzip kB",
    "x smaller",
    "sparsity",
    "p50 ms",
    "p95 ms",
    "max error",
)


def rows(report: Report) -> list[list[str]]:
    """Returns the variants table, the header first, as text."""
    header = [c.format(metric=report["task_metric"]) for c in COLUMNS]
    table = [header]
    whole = report["variants"][0]["gzip_bytes"]
    for one in report["variants"]:
        table.append(
            [
                one["name"],
                _format(one["metric"]),
                _format(one["valid_metric"]),
                _format(
                    one["drop"] and round(one["drop"], 4) + 0.0
                ),  # No -0.0000.
                f"{one['bytes'] / 1000:.1f}",
                f"{one['gzip_bytes'] / 1000:.1f}",
                f"{whole / one['gzip_bytes']:.1f}",
                f"{one['sparsity']:.2f}" if "sparsity" in one else "",
                f"{one['latency_ms']['p50']:.3f}",
                f"{one['latency_ms']['p95']:.3f}",
                _error(one["max_abs_error"]),
            ]
        )
    return table


def decisions(report: Report) -> list[list[str]]:
    """Returns each file's threshold and what it gives, the header first.

    Empty where files decide nothing.
    """
    each = [
        (one["name"], one["at_threshold"])
        for one in report["variants"]
        if "at_threshold" in one
    ]
    if not each:
        return []
    names = list(each[0][1])
    lines = [[name, *(_format(at.get(k)) for k in names)] for name, at in each]
    return [["variant", *names], *lines]


def scalars(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Returns the items that are plain numbers."""
    return [(k, v) for k, v in values.items() if isinstance(v, (int, float))]


def render(
    report: Report, sections: Sequence[Table | tuple[Plot, bytes]]
) -> str:
    """Returns the HTML page; every text in it is escaped.

    Args:
        report: What `report.build` returns.
        sections: Tables, and plots with their PNG, in the order shown.
    """
    chosen = next(one for one in report["variants"] if one["chosen"])
    whole = report["variants"][0]
    metric = report["task_metric"]
    cards = [
        (f"test {metric}", _format(report["metrics"]["test"][metric])),
        ("on the phone", _format(chosen["metric"])),
        ("file, gzip", f"{chosen['gzip_bytes'] / 1000:.1f} kB"),
        ("smaller", f"{whole['gzip_bytes'] / chosen['gzip_bytes']:.1f} x"),
        ("latency p50", f"{chosen['latency_ms']['p50']:.3f} ms"),
    ]
    header, *lines = rows(report)
    marks = ["chosen" if one["chosen"] else "" for one in report["variants"]]
    names = list(dict(scalars(report["metrics"]["test"])))
    metric_rows = [
        [split, *(_format(values.get(name)) for name in names)]
        for split, values in report["metrics"].items()
    ]
    metric_rows += [
        [one["name"], *(_format(one["metrics"].get(n)) for n in names)]
        for one in report["baselines"]
    ]
    sizes = report["dataset"]
    parts = [
        f"<h1>{_text(report['app'])} <small>{_text(sizes['name'])}, "
        f"{sizes['train']} train, {sizes['valid']} valid, {sizes['test']} "
        "test examples</small></h1>",
        *(f"<p>Note: {_text(note)}</p>" for note in report["notes"]),
        '<div class="cards">',
        *(f"<p><b>{_text(v)}</b>{_text(k)}</p>" for k, v in cards),
        "</div>",
        "<h2>Metrics</h2>",
        _table(["split", *names], metric_rows),
        "<h2>Variants</h2>",
        "<p>Each row is a file in <code>mobile/</code>, run by the LiteRT "
        "interpreter over the test split, whole but for what a note above "
        "says; latency at batch 1, one "
        "thread, on the machine that trained. Highlighted: "
        "<code>model.tflite</code>, the smallest whose validation metric drops "
        "little enough; the figures of test played no part.</p>",
        _table(header, lines, marks),
        *_decisions(report),
        *(
            f"<p>Refused <b>{_text(one['name'])}</b>: {_text(one['reason'])}"
            "</p>"
            for one in report["refused_variants"]
        ),
    ]
    parts += [_section(one) for one in sections]
    parts += [_classes(report), _serving(report), _facts(report)]
    return _FRAME.format(title=_text(report["app"]), body="\n".join(parts))


def _decisions(report: Report) -> list[str]:
    """Returns the table of thresholds below its heading, if there are any."""
    header, *lines = decisions(report) or [[]]
    if not header:
        return []
    return [
        "<h2>Decisions</h2><p>Each file at its own threshold, which was fitted "
        "to its outputs for validation; figures of test. The thresholds are in "
        "<code>mobile/thresholds.json</code>.</p>",
        _table(header, lines),
    ]


def _section(section: Table | tuple[Plot, bytes]) -> str:
    """Returns a table or a plot below its heading."""
    if isinstance(section, Table):
        shown: Table | Plot = section
        cells = [[_format(cell) for cell in row] for row in section.rows]
        content = _table(section.header, cells)
    else:
        shown, png = section
        content = (
            f'<img alt="{_text(shown.title)}" src="data:image/png;base64,'
            f'{base64.b64encode(png).decode()}">'
        )
    return (
        f"<h2>{_text(shown.title)}</h2><p>{_text(shown.caption)}</p>{content}"
    )


def _classes(report: Report) -> str:
    """Returns the table of per-class figures, if the app gives one."""
    found = report["metrics"]["test"].get("per_class")
    if not found:
        return ""
    keys = list(found)
    lines = [
        [_format(found[key][index]) for key in keys]
        for index in range(len(found[keys[0]]))
    ]
    return "<h2>Classes, test</h2>" + _table(keys, lines)


def _serving(report: Report) -> str:
    """Returns the signatures of the SavedModel."""
    lines = []
    for name, one in report["serving"]["signatures"].items():
        for way in ("inputs", "outputs"):
            for key, spec in one[way].items():
                shape = [
                    "batch" if n is None else str(n) for n in spec["shape"]
                ]
                shape_text = f"({', '.join(shape)})"
                lines.append([name, way[:-1], key, spec["dtype"], shape_text])
    error = report["serving"]["max_abs_error"]
    return (
        f"<h2>Serving</h2><p>Read back from disk and compared with the model "
        f"in memory: greatest difference {_error(error)}.</p>"
        + _table(["signature", "", "name", "dtype", "shape"], lines)
    )


def _facts(report: Report) -> str:
    """Returns settings, versions and costs, folded."""
    facts = {**report["training"], **report["versions"], **report["config"]}
    lines = [[str(key), _format(value)] for key, value in facts.items()]
    return (
        "<h2>Settings</h2><details><summary>options, versions, cost"
        f"</summary>{_table(['name', 'value'], lines)}</details>"
    )


def _format(value: Any) -> str:
    """Returns a figure with four digits, anything else as it is."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _error(value: float | None) -> str:
    """Returns a difference with one digit."""
    return "" if value is None else f"{value:.1g}"


def _table(
    header: Sequence[str],
    lines: Iterable[Sequence[str]],
    marks: Sequence[str] = (),
) -> str:
    """Returns an HTML table; `marks` are the rows' classes."""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = []
    for index, line in enumerate(lines):
        mark = f' class="{marks[index]}"' if marks else ""
        cells = "".join(
            f"<td{_style(cell)}>{_text(cell)}</td>" for cell in line
        )
        body.append(f"<tr{mark}>{cells}</tr>")
    return (
        f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'
    )


def _style(cell: Any) -> str:
    """Returns the class of cells that hold sentences, not figures."""
    return ' class="long"' if len(str(cell)) > LONG_CELL else ""


def _text(value: Any) -> str:
    """Returns `value` escaped: class names and paths are a user's."""
    return html.escape(str(value))


_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #111827;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 small {{ display: block; font-size: 1rem; font-weight: 400;
  color: #6b7280; }}
h2 {{ margin-top: 2.5rem; border-bottom: 1px solid #e5e7eb; }}
.cards {{ display: flex; flex-wrap: wrap; gap: .75rem; }}
.cards p {{ flex: 1 1 8rem; margin: 0; padding: .75rem 1rem;
  background: #f3f4f6; border-radius: .5rem; color: #6b7280; }}
.cards b {{ display: block; font-size: 1.5rem; color: #111827; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e5e7eb; }}
th:first-child, td:first-child {{ text-align: left; }}
td.long {{ white-space: normal; text-align: left; min-width: 16rem; }}
tr.chosen td {{ background: #ffedd5; font-weight: 600; }}
img {{ max-width: 100%; }}
</style></head><body>
{body}
</body></html>
"""
