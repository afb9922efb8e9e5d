"""The search: trials one after another, and what is said of them."""

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from common import console
from common.options import InputError
from common.release import export

from . import results, trial
from . import study as studies
from .application import Application
from .config import Config

# If so many trials failed and none succeeded, the fault is not the values'.
MOST_FAILURES = 3


def run(config: Config, application: Application) -> None:
    """Runs trials until the budget is spent, then writes the results.

    Raises:
        InputError: If no trial succeeds.
    """
    if config.release_best:  # Not only after hours of trials.
        export.check(application.base.export_dir)
    studies.be_quiet()
    study = studies.Study(config, application)
    terminal = console.get()
    terminal.print(
        f"study    {study.directory}: {len(study.trials())} of "
        f"{config.trials} trials, {len(application.parameters)} options"
    )
    deadline = time.monotonic() + 60 * (config.minutes or float("inf"))
    while True:
        with study.claimed(ask=time.monotonic() < deadline) as claimed:
            if claimed is None:
                break
            done = trial.run(claimed, study, config)
        terminal.print(line(done, config, application))
        _stop_if_all_fail(study.trials())
    results.write(study, config)
    if config.release_best:
        results.release(study, config)


def line(done: FrozenTrial, config: Config, application: Application) -> str:
    """Returns the line of a finished trial."""
    width = len(str(config.trials))
    values = " ".join(
        word.removeprefix("--") for word in shown(done, application)
    )
    attributes = done.user_attrs
    if done.state == TrialState.COMPLETE:
        end = f"valid {attributes['metric']} {attributes['value']:.4f}"
        if config.with_size:
            end += f"  {done.values[1] / 1000:.1f} kB"
    elif done.state == TrialState.PRUNED:
        end = "stopped early"
        if done.intermediate_values:  # A copy of another trial has none.
            end = f"stopped after epoch {len(done.intermediate_values)}"
    else:
        end = f"failed: {attributes.get('error', '')}"
    if "same_as" in attributes:
        end += f" (as trial {attributes['same_as'] + 1})"
    return (
        f"trial {done.number + 1:{width}d}/{config.trials}  "
        f"{attributes['seconds']:6.1f} s  {end}  {values}"
    )


def shown(done: FrozenTrial, application: Application) -> Sequence[str]:
    """Returns a trial's values as options, floats with three digits."""
    words = []
    for name, value in done.params.items():
        text = f"{value:.3g}" if isinstance(value, float) else value
        words.append(f"--{name.removesuffix('_')}={text}")
    return words


def _stop_if_all_fail(trials: Sequence[FrozenTrial]) -> None:
    """Raises `InputError` if trials fail whatever the values are."""
    finished = [t for t in trials if t.state.is_finished()]
    failed = [t for t in finished if t.state == TrialState.FAIL]
    if len(failed) == len(finished) and len(failed) >= MOST_FAILURES:
        raise InputError(
            f"the first {len(failed)} trials failed; the last: "
            f"{failed[-1].user_attrs.get('error', '')}"
        )
