"""Publishing: a trained model becomes a release with its files and report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common.report import report
from common.report.page import Table
from common.report.plots import Plot
from common.shared_options import Options
from common.training import fitting

from . import export


def publish(
    app: str,
    options: Options,
    splits: report.Described,
    model: keras.Model,
    *,
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
) -> report.Report:
    """Writes a release, whole or not at all, and prints its report.

    Args:
        app: The app, which is also the model's name on a server.
        options: Gives `export_dir`; the report keeps all of them.
        splits: The data; they describe themselves in the report.
        model: The trained model.
        signatures: What clients call; see `export.save`.
        write_mobile: Writes and measures the TFLite files. It is given the
            folder, which it makes, and returns the report's `variants`.
        task_metric: The metric of the test split that the model is judged by.
        metrics: Figures by split, then by name.
        draw: Returns the plots and tables of a report. It may add keys of its
            own to the report first.
        log: What training did.
        baselines: Figures of simpler methods on the same test split.
        refused: The variants that were not made, and why. They are read after
            `write_mobile`, which may find more.
        higher_is_better: Whether more of the task metric is better.
        tracked: What the signatures use beside the model; see `export.save`.
        write_more: Writes further files; it is given the release's folder.
        work_dirs: Where checkpoints are that are not needed any more.

    Returns:
        The report, as in `report.json`.
    """
    with export.release(options.export_dir, app) as draft:
        serving = export.save(draft.directory, model, signatures, tracked)
        variants = write_mobile(draft.directory / "mobile")
        if write_more:
            write_more(draft.directory)
        result = report.build(
            app, options, splits,
            task_metric=task_metric, metrics=metrics, log=log,
            variants=variants, refused=refused, serving=serving,
            baselines=baselines, higher_is_better=higher_is_better,
        )  # fmt: skip
        shown = draw(result)
        report.write(draft.directory / "report", result, shown)
    fitting.finish(*work_dirs)
    report.print_table(result, draft.path)
    return result
