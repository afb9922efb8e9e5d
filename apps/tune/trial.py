"""One trial: the application runs with the values drawn, and is judged."""

import contextlib
import dataclasses
import gc
import math
import shutil
import time
import traceback
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from common import console, runtime
from common.options import InputError
from common.shared_options import Options
from common.training import trials

from . import study as studies
from .config import Config

LONGEST_REASON = 500  # Characters of a failed trial's error.


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        state: Whether it is complete, was pruned or failed.
        values: The objectives of a complete trial.
        notes: What is kept beside them, by name.
    """

    state: TrialState
    values: tuple[float, ...] = ()
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


def run(
    trial: optuna.Trial, study: studies.Study, config: Config
) -> FrozenTrial:
    """Runs a trial and records its end; returns it.

    Args:
        trial: The trial, which no other process runs.
        study: The study.
        config: The options.

    Raises:
        SystemExit: After a signal; the trial can then be continued.
    """
    start = time.monotonic()
    frozen = study.trials()[trial.number]
    equal = studies.same(study.trials(), frozen.params)
    starts = frozen.user_attrs.get("starts", 0) + 1
    trial.set_user_attr("starts", starts)
    if equal:
        values = tuple(equal.values or ())
        is_complete = equal.state == TrialState.COMPLETE
        outcome = Outcome(
            equal.state,
            values if is_complete else (),
            {**equal.user_attrs, "host": study.host, "same_as": equal.number},
        )
    elif starts > studies.MOST_STARTS:
        reason = f"its process was killed {starts - 1} times in the same epoch"
        outcome = Outcome(TrialState.FAIL, notes={"error": reason})
    else:
        try:
            outcome = _outcome(trial, study, config)
        except (SystemExit, KeyboardInterrupt):
            # Who stops a search does not speak against the trial. A finished
            # epoch has set the number to 0.
            starts = trial.user_attrs["starts"]
            trial.set_user_attr("starts", max(0, starts - 1))
            raise
    for name, value in outcome.notes.items():
        trial.set_user_attr(name, value)
    trial.set_user_attr("seconds", round(time.monotonic() - start, 1))
    done = study.base.tell(trial, outcome.values or None, outcome.state)
    shutil.rmtree(study.folder(trial.number), ignore_errors=True)
    return done


def _outcome(
    trial: optuna.Trial, study: studies.Study, config: Config
) -> Outcome:
    """Trains with a trial's values; returns what came of it."""
    try:
        report = _report(trial, study, config)
        values, notes = objectives(report, config)
        return Outcome(TrialState.COMPLETE, values, notes)
    except optuna.TrialPruned:
        return Outcome(TrialState.PRUNED)
    except Exception as error:
        # Any error is a trial's own: a bad combination of values, memory that
        # does not suffice, a fault of a library. But native code may raise one
        # in place of the exception that a signal raised.
        if runtime.end_signal():
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, InputError):
            text = " ".join(str(error).split())
        else:  # A fault of a program, which its author wants to see whole.
            study.keep_fault(trial.number, traceback.format_exc())
        return Outcome(TrialState.FAIL, notes={"error": text[:LONGEST_REASON]})
    finally:
        _free_memory()


def _report(
    trial: optuna.Trial, study: studies.Study, config: Config
) -> dict[str, Any]:
    """Runs the application as a trial; returns the figures of validation."""
    options = _options(trial, study, config)
    before = set(study.trials()[trial.number].intermediate_values)
    begun = f"trial {trial.number + 1} of {config.trials}"
    terminal = console.get(stderr=True)
    status = terminal.status(begun)

    def on_epoch(epoch: int, value: float) -> None:
        status.update(
            f"{begun}, epoch {epoch + 1}/{options.epochs} {value:.4f}"
        )
        if epoch not in before:  # A trial that continues may repeat an epoch.
            trial.report(value, epoch)
        if epoch == len(before):  # The first that no other process finished.
            trial.set_user_attr("starts", 0)
        if trial.should_prune():
            raise optuna.TrialPruned

    can_prune = not config.with_size  # Optuna prunes one objective only.
    judged = trials.Trial(
        study.application.monitor if can_prune else "",
        on_epoch,
        with_files=config.with_size,
    )
    runtime.set_seed(options.seed)
    shown = status if terminal.is_terminal else contextlib.nullcontext()
    with shown, console.silent(), trials.judged(judged):
        return study.application.run(options)


def _options(
    trial: optuna.Trial, study: studies.Study, config: Config
) -> Options:
    """Returns the application's options in a trial."""
    folder = str(study.folder(trial.number))
    options = study.application.options(trial.params)
    return options.replace(
        **study.application.in_trials,
        variants=(config.variant,) if config.with_size else ("float32",),
        work_dir=folder,
        export_dir=folder,
    )


def objectives(
    report: dict[str, Any], config: Config
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Returns a trial's objectives, and the metric to show.

    The first objective is larger where the model is better.

    Args:
        report: The report of a trial.
        config: The options.

    Raises:
        InputError: If validation gives no number, or if the file was not made.
    """
    name = report["task_metric"]
    value = report["metrics"]["valid"].get(name)
    sizes: tuple[float, ...] = ()
    if config.with_size:
        rows = {row["name"]: row for row in report["variants"]}
        if config.variant not in rows:
            raise InputError(
                "--variant must be a file that the application can make; "
                f"received {config.variant}."
            )
        row = rows[config.variant]
        value, sizes = row["valid_metric"], (float(row["gzip_bytes"]),)
    if value is None or not math.isfinite(value):
        raise InputError(
            f"validation must give a number for {name}; received {value}."
        )
    sign = 1 if report["higher_is_better"] else -1
    return (sign * value, *sizes), {"metric": name, "value": value}


def _free_memory() -> None:
    """Forgets the networks and graphs of a trial."""
    import keras

    keras.backend.clear_session()
    gc.collect()
