"""The report as one HTML page that needs no other file."""

import base64
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from . import summary, terms
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

SPLITS = {"valid": "validation"}  # The words for splits, where others.

# The widths of a window, in pixels, below which the rows of a table become
# blocks. The widest is that of the page, where a table must have room.
FOLDS = (600, 760, 920, 1088)
PAPER = 1300  # Letters are small in print: so wide a table fits there.
LETTER, PADDING = 9, 20  # Pixels, of a letter and of a cell.
LONG, LONG_WIDTH = 40, 24  # Letters: longer texts have at least this width.
NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?%?")


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
                shown(variant["metric"]),
                shown(variant["valid_metric"]),
                shown(drop and round(drop, 4) + 0.0),  # No -0.0000.
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
            [variant, *(shown(values.get(name)) for name in names)]
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
    variants, methods = without_empty(rows(report)), baselines(report)
    return template(Path(__file__).with_name("page.html")).render(
        report=report,
        facts=facts(report),
        cards=_cards(report),
        metrics=metrics(report),
        marked=lambda lines: [
            line[0] == report["task_metric"] for line in lines[1:]
        ],
        baselines=methods,
        more_terms=terms.of(
            [x for x, *_ in methods[1:] if x not in report["terms"]], {}
        ),
        variants=variants,
        columns={
            name: terms.COLUMNS.get(name, "the figure on test")
            for name in variants[0]
        },
        parts=terms.parts(row["name"] for row in report["variants"]),
        decisions=decisions(report),
        trade_offs=trade_offs(report),
        sections=[
            (section, "")
            if isinstance(section, Table)
            else (section[0], embedded(section[1]))
            for section in sections
        ],
        classes=classes(report),
        class_terms=terms.of(classes(report), {}),
        tensors=_tensors(report),
        settings=report["training"] | report["versions"] | report["config"],
    )


def embedded(png: bytes) -> str:
    """Returns a PNG file as text for a page."""
    return base64.b64encode(png).decode()


def template(path: Path) -> jinja2.Template:
    """Returns the template of a page; it may import `parts.html`.

    Args:
        path: The template's file.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = shown
    environment.filters["difference"] = _error
    environment.filters["breakable"] = _breakable
    environment.globals |= {
        "zip": zip,
        "numeric": _numeric,
        "fold": _fold,
        "folds": (*FOLDS, "screen", "all"),
        "LONG": LONG,
    }
    return environment.get_template(path.name)


def without_empty(lines: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Returns a table, header first, without the columns that are empty."""
    columns = zip(*lines, strict=True)
    filled = [column for column in columns if any(map(shown, column[1:]))]
    return [list(line) for line in zip(*filled, strict=True)]


def _breakable(name: str) -> markupsafe.Markup:
    """Returns a name, escaped, that may be broken after `_`, `@` and `+`."""
    escaped = str(markupsafe.escape(name))
    return markupsafe.Markup(re.sub("([_@+])", r"\1<wbr>", escaped))


def _fold(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Returns the class of a table, which says where its rows become blocks.

    Its width is estimated from what cannot be broken: numbers and words.
    """
    columns = zip(header, *lines, strict=True)
    width = sum(
        PADDING + LETTER * max(map(_longest, column)) for column in columns
    )
    fitting = (fold for fold in FOLDS if width <= fold - 2 * PADDING)
    return f"under-{next(fitting, 'screen' if width <= PAPER else 'all')}"


def _longest(cell: Any) -> int:
    """Returns the length of the longest part of a cell that is not broken.

    Long texts are broken anywhere; see the class `long` of the page.
    """
    text = shown(cell)
    if len(text) > LONG:
        return LONG_WIDTH
    return max(len(part) for part in re.split(r"(?<=[_@+])|\s", text))


def _numeric(
    header: Sequence[str], lines: Iterable[Sequence[Any]]
) -> list[bool]:
    """Tells of each column whether all of its cells are numbers or empty."""
    columns = [
        [shown(cell) for cell in column] for column in zip(*lines, strict=True)
    ]
    return [
        all(NUMBER.fullmatch(cell) for cell in filter(None, column))
        for column in columns or [[]] * len(header)
    ]


def facts(report: Report) -> list[tuple[str, str]]:
    """Returns the names and values of what the reader should know first."""
    data, model = report["dataset"], report["model"]
    facts = [
        ("Date", report["date"]),
        ("Model", f"{model['name']}, {model['weights']:,} weights"),
        (
            "Data",
            f"{data['name']}: {data['train']:,} training, {data['valid']:,} "
            f"validation and {data['test']:,} test examples",
        ),
    ]
    for split, name in (("train", "training"), ("test", "test")):
        counts = report["classes"].get(split)
        if counts:
            facts.append((f"Classes, {name}", summary.shares(counts)))
    return facts


def _cards(report: Report) -> list[tuple[str, str]]:
    """Returns the names and values of the figures at the top of the page."""
    chosen = next(row for row in report["variants"] if row["chosen"])
    float32 = report["variants"][0]
    metric = report["task_metric"]
    return [
        (
            f"{metric} of the model on test",
            shown(report["metrics"]["test"][metric]),
        ),
        (
            f"{metric} of the file for phones on test",
            shown(chosen["metric"]),
        ),
        ("that file, zipped", f"{chosen['gzip_bytes'] / 1000:.1f} kB"),
        (
            "smaller than uncompressed",
            f"{float32['gzip_bytes'] / chosen['gzip_bytes']:.1f} x",
        ),
        (
            "median time for one example, one thread of the machine that "
            "trained",
            f"{chosen['latency_ms']['p50']:.3f} ms",
        ),
    ]


def metrics(report: Report) -> list[list[Any]]:
    """Returns a row for each metric, by split, with its meaning.

    The first row is the header.
    """
    metrics = report["metrics"]
    names = dict.fromkeys(
        name for row in metrics.values() for name in dict(scalars(row))
    )
    splits = ["test", *(name for name in metrics if name != "test")]
    header = [SPLITS.get(name, name) for name in splits]
    return [
        ["figure", *header, "what it is"],
        *(
            [
                name,
                *(metrics[split].get(name) for split in splits),
                report["terms"].get(name, ""),
            ]
            for name in names
        ),
    ]


def baselines(report: Report) -> list[list[Any]]:
    """Returns a row for each metric on test, by method, the model first.

    The first row is the header. All is empty if there are no baselines.
    """
    methods = [
        ("this model", report["metrics"]["test"]),
        *((row["name"], row["metrics"]) for row in report["baselines"]),
    ]
    names = dict.fromkeys(
        name for _, values in methods[1:] for name, _ in scalars(values)
    )
    header = ["figure", *(method for method, _ in methods)]
    lines = [[name, *(row.get(name) for _, row in methods)] for name in names]
    return [header, *lines] if names else []


def classes(report: Report) -> dict[str, list[Any]]:
    """Returns the columns of the table of classes, with shares of test."""
    columns = dict(report["metrics"]["test"].get("per_class") or {})
    if "support" in columns:
        total = sum(columns["support"]) or 1
        columns["share"] = [f"{n / total:.1%}" for n in columns["support"]]
    return columns


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


def shown(value: Any) -> str:
    """Returns a figure with four digits, anything else as it is."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _error(value: float | None) -> str:
    """Returns a difference with one digit."""
    return "" if value is None else f"{value:.1g}"
