"""The report of a run: a table on the console, `report.json`, `report.html`.

Every figure in it was measured in the run, on the file that ships.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import rich.box
import rich.console
import rich.table

from common import console, runtime
from common.mobile.measurement import state_note
from common.options import InputError
from common.shared_options import Options
from common.training import fitting

from . import page, strict_json
from .page import Table
from .plots import Plot

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
    log: fitting.Log,
    variants: Sequence[Mapping[str, Any]],
    refused: Sequence[Mapping[str, str]],
    serving: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]] = (),
    higher_is_better: bool = True,
) -> Report:
    """Returns what `report.json` holds; null, and a note, for a NaN.

    The baselines' figures must be of the same test split as `metrics`.
    """
    warnings = shortfalls(
        task_metric, metrics["test"], baselines, variants, options.max_drop,
        higher_is_better,
    )  # fmt: skip
    report, nulls = strict_json.finite(
        {
            "app": app,
            "dataset": splits.describe(),
            "notes": [
                *warnings,
                *splits.notes,
                *_measured_on(options, splits.describe()),
                *_stateful(variants),
            ],
            "config": _portable(options.as_dict()),
            "paths": _digests(options),
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


def shortfalls(
    metric: str,
    test: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]],
    variants: Sequence[Mapping[str, Any]],
    max_drop: float,
    higher_is_better: bool = True,
) -> list[str]:
    """Returns sentences on where a release is worse than it should be.

    Args:
        metric: The task metric.
        test: The model's figures.
        baselines: Rows of the report; those without the metric say nothing.
        variants: The files, measured.
        max_drop: What the chosen file may lose, on validation.
        higher_is_better: Whether more of the metric is better.
    """
    sign, said = 1 if higher_is_better else -1, []
    values = {
        row["name"]: row["metrics"][metric]
        for row in baselines
        if row["metrics"].get(metric) is not None
    }
    best = max(values, key=lambda name: sign * values[name], default="")
    if best and sign * test[metric] < sign * values[best]:
        said.append(
            f"Worse than a simple baseline on test: {metric} "
            f"{test[metric]:.4f}, {best} {values[best]:.4f}."
        )
    for row in variants:
        # Metrics of the same outputs may differ in the last bit.
        if row["chosen"] and row["drop"] > max_drop + 1e-9:
            said.append(
                f"The chosen file, {row['name']}, drops more on test than "
                f"--max_drop={max_drop:g} allows on validation: {metric} by "
                f"{row['drop']:.4f}."
            )
    return said


def _measured_on(options: Options, sizes: Mapping[str, Any]) -> list[str]:
    """Returns a note where the files were not measured on whole splits."""
    most = options.measure_examples
    if not 0 < most < max(sizes["valid"], sizes["test"]):
        return []
    return [
        f"the files were measured, and the one to ship was chosen, on at most "
        f"{most:,} random examples of each split (--measure_examples)"
    ]


def _stateful(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a note on the files that keep a state between calls."""
    names = [row["name"] for row in variants if row.get("stateful")]
    return [state_note(names)] if names else []


def _digests(options: Options) -> dict[str, str]:
    """Returns what tells the paths of the data again; see `path_digest`."""
    named = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.metadata.get("data") and field.type in (str, "str")
    }
    return {
        name: path_digest(value)
        for name, value in named.items()
        if value and Path(value).exists()
    }


def path_digest(path: str | Path) -> str:
    """Returns 16 hex digits that a path has and another has not.

    A report keeps these in the place of a path of its author's machine.
    """
    whole = str(Path(path).resolve())
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()[
        :16
    ]


def _portable(value: Any) -> Any:
    """Returns options without absolute paths: they name the author's machine.

    Of a path below the working directory what follows it stays, of any other
    the last name.
    """
    if isinstance(value, dict):
        return {key: _portable(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_portable(one) for one in value]
    if not (isinstance(value, str) and Path(value).is_absolute()):
        return value
    path = Path(value)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return path.name


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
    html = page.render(report, sections)
    (directory / "report.html").write_text(html, encoding="utf-8")


def read(release: Path) -> Report:
    """Returns the report of a release.

    Raises:
        InputError: If there is none, or it is damaged.
    """
    path = release / "report" / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(report, dict):
            return report
        reason = "it is no object"
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
    raise InputError(
        f"{path} must be the report that the export wrote: {reason}. Copy the "
        "release again."
    )


def print_table(report: Report, release: Path | None) -> None:
    """Prints metrics, baselines and variants, and where the release is."""
    terminal = console.get()
    sizes = report["dataset"]
    terminal.print(
        f"\n{report['app']} on {sizes['name']} ({sizes['train']} train, "
        f"{sizes['valid']} valid, {sizes['test']} test)"
    )
    for split, values in report["metrics"].items():
        text = "  ".join(f"{k} {v:.4f}" for k, v in page.scalars(values))
        terminal.print(f"{split:>6}  {text}")
    for one in report["baselines"]:
        text = "  ".join(
            f"{k} {v:.4f}" for k, v in page.scalars(one["metrics"])
        )
        terminal.print(f"  {one['name']}: {text}")
    for note in report["notes"]:
        terminal.print(f"note: {note}")
    header, *lines = page.rows(report)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(
            name, justify="right" if index else "left", no_wrap=not index
        )
    for one, line in zip(report["variants"], lines, strict=True):
        table.add_row(*line, style="bold green" if one["chosen"] else None)
    terminal.print(table)
    _print_decisions(terminal, report)
    for one in report["refused_variants"]:
        terminal.print(f"refused {one['name']}: {one['reason']}")
    chosen = next(one for one in report["variants"] if one["chosen"])
    terminal.print(
        f"chosen   {chosen['name']} -> {release}/mobile/model.tflite"
    )
    terminal.print(f"release  {release}")
    terminal.print(f"report   {release}/report/report.html")


def _print_decisions(terminal: rich.console.Console, report: Report) -> None:
    """Prints what each file gives at its own threshold, if it has one."""
    header, *lines = page.decisions(report) or [[]]
    if not header:
        return
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, title="test, each file at its own threshold"
    )
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left")
    for line in lines:
        table.add_row(*line)
    terminal.print(table)
