"""The results of a study: the best settings, its numbers, and a page."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from common import console, whole_file
from common.options import InputError, offered
from common.report import page
from common.report.plots import Plot
from common.shared_options import Options

from . import application as applications
from . import plots
from .config import Config
from .study import Study

FEWEST = 4  # Complete trials, for importances.
STATES = {TrialState.PRUNED: "stopped early", TrialState.FAIL: "failed"}


def complete(study: Study) -> list[FrozenTrial]:
    """Returns the complete trials by number."""
    return [t for t in study.trials() if t.state == TrialState.COMPLETE]


def best(study: Study, config: Config) -> FrozenTrial:
    """Returns the best trial; of equals the first.

    With the size as an objective it is the smallest whose metric is at most
    `--max_drop` of the application below the best metric.

    Raises:
        InputError: If no trial is complete.
    """
    trials = complete(study)
    if not trials:
        raise InputError(
            "the study must have a complete trial; it has none. The same "
            "command with more --trials or --minutes continues it."
        )
    top = max(trials, key=lambda t: (t.values[0], -t.number))
    if not config.with_size:
        return top
    lowest = top.values[0] - study.application.base.max_drop - 1e-9
    near = [t for t in trials if t.values[0] >= lowest]
    return min(near, key=lambda t: (t.values[1], -t.values[0], t.number))


def write(study: Study, config: Config) -> None:
    """Writes `best.flags`, `study.json` and the page, and says the best.

    Raises:
        InputError: If no trial is complete.
    """
    winner, trials = best(study, config), study.trials()
    app, directory = study.application, study.directory
    options = app.options(winner.params)
    with whole_file.writing(directory / "best.flags") as file:
        file.write("\n".join(_flagfile(options, winner)) + "\n")
    with whole_file.writing(directory / "study.json") as file:
        json.dump(describe(study, winner), file, indent=2)
    shown = _plots(study, winner, config)
    with whole_file.writing(directory / "report.html") as file:
        file.write(_page(study, winner, shown))
    terminal = console.get()
    metric, value = winner.user_attrs["metric"], winner.user_attrs["value"]
    states = [t.state for t in trials]
    terminal.print(
        f"\nbest     trial {winner.number + 1}: valid {metric} {value:.4f}; "
        f"{states.count(TrialState.COMPLETE)} complete, "
        f"{states.count(TrialState.PRUNED)} stopped early, "
        f"{states.count(TrialState.FAIL)} failed, "
        f"{states.count(TrialState.RUNNING)} running"
    )
    terminal.print(f"settings {directory / 'best.flags'}")
    terminal.print(f"page     {directory / 'report.html'}")
    terminal.print(
        "next     python -m "
        f"{app.package} --flagfile={directory / 'best.flags'}"
    )


def _flagfile(options: Options, winner: FrozenTrial) -> list[str]:
    """Returns the lines of the flagfile that repeats the best trial."""
    names = [
        field.name
        for field in offered(options)
        if field.name in options.given
        or getattr(options, field.name) != field.default
    ]
    metric, value = winner.user_attrs["metric"], winner.user_attrs["value"]
    return [
        f"# Trial {winner.number + 1}: valid {metric} {value:.4f}.",
        *applications.as_flags(options, names),
    ]


def describe(study: Study, winner: FrozenTrial) -> dict[str, Any]:
    """Returns the study's numbers, for `study.json`."""
    return {
        "application": study.application.package,
        "search": dict(study.application.items),
        "best": winner.number,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "params": trial.params,
                "values": trial.values
                if trial.state == TrialState.COMPLETE
                else None,
                "epochs": trial.intermediate_values,
                **{k: v for k, v in trial.user_attrs.items() if k != "host"},
            }
            for trial in study.trials()
        ],
    }


def _plots(study: Study, winner: FrozenTrial, config: Config) -> list[Plot]:
    """Returns the plots of the page."""
    trials, app = study.trials(), study.application
    shown = [
        plots.history(trials, winner),
        plots.coordinates(trials, app.parameters, winner),
    ]
    if config.with_size:
        front = study.base.best_trials
        shown.insert(1, plots.front(trials, front, winner, config.variant))
    shares = importances(study, config)
    return [*shown, plots.importances(shares)] if shares else shown


def importances(study: Study, config: Config) -> dict[str, float]:
    """Returns the share of each option in the variance of the metric.

    It is empty with fewer than `FEWEST` complete trials, and where all are
    equally good.
    """
    trials = complete(study)
    if len(trials) < FEWEST or len({t.values[0] for t in trials}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=config.seed)
    return optuna.importance.get_param_importances(
        study.base, evaluator=evaluator, target=lambda trial: trial.values[0]
    )


def _page(study: Study, winner: FrozenTrial, shown: Sequence[Plot]) -> str:
    """Returns the page, which needs no other file."""
    pictures = []
    for plot in shown:
        buffer = io.BytesIO()
        plot.figure.savefig(buffer, format="png")
        pictures.append((plot, page.embedded(buffer.getvalue())))
    parameters = study.application.parameters
    metric = winner.user_attrs["metric"]
    header = ["trial", "state", f"valid {metric}", "seconds"]
    return page.template(Path(__file__).with_name("page.html")).render(
        name=study.application.name,
        best=winner.number + 1,
        header=[*header, *(p.name for p in parameters)],
        rows=[
            [
                trial.number + 1,
                STATES.get(trial.state, trial.state.name.lower()),
                trial.user_attrs.get("value"),
                f"{trial.user_attrs.get('seconds', 0):.1f}",
                *(_short(trial.params.get(p.name)) for p in parameters),
            ]
            for trial in study.trials()
        ],
        marks=[trial.number == winner.number for trial in study.trials()],
        pictures=pictures,
        command=f"python -m {study.application.package} "
        f"--flagfile={study.directory / 'best.flags'}",
    )


def _short(value: Any) -> Any:
    """Returns a value for a table; floats have three digits."""
    return f"{value:.3g}" if isinstance(value, float) else value


def release(study: Study, config: Config) -> None:
    """Trains the best settings afresh and releases them.

    This is where the figures of test are computed. Nothing is done while other
    processes still run trials; the last of them releases.
    """
    with study.locked():
        if any(t.state == TrialState.RUNNING for t in study.trials()):
            console.get().print("release  left to the process that ends last")
            return
        winner = best(study, config)
        if study.base.user_attrs.get("released") == winner.number:
            console.get().print("release  made before, of the same settings")
            return
        study.application.run(study.application.options(winner.params))
        study.base.set_user_attr("released", winner.number)
