"""Keras callbacks: checkpoints, exact resume, polite interrupts, progress.

`standard` gives the list that every app trains with.
"""

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
from .progress import EpochLines

BACKUP = "backup.npz"  # In a run's directory.
# An epoch longer than this is also backed up on the way.
BACKUP_SECONDS = 300.0


def standard(
    work_dir: Path,
    position: pipelines.Position,
    *,
    epochs: int,
    num_steps: int,
    monitor: str,
    mode: str = "max",
    patience: int = 0,
    plateau: bool = False,
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that every app trains with, in working order.

    Args:
        work_dir: Where checkpoints, `log.csv` and TensorBoard's logs go.
        position: The training pipeline's position.
        epochs: The epochs of the whole training.
        num_steps: Steps in an epoch.
        monitor: The validation metric that decides which weights are best.
        mode: `max` or `min`: which way the metric is better.
        patience: Epochs without a better value before training stops early;
            0 trains for all epochs.
        plateau: Halve the learning rate when the metric stops improving.
    """
    best = BestWeights(monitor, mode)
    chosen: list[keras.callbacks.Callback] = [StopOnNaN(num_steps), best]
    if patience:
        chosen.append(EarlyStopping(monitor, mode=mode, patience=patience))
    if plateau:
        chosen.append(
            ReduceLROnPlateau(monitor, mode=mode, factor=0.5, patience=3)
        )
    # Last: its state includes that of the others, which reset themselves when
    # training begins.
    backup = Backup(
        work_dir / BACKUP, position, epochs, num_steps, best, tuple(chosen)
    )
    return [*chosen, *_loggers(work_dir, epochs, num_steps), backup]


def _loggers(
    work_dir: Path, epochs: int, num_steps: int
) -> list[keras.callbacks.Callback]:
    """Returns what tells of training, in files and on the console."""
    if not cluster.is_chief():
        return []
    return [
        keras.callbacks.CSVLogger(work_dir / "log.csv", append=True),
        keras.callbacks.TensorBoard(
            work_dir / "tensorboard", write_graph=False
        ),
        EpochLines(epochs, num_steps),
    ]


class StopOnNaN(keras.callbacks.Callback):
    """Stops training, with an explanation, when the loss is not finite."""

    _epoch = 0

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self._num_steps = num_steps

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Raises `InputError` if the loss is NaN or infinite."""
        if math.isfinite((logs or {}).get("loss", 0.0)):
            return
        rate = float(self.model.optimizer.learning_rate.numpy())
        # Keras counts the last execution's steps past the epoch's end.
        step = min(batch + 1, self._num_steps)
        raise InputError(
            f"training diverged: the loss is not finite in epoch "
            f"{self._epoch + 1}, step {step}, at a learning rate of "
            f"{rate:.2g}. Lower --learning_rate, or look for values in the "
            "data that are not finite."
        )


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best value of a metric.

    Attributes:
        best: The best value so far; NaN, which any is better than, if none.
        arrays: The values of the model's variables then, in their order.
    """

    def __init__(self, monitor: str, mode: str = "max") -> None:
        super().__init__()
        self.monitor = monitor
        self.best = math.nan
        self.arrays: list[np.ndarray] = []
        self._sign = 1 if mode == "max" else -1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the weights if the metric is better than ever."""
        value = float((logs or {})[self.monitor])
        if math.isfinite(value) and not self._sign * (value - self.best) <= 0:
            self.best = value
            self.arrays = [
                variable.numpy() for variable in self.model.variables
            ]

    def restore(self, model: keras.Model) -> None:
        """Gives a model the weights.

        Raises:
            InputError: If the metric has never been a number.
        """
        if not self.arrays:
            raise InputError(
                f"validation must give a number for {self.monitor}, which "
                "decides which epoch's weights are released; it did in no "
                "epoch. Look for values in the validation data that are not "
                "finite, or lower --learning_rate."
            )
        _assign(model.variables, self.arrays)


class _FirstNumber:
    """Lets Keras's callbacks take no NaN, than which nothing is better."""

    best: float | None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Forgets a best value that is not a number."""
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]
        if self.best is not None and math.isnan(self.best):
            self.best = None


class EarlyStopping(_FirstNumber, keras.callbacks.EarlyStopping):
    """Keras's, for figures that may be NaN."""


class ReduceLROnPlateau(_FirstNumber, keras.callbacks.ReduceLROnPlateau):
    """Keras's, for figures that may be NaN."""


class Backup(keras.callbacks.Callback):
    """Makes training continue exactly where it was stopped or killed.

    Keras's `BackupAndRestore` writes its file in place, and forgets the
    position in the data, the epoch's running metrics, the best weights and the
    other callbacks' counters; this one keeps them, and replaces its file as a
    whole. It backs up after every epoch, every `BACKUP_SECONDS` in it, and on
    SIGINT and SIGTERM, which then end the program. Of several workers the first
    one writes; all of them stop at the same step, whichever the signal came to.

    The file is read when this is made, and never again: later, another worker
    may be writing it.

    Attributes:
        epoch: The epoch to train next.
        step: The step to begin it with.
        stopped: Whether training has ended, early perhaps.
        history: The logs of all epochs, those before a restart included.
        seconds: Time spent in training, that before a restart included.
        best: The best weights so far.
    """

    # What Keras's callbacks and ours carry from one epoch to the next.
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
        """Restores what was read, once, and the other callbacks' counters."""
        self._saved_at = self._counted_to = time.monotonic()
        self.restore(self.model)
        for other, counters in zip(self._others, self._counters, strict=False):
            for name, value in counters.items():
                setattr(other, name, value)
        self._signals.__enter__()

    def restore(self, model: keras.Model) -> None:
        """Gives a model what was read of it, the optimizer's state included."""
        if self._variables_read:
            _assign(_variables(model), self._variables_read)
            self._variables_read = []

    def on_train_end(self, logs: dict | None = None) -> None:
        """Ends the program if a signal came after the last backup."""
        self._end_if_signalled()
        self.close()

    def close(self) -> None:
        """Gives the signals back; Keras does not say when `fit` fails."""
        self._signals.__exit__()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Points the pipeline at this epoch, in the middle after a restart."""
        self._position.set(epoch, self.step)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Backs up when it is time, or when a signal came.

        Not after an epoch's last steps: no step would be left to continue
        with, and the epoch's validation is still to come. A signal waits for
        it, and the finished epoch is backed up.
        """
        if self._running:
            # Only now do the metrics exist; their variables are sums.
            metrics = self.model.metrics_variables
            for variable, value in zip(metrics, self._running, strict=True):
                # No `assign_add`: a variable that devices sum has none.
                variable.assign(variable.numpy() + value)
            self._running = []
        first = self.step
        step = first + batch + 1
        if step >= self._num_steps:  # Greater where an execution is cut short.
            return
        due = time.monotonic() - self._saved_at > BACKUP_SECONDS
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
        """Returns whether to back up; a signal to any worker is for all."""
        signum = self._vote(self._signals.received or int(due), now)
        if signum > 1:
            self._signals.received = signum
        return signum > 0

    def _end_if_signalled(self) -> None:
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
            {k: getattr(one, k) for k in self.COUNTERS if hasattr(one, k)}
            for one in self._others
        ]
        state = {name: getattr(self, name) for name in self.STATE}
        text = json.dumps({**state, "counters": self._counters}, default=float)
        if self.step:  # Else validation has done it.
            distribution.average_statistics(self.model)
        metrics = self.model.metrics_variables if self.step else []
        # Of several workers all must read them: to read is to sum.
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
        """Reads what `_save` wrote, without touching a model."""
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
    """Returns weights, random states and the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]


def _assign(variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
    """Gives variables their values from a backup.

    Raises:
        InputError: If they are not a backup of these variables.
    """
    if [tuple(one.shape) for one in variables] != [one.shape for one in arrays]:
        raise InputError(
            "--work_dir must hold a backup of this very model; the code that "
            "builds it has changed since. Remove the backup, or pass another "
            "--work_dir."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
