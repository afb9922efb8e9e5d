"""The report of a run: a table on the console, `report.json`, `report.html`.

Every figure in it was measured in the run, on the file that ships.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import rich.box
import rich.table

from common import report_page, runtime, strict_json, training
from common.config import Options
from common.plots import Plot
from common.report_page import Table

Report = dict[str, Any]


class Described(Protocol):
    """Data that can say what they are; `data.Splits` is one."""

    @property
    def notes(self) -> Sequence[str]:
        """Repairs made while loading, for the user to read."""

    def describe(self) -> dict[str, Any]:
        """Returns `name`, and the sizes of `train`, `valid` and `test`."""


def build(
    app: str,
    options: Options,
    splits: Described,
    *,
    task_metric: str,
    metrics: Mapping[str, Mapping[str, Any]],
    log: training.Log,
    variants: Sequence[Mapping[str, Any]],
    refused: Sequence[Mapping[str, str]],
    serving: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """Returns what `report.json` holds; null, and a note, for a NaN."""
    report, nulls = strict_json.finite(
        {
            "app": app,
            "dataset": splits.describe(),
            "notes": list(splits.notes),
            "config": options.as_dict(),
            "versions": runtime.versions(),
            "seed": options.seed,
            "task_metric": task_metric,
            "metrics": metrics,
            "baselines": list(baselines),
            "variants": list(variants),
            "refused_variants": list(refused),
            "serving": serving,
            "training": {
                **log.describe(),
                "peak_memory_mb": runtime.peak_memory_mb(),
            },
            "history": log.history,
        }
    )
    report["notes"] += nulls
    return report


def write(
    directory: Path, report: Report, shown: Iterable[Plot | Table]
) -> None:
    """Writes `report.json`, the plots and a self-contained `report.html`."""
    directory.mkdir()
    sections: list[Table | tuple[Plot, bytes]] = []
    for one in shown:
        if isinstance(one, Table):
            sections.append(one)
            continue
        buffer = io.BytesIO()
        one.figure.savefig(buffer, format="png")
        (directory / f"{one.name}.png").write_bytes(buffer.getvalue())
        sections.append((one, buffer.getvalue()))
    text = strict_json.dumps(report)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    page = report_page.render(report, sections)
    (directory / "report.html").write_text(page, encoding="utf-8")


def read(release: Path) -> Report:
    """Returns the report of a release."""
    text = (release / "report" / "report.json").read_text(encoding="utf-8")
    return json.loads(text)


def print_table(report: Report, release: Path | None) -> None:
    """Prints metrics, baselines and variants, and where the release is."""
    console = runtime.console()
    sizes = report["dataset"]
    console.print(
        f"\n{report['app']} on {sizes['name']} ({sizes['train']} train, "
        f"{sizes['valid']} valid, {sizes['test']} test)"
    )
    for split, values in report["metrics"].items():
        text = "  ".join(f"{k} {v:.4f}" for k, v in report_page.scalars(values))
        console.print(f"{split:>6}  {text}")
    for one in report["baselines"]:
        text = "  ".join(
            f"{k} {v:.4f}" for k, v in report_page.scalars(one["metrics"])
        )
        console.print(f"  {one['name']}: {text}")
    for note in report["notes"]:
        console.print(f"note: {note}")
    header, *lines = report_page.rows(report)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(
            name, justify="right" if index else "left", no_wrap=not index
        )
    for one, line in zip(report["variants"], lines, strict=True):
        table.add_row(*line, style="bold green" if one["chosen"] else None)
    console.print(table)
    for one in report["refused_variants"]:
        console.print(f"refused {one['name']}: {one['reason']}")
    chosen = next(one for one in report["variants"] if one["chosen"])
    console.print(f"chosen   {chosen['name']} -> {release}/mobile/model.tflite")
    console.print(f"release  {release}")
    console.print(f"report   {release}/report/report.html")
