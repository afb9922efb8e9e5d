"""The report of a run: on the console, in JSON, as a page and as a card.

Every figure of a file was measured in the run, on the file that ships.
"""

import dataclasses
import datetime
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
from common.data import table_files
from common.mobile.measurement import state_note
from common.options import InputError
from common.shared_options import Options
from common.training import fitting

from . import card, page, portable, slices, strict_json, summary, terms
from .page import Table
from .plots import Plot
from .summary import Subject

Report = dict[str, Any]


class Described(Protocol):
    """Data that describe themselves for a report, such as `data.Splits`."""

    @property
    def notes(self) -> Sequence[str]:
        """Repairs made while loading, for the user to read."""

    def describe(self) -> dict[str, Any]:
        """Returns `name`, and the sizes of `train`, `valid` and `test`."""

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Returns the numbers of examples by split and class, if known."""


def build(
    app: str,
    options: Options,
    splits: Described,
    *,
    subject: Subject,
    num_weights: int,
    task_metric: str,
    metrics: Mapping[str, Mapping[str, Any]],
    log: fitting.Log,
    variants: Sequence[Mapping[str, Any]],
    refused: Sequence[Mapping[str, str]],
    serving: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]] = (),
    higher_is_better: bool = True,
    teacher: Mapping[str, Any] | None = None,
    ranks: Mapping[str, int] | None = None,
    sliced: Mapping[str, Any] | None = None,
) -> Report:
    """Returns the content of `report.json`.

    A figure that is not a finite number becomes null, with a note.

    Args:
        app: The app.
        options: The app's options; the report keeps all of them.
        splits: The data.
        subject: The words of the app for what the report is about.
        num_weights: The number of the model's weights.
        task_metric: The metric of the test split that the model is judged by.
        metrics: Figures by split, then by name.
        log: The record of the training.
        variants: A row for each TFLite file that was measured.
        refused: The variants that were not made, and why.
        serving: What `export.save` returns.
        baselines: Figures of simpler methods; they must be of the same test
            split as `metrics`.
        higher_is_better: Whether more of the task metric is better.
        teacher: What `distillation.Teacher.describe` returns, if the model
            had a teacher.
        ranks: The ranks of the layers that `lowrank` replaced, by their names.
        sliced: What `slices.build` returns, if groups are measured apart.
    """
    warnings = shortfalls(
        task_metric, metrics["test"], baselines, variants, options.max_drop,
        higher_is_better,
    )  # fmt: skip
    given, sizes = options.as_dict(), splits.describe()
    named = [*metrics, *(name for row in metrics.values() for name in row)]
    told = portable.texts(
        {
            "dataset": sizes,
            "notes": [
                *warnings,
                *splits.notes,
                *_measured_on(options, sizes),
                *_stateful(variants),
                *_of_low_rank(ranks or {}),
            ],
            "refused_variants": list(refused),
            **({"slices": dict(sliced)} if sliced else {}),
        },
        given,
    )
    report, nulls = strict_json.finite(
        {
            "app": app,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "title": subject.title,
            "model": {"name": subject.model, "weights": num_weights},
            "use": subject.use,
            "limits": list(subject.limits),
            **told,
            "classes": splits.class_counts(),
            "config": portable.options(given),
            "paths": _digests(options),
            "parts": _digests_of_parts(options),
            "versions": runtime.versions(),
            "seed": options.seed,
            "task_metric": task_metric,
            "higher_is_better": higher_is_better,
            "metrics": metrics,
            "terms": terms.of(named, subject.terms),
            "baselines": list(baselines),
            "variants": list(variants),
            "serving": serving,
            "training": {
                **log.describe(),
                "peak_memory_mb": runtime.peak_memory_mb(),
                "machine": runtime.machine(),
            },
            "history": log.history,
            **({"teacher": portable.options(dict(teacher))} if teacher else {}),
            **({"ranks": dict(ranks)} if ranks else {}),
        }
    )
    report["summary"] = summary.sentence(report, subject)
    report["notes"] += nulls
    if sliced:
        report["worst_slice"] = slices.worst(report)
    return report


def shortfalls(
    metric: str,
    test: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]],
    variants: Sequence[Mapping[str, Any]],
    max_drop: float,
    higher_is_better: bool = True,
) -> list[str]:
    """Returns a sentence for each way a release is worse than it should be.

    Args:
        metric: The task metric.
        test: The model's figures on the test split, by name.
        baselines: Rows of the report; rows without the metric are left out.
        variants: Rows of the TFLite files that were measured.
        max_drop: The most that the metric of the chosen file may fall on the
            validation split.
        higher_is_better: Whether more of the metric is better.
    """
    sign, sentences = 1 if higher_is_better else -1, []
    for what, is_part in (("a simple baseline", False), ("a part of it", True)):
        rows = [row for row in baselines if bool(row.get("part")) == is_part]
        best = summary.best_baseline(metric, rows, higher_is_better)
        # Figures that are printed alike are no difference.
        if (
            best
            and sign * test[metric] < sign * best[1]
            and summary.figure(test[metric]) != summary.figure(best[1])
        ):
            sentences.append(
                f"Worse than {what} on test: {metric} "
                f"{test[metric]:.4f}, {best[0]} {best[1]:.4f}."
            )
    for row in variants:
        # Metrics of the same outputs may differ in the last bit.
        if row["chosen"] and row["drop"] > max_drop + 1e-9:
            sentences.append(
                f"The chosen file, {row['name']}, drops more on test than "
                f"--max_drop={max_drop:g} allows on validation: {metric} by "
                f"{row['drop']:.4f}."
            )
    return sentences


def _measured_on(options: Options, sizes: Mapping[str, Any]) -> list[str]:
    """Returns a note if the files were measured on a part of a split."""
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


def _of_low_rank(ranks: Mapping[str, int]) -> list[str]:
    """Returns a note on the layers that `lowrank` replaced."""
    layers = ", ".join(f"{name} (rank {rank})" for name, rank in ranks.items())
    return [f"lowrank made two layers of each of {layers}"] if ranks else []


def _digests(options: Options) -> dict[str, str]:
    """Returns the digests of options that name the data's paths, by name."""
    return {name: path_digest(value) for name, value in _paths(options).items()}


def _digests_of_parts(options: Options) -> dict[str, list[str]]:
    """Returns the digests of each of several files that an option names.

    By these, files that trained a release are known among others.
    """
    return {
        name: [path_digest(file) for file in table_files.paths(value)]
        for name, value in _paths(options).items()
        if table_files.are_several(value)
    }


def _paths(options: Options) -> dict[str, str]:
    """Returns the options about data that name paths, by name."""
    named = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.metadata.get("data") and field.type in (str, "str")
    }
    return {
        name: value
        for name, value in named.items()
        if value and table_files.exist(value)
    }


def path_digest(path: str | Path) -> str:
    """Returns 16 hex digits that identify the files that an option names.

    A report keeps them instead of the path, which belongs to its author's
    machine.
    """
    content = table_files.identity(path).encode(errors="surrogateescape")
    return hashlib.sha256(content).hexdigest()[:16]


def write(
    directory: Path, report: Report, shown: Iterable[Plot | Table]
) -> None:
    """Writes `report.json`, the plots, a self-contained page, and a card.

    Args:
        directory: The folder to make.
        report: What `build` returns.
        shown: The plots and tables of `report.html`, in order.
    """
    directory.mkdir()
    sections: list[Table | tuple[Plot, bytes]] = []
    for section in (*slices.tables(report), *shown):
        if isinstance(section, Table):
            sections.append(section)
            continue
        buffer = io.BytesIO()
        section.figure.savefig(buffer, format="png")
        (directory / f"{section.name}.png").write_bytes(buffer.getvalue())
        sections.append((section, buffer.getvalue()))
    text = strict_json.dumps(report)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    html = page.render(report, sections)
    (directory / "report.html").write_text(html, encoding="utf-8")
    text = card.render(report)
    (directory / card.NAME).write_text(text, encoding="utf-8")


def read(release: Path) -> Report:
    """Returns the report of a release.

    Raises:
        InputError: If the report is missing or damaged.
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
    """Prints metrics, baselines and variants, and the release's paths."""
    terminal = console.get()
    sizes = report["dataset"]
    terminal.print(
        f"\n{report['app']} on {sizes['name']} ({sizes['train']} train, "
        f"{sizes['valid']} valid, {sizes['test']} test)"
    )
    for split, values in report["metrics"].items():
        text = "  ".join(f"{k} {v:.4f}" for k, v in page.scalars(values))
        terminal.print(f"{split:>6}  {text}")
    for baseline in report["baselines"]:
        text = "  ".join(
            f"{k} {v:.4f}" for k, v in page.scalars(baseline["metrics"])
        )
        terminal.print(f"  {baseline['name']}: {text}")
    for note in [*report["notes"], *filter(None, [report.get("worst_slice")])]:
        terminal.print(f"note: {note}")
    _print_variants(terminal, report)
    _print_decisions(terminal, report)
    for refused in report["refused_variants"]:
        terminal.print(f"refused {refused['name']}: {refused['reason']}")
    chosen = next(row for row in report["variants"] if row["chosen"])
    terminal.print(
        f"chosen   {chosen['name']} -> {release}/mobile/model.tflite"
    )
    for sentence in page.trade_offs(report):
        terminal.print(sentence)
    terminal.print(f"release  {release}")
    terminal.print(f"report   {release}/report/report.html")


def _print_variants(terminal: rich.console.Console, report: Report) -> None:
    """Prints the table of the TFLite files; the chosen file is green."""
    header, *lines = page.rows(report)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(
            name, justify="right" if index else "left", no_wrap=not index
        )
    for variant, line in zip(report["variants"], lines, strict=True):
        table.add_row(*line, style="bold green" if variant["chosen"] else None)
    terminal.print(table)


def _print_decisions(terminal: rich.console.Console, report: Report) -> None:
    """Prints each file's figures at its own threshold, if files have one."""
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
