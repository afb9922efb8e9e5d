"""Publishing: a trained model becomes a release with its files and report."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common.report import report
from common.report.page import Table
from common.report.plots import Plot
from common.report.summary import Subject
from common.shared_options import Options
from common.training import distillation, fitting, trials

from . import export


def publish(
    app: str,
    options: Options,
    splits: report.Described,
    model: keras.Model,
    *,
    subject: Subject,
    signatures: Mapping[str, export.Signature],
    write_mobile: Callable[[Path], Sequence[Mapping[str, Any]]],
    task_metric: str,
    metrics: Mapping[str, Mapping[str, Any]],
    draw: Callable[[report.Report], Iterable[Plot | Table]],
    log: fitting.Log,
    baselines: Sequence[Mapping[str, Any]] = (),
    refused: Sequence[Mapping[str, str]] = (),
    higher_is_better: bool = True,
    tracked: Sequence[Any] = (),
    write_more: Callable[[Path], None] | None = None,
    work_dirs: Sequence[Path] = (),
    teacher: distillation.Teacher | None = None,
    ranks: Mapping[str, int] | None = None,
    sliced: Mapping[str, Any] | None = None,
) -> report.Report:
    """Writes a complete release, or none, and prints its report.

    A trial of a search (see `trials`) gets its figures instead.

    Args:
        app: The app, which is also the model's name on a server.
        options: The app's options; the report keeps all of them.
        splits: The data, whose `describe` and `notes` go into the report.
        model: The trained model.
        subject: What the report is about, in the words of the app.
        signatures: The signatures by name; see `export.save`.
        write_mobile: Writes and measures the TFLite files. Its argument is the
            folder, which it makes; it returns the report's `variants`.
        task_metric: The metric of the test split that the model is judged by.
        metrics: Figures by split, then by name.
        draw: Returns the plots and tables of a report. It may first add keys
            of the app's own to the report.
        log: The record of the training.
        baselines: Figures of simpler methods on the same test split.
        refused: The variants that were not made, and why. They are read after
            `write_mobile`, which may add more to them.
        higher_is_better: Whether more of the task metric is better.
        tracked: Objects that the signatures use beside the model; see
            `export.save`.
        write_more: Writes further files; its argument is the release's folder.
        work_dirs: The folders of checkpoints that are not needed any more.
        teacher: The network that the model has learnt from, if any.
        ranks: The ranks of the layers that `lowrank` replaced, by their names.
        sliced: What `slices.build` returns, if groups are measured apart.

    Returns:
        The report, as in `report.json`; for a trial, what `_judge` returns.
    """
    if trial := trials.current():
        return _judge(
            trial, write_mobile, task_metric, metrics["valid"], higher_is_better
        )
    with export.release(options.export_dir, app) as draft:
        serving = export.save(draft.directory, model, signatures, tracked)
        variants = write_mobile(draft.directory / "mobile")
        if write_more:
            write_more(draft.directory)
        result = report.build(
            app,
            options,
            splits,
            subject=subject,
            num_weights=model.count_params(),
            task_metric=task_metric,
            metrics=metrics,
            log=log,
            variants=variants,
            refused=refused,
            serving=serving,
            baselines=baselines,
            higher_is_better=higher_is_better,
            teacher=teacher.describe(model) if teacher else None,
            ranks=ranks,
            sliced=sliced,
        )
        result["notes"] += teacher.notes if teacher else ()  # fmt: skip
        sections = draw(result)
        report.write(draft.directory / "report", result, sections)
    fitting.finish(*work_dirs)
    report.print_table(result, draft.path)
    return result


def _judge(
    trial: trials.Trial,
    write_mobile: Callable[[Path], Sequence[Mapping[str, Any]]],
    task_metric: str,
    valid: Mapping[str, Any],
    higher_is_better: bool,
) -> report.Report:
    """Returns the part of a report that a trial is judged by.

    The figures of test are left out: they must not choose settings.
    """
    rows: Sequence[Mapping[str, Any]] = ()
    if trial.with_files:
        with tempfile.TemporaryDirectory() as directory:
            rows = write_mobile(Path(directory) / "mobile")
    return {
        "task_metric": task_metric,
        "higher_is_better": higher_is_better,
        "metrics": {"valid": valid},
        "variants": [
            {key: row[key] for key in ("name", "valid_metric", "gzip_bytes")}
            for row in rows
        ],
    }
