"""The study: trials in a database, each of which one process runs at a time."""

import contextlib
import datetime
import fcntl
import hashlib
import json
import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from common import runtime, whole_file
from common.options import InputError, quote

from . import sampling
from .application import Application
from .config import Config

# Seconds that a process waits for another that writes to the database.
WAIT_SECONDS = 120
# A process that has just made a trial on another machine needs time to sign it.
UNSIGNED_SECONDS = 60
# A trial whose process is killed so often without a finished epoch is given up:
# it may be the trial that kills it, such as by using up the memory. Where no
# epochs are told, each kill counts.
MOST_STARTS = 4


class Study:
    """A study of Optuna's, and the directory of its trials' checkpoints.

    Attributes:
        base: The study of Optuna's.
        directory: The directory.
        application: What is tuned.
        host: The name of this machine. A trial that was interrupted is run
            again where its checkpoints are.
    """

    def __init__(self, config: Config, application: Application) -> None:
        """Opens the study, or makes it.

        Raises:
            InputError: If the database cannot be opened.
        """
        name = study_name(config, application)
        self.directory = Path(config.work_dir) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.application, self.host = application, socket.gethostname()
        self._limit, self._shared = config.trials, bool(config.storage)
        defaults = {
            parameter.name: parameter.drawn(
                getattr(application.base, parameter.name)
            )
            for parameter in application.parameters
        }
        first = {k: v for k, v in defaults.items() if v is not None}
        with self.locked():
            self.base = optuna.create_study(
                study_name=name,
                storage=_storage(
                    config.storage or f"sqlite:///{self.directory / 'study.db'}"
                ),
                sampler=sampling.Sampler(config.sampler, config.seed, first),
                pruner=sampling.pruner(config, application.base.epochs),
                load_if_exists=True,
                directions=[
                    StudyDirection.MAXIMIZE,
                    StudyDirection.MINIMIZE,
                ][: len(config.objectives)],
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process of this machine at a time run the block."""
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def folder(self, number: int) -> Path:
        """Returns the directory of a trial's checkpoints."""
        return self.directory / "trials" / str(number)

    def keep_fault(self, number: int, text: str) -> None:
        """Writes the traceback of a failed trial into `failed/`."""
        folder = self.directory / "failed"
        folder.mkdir(exist_ok=True)
        with whole_file.writing(folder / f"{number + 1}.txt") as file:
            file.write(text)

    @contextlib.contextmanager
    def claimed(self, ask: bool) -> Iterator[optuna.Trial | None]:
        """Gives a trial that no other process runs while the block runs.

        A trial that was interrupted comes before a new one. Its checkpoints are
        in its `folder`.

        Args:
            ask: Whether a new trial may be made.

        Yields:
            The trial, with the values of all parameters; None if there is none
            left.
        """
        with contextlib.ExitStack() as stack:
            with self.locked():
                trial = self._interrupted(stack)
                if trial is None and ask and len(self.trials()) < self._limit:
                    trial = self.base.ask()
                    trial.set_user_attr("host", self.host)
                    self._enter(trial.number, stack)
                if trial is not None:
                    # Within the lock, the draw depends on finished trials and
                    # on those that other processes run, in one order.
                    self._draw(trial)
            yield trial

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials by number."""
        return self.base.get_trials(deepcopy=False)

    def _interrupted(self, stack: contextlib.ExitStack) -> optuna.Trial | None:
        """Returns a trial that a process of this machine left, if any."""
        for frozen in self.trials():
            if frozen.state != TrialState.RUNNING or not self._is_own(frozen):
                continue
            with contextlib.suppress(InputError):  # Another process runs it.
                self._enter(frozen.number, stack)
                if self._has_ended(frozen.number):
                    shutil.rmtree(self.folder(frozen.number))
                    continue
                # Optuna has no other way to continue a trial.
                trial = optuna.Trial(self.base, frozen._trial_id)
                trial.set_user_attr("host", self.host)
                return trial
        return None

    def _is_own(self, trial: FrozenTrial) -> bool:
        """Returns whether a running trial was begun on this machine."""
        if "host" in trial.user_attrs:
            return trial.user_attrs["host"] == self.host
        start = trial.datetime_start or datetime.datetime.min
        age = (datetime.datetime.now() - start).total_seconds()
        return not self._shared or age > UNSIGNED_SECONDS

    def _has_ended(self, number: int) -> bool:
        """Returns whether another process has just ended a trial."""
        trials = self.base.get_trials(deepcopy=False)
        return trials[number].state.is_finished()

    def _enter(self, number: int, stack: contextlib.ExitStack) -> None:
        """Makes a trial's directory and locks it.

        Raises:
            InputError: If another process has locked it.
        """
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(runtime.alone(folder))

    def _draw(self, trial: optuna.Trial) -> None:
        """Draws the values of the parameters that have none yet."""
        for parameter in self.application.parameters:
            sampling.suggest(trial, parameter)


def study_name(config: Config, application: Application) -> str:
    """Returns a name that the same search always has, and no other."""
    base = application.base
    values: dict[str, Any] = {
        **base.training_values(),
        "search": application.items,
        "objectives": config.objectives,
        "variant": config.variant if config.with_size else "",
        "sampler": config.sampler,
        "pruner": config.pruner,
        "study_seed": config.seed,
    }
    text = json.dumps(values, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    data = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(base.dataset).name)[:60]
    return "-".join(filter(None, (application.name, data, digest)))


def _storage(url: str) -> optuna.storages.RDBStorage:
    """Returns the database at a URL.

    Raises:
        InputError: If there is none, or if its driver is not installed.
    """
    waits = {"timeout": WAIT_SECONDS} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": waits}
        )
    except (ImportError, ValueError, sqlalchemy.exc.SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            "--storage must be the URL of a database that can be opened, such "
            f"as sqlite:////shared/study.db; {quote(reason, 300)}."
        ) from None


def be_quiet() -> None:
    """Keeps Optuna from printing what this program says itself."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")


def same(
    trials: list[FrozenTrial], params: Mapping[str, Any]
) -> FrozenTrial | None:
    """Returns the first finished trial with the same values, if any."""
    return next(
        (t for t in trials if t.state.is_finished() and t.params == params),
        None,
    )
