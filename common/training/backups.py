"""Backups of training: exact resume, and the best weights so far."""

import json
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import console, runtime
from common.data import pipelines
from common.options import InputError
from common.workers import cluster

from . import checkpoint, distribution

FILE = "backup.npz"  # The checkpoint's name in `--work_dir`.
# Training is backed up within an epoch that takes longer than this.
SECONDS = 300.0


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best value of a metric.

    Attributes:
        best: The best value so far, or NaN before there is one.
        arrays: The values of the model's variables in that epoch, in the order
            of `model.variables`.
    """

    def __init__(self, monitor: str, mode: str = "max") -> None:
        super().__init__()
        self.monitor = monitor
        self.best = math.nan
        self.arrays: list[np.ndarray] = []
        self._sign = 1 if mode == "max" else -1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the weights if the metric is the best so far."""
        value = float((logs or {})[self.monitor])
        if math.isfinite(value) and not self._sign * (value - self.best) <= 0:
            self.best = value
            self.arrays = [
                variable.numpy() for variable in self.model.variables
            ]

    def restore(self, model: keras.Model) -> None:
        """Assigns the best weights to a model.

        Raises:
            InputError: If the metric was a finite number in no epoch.
        """
        if not self.arrays:
            raise InputError(
                f"validation must give a number for {self.monitor}, which "
                "decides which epoch's weights are released; it did in no "
                "epoch. Look for values in the validation data that are not "
                "finite, or lower --learning_rate."
            )
        _assign(model.variables, self.arrays)


class Backup(keras.callbacks.Callback):
    """Makes training continue exactly where it was stopped or killed.

    Keras's `BackupAndRestore` writes its file in place, and does not save the
    position in the data, the epoch's running metrics, the best weights and the
    other callbacks' counters; this callback saves them, and replaces its file
    at once. It backs up after every epoch, every `SECONDS` within an
    epoch, and on SIGINT and SIGTERM, which then end the program. Of several
    workers the first writes the file; all workers stop at the same step,
    whichever of them received the signal.

    The constructor reads the file, and nothing reads it later: by then, another
    worker may be writing it.

    Attributes:
        path: The checkpoint's file.
        epoch: The epoch to train next.
        step: The step of that epoch to begin with.
        stopped: Whether training has ended, after all epochs or early.
        history: The logs of all epochs, including those before a restart.
        seconds: Time spent in training, including that before a restart.
        best: The best weights so far.
    """

    # The attributes of this callback, and of the others, that a backup holds.
    STATE = ("epoch", "step", "stopped", "history", "seconds")
    COUNTERS = ("best", "best_epoch", "wait", "cooldown_counter")

    def __init__(
        self,
        path: Path,
        position: pipelines.Position,
        epochs: int,
        num_steps: int,
        best: BestWeights,
        others: tuple[keras.callbacks.Callback, ...] = (),
    ) -> None:
        super().__init__()
        self.path = path
        self.epoch = self.step = 0
        self.stopped = False
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.best = best
        self._position, self._others = position, others
        self._epochs, self._num_steps = epochs, num_steps
        self._counters: list[dict[str, Any]] = []
        self._variables_read: list[np.ndarray] = []
        self._running: list[np.ndarray] = []
        self._signals = runtime.SignalFlag()
        self._vote = cluster.Vote()
        self._saved_at = self._counted_to = time.monotonic()
        if path.exists():
            self._read()

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores the variables, once, and the other callbacks' counters."""
        self._saved_at = self._counted_to = time.monotonic()
        self.restore(self.model)
        for other, counters in zip(self._others, self._counters, strict=False):
            for name, value in counters.items():
                setattr(other, name, value)
        self._signals.__enter__()

    def restore(self, model: keras.Model) -> None:
        """Assigns the backup's variables to a model and its optimizer.

        It does so once: a later call, or a run without a backup, changes
        nothing.
        """
        if self._variables_read:
            _assign(_variables(model), self._variables_read)
            self._variables_read = []

    def on_train_end(self, logs: dict | None = None) -> None:
        """Ends the program if a signal came after the last backup."""
        self._end_if_signalled()
        self.close()

    def close(self) -> None:
        """Restores the signal handlers, also after a `fit` that failed.

        Keras calls no callback then, so whoever calls `fit` calls this.
        """
        self._signals.__exit__()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Moves the pipeline to the epoch, and to the step to begin with."""
        self._position.set(epoch, self.step)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Backs up when it is time, or when a signal came.

        It does not back up after an epoch's last steps: no step would be left
        to continue with, and the epoch's validation is still to come. A signal
        waits for the validation, and the finished epoch is backed up.
        """
        if self._running:
            # The metrics exist since the first step; their variables are sums.
            metrics = self.model.metrics_variables
            for variable, value in zip(metrics, self._running, strict=True):
                # A variable that sums over devices has no `assign_add`.
                variable.assign(variable.numpy() + value)
            self._running = []
        first = self.step
        step = first + batch + 1
        # Keras counts an epoch's last execution as if it ran all its steps.
        if step >= self._num_steps:
            return
        due = time.monotonic() - self._saved_at > SECONDS
        if self._ask(due):
            self.step = step
            self._save()
            self._end_if_signalled()
            self.step = first

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Backs up the finished epoch."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.epoch, self.step = epoch + 1, 0
        self.stopped = self.model.stop_training or self.epoch >= self._epochs
        self._ask(now=True)
        self._save()
        self._end_if_signalled()

    def _ask(self, due: bool = False, now: bool = False) -> bool:
        """Returns whether any worker is due for a backup or received a signal.

        A signal to any worker counts as a signal to every worker. Between two
        votes of the workers it returns False.

        Args:
            due: Whether this worker's last backup is too long ago.
            now: Whether the workers vote at this call in any case.
        """
        signum = self._vote(self._signals.received or int(due), now)
        if signum > 1:
            self._signals.received = signum
        return signum > 0

    def _end_if_signalled(self) -> None:
        """Ends the program, with one line, if a signal came."""
        if self._signals.received:
            signum = self._signals.received
            self._signals.__exit__()
            terminal = console.get(stderr=True)
            terminal.print(
                f"stopped after {self.epoch} epochs and {self.step} steps; the "
                "same command again continues from there."
            )
            raise runtime.Interrupted(signum)

    def _save(self) -> None:
        """Writes everything that decides what training does next."""
        now = time.monotonic()
        self.seconds += now - self._counted_to
        self._saved_at = self._counted_to = now
        self._counters = [
            {k: getattr(other, k) for k in self.COUNTERS if hasattr(other, k)}
            for other in self._others
        ]
        state = {name: getattr(self, name) for name in self.STATE}
        text = json.dumps({**state, "counters": self._counters}, default=float)
        if self.step:  # At an epoch's end, validation has averaged them.
            distribution.average_statistics(self.model)
        metrics = self.model.metrics_variables if self.step else []
        # All workers must read the metrics: reading them sums over workers.
        running = [variable.numpy() for variable in metrics]
        if not cluster.is_chief():
            return
        parts = {
            "variable": [
                variable.numpy() for variable in _variables(self.model)
            ],
            "metric": running,
            "best": self.best.arrays,
        }
        arrays = {
            f"{name}_{index}": array
            for name, part in parts.items()
            for index, array in enumerate(part)
        }
        checkpoint.write(self.path, {"state": np.array(text), **arrays})

    def _read(self) -> None:
        """Reads the file that `_save` wrote; changes no model."""
        with np.load(self.path, allow_pickle=False) as file:
            arrays = dict(file)
        state = json.loads(str(arrays["state"]))
        self._counters = state.pop("counters")
        for name, value in state.items():
            setattr(self, name, value)

        def part(name: str) -> list[np.ndarray]:
            count = sum(key.startswith(f"{name}_") for key in arrays)
            return [arrays[f"{name}_{index}"] for index in range(count)]

        self._variables_read, self._running = part("variable"), part("metric")
        self.best.arrays = part("best")


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the model's variables and its optimizer's."""
    return [*model.variables, *model.optimizer.variables]


def _assign(variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
    """Assigns the arrays of a backup to variables.

    Raises:
        InputError: If the arrays do not have the variables' shapes.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise InputError(
            "--work_dir must hold a backup of this very model; the code that "
            "builds it has changed since. Remove the backup, or pass another "
            "--work_dir."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
