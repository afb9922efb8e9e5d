"""Keras callbacks: checkpoints, exact resume, polite interrupts, progress.

`standard` gives the list that every app trains with.
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import cluster, data, progress, runtime
from common.config import InputError

# An epoch longer than this is also backed up on the way.
BACKUP_SECONDS = 300.0


def standard(
    work_dir: Path,
    position: data.Position,
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
    chosen: list[keras.callbacks.Callback] = [
        StopOnNaN(num_steps),
        BestCheckpoint(work_dir / "best.weights.h5", monitor, mode),
    ]
    if patience:
        chosen.append(
            keras.callbacks.EarlyStopping(monitor, mode=mode, patience=patience)
        )
    if plateau:
        chosen.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor, mode=mode, factor=0.5, patience=3
            )
        )
    # Last: its state includes that of the others, which reset themselves when
    # training begins.
    backup = Backup(
        work_dir / "backup.npz", position, epochs, num_steps, tuple(chosen)
    )
    return [*chosen, *_loggers(work_dir, epochs, num_steps), backup]


def _loggers(
    work_dir: Path, epochs: int, num_steps: int
) -> list[keras.callbacks.Callback]:
    """Returns what tells of training, in files and on the console."""
    if not cluster.is_chief():
        return []
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--work_dir must be a directory that can be written; {work_dir} "
            f"is not: {error.strerror}."
        ) from None
    return [
        keras.callbacks.CSVLogger(work_dir / "log.csv", append=True),
        keras.callbacks.TensorBoard(
            work_dir / "tensorboard", write_graph=False
        ),
        progress.EpochLines(epochs, num_steps),
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


class BestCheckpoint(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best value of a metric.

    Attributes:
        path: The `.weights.h5` file, replaced as a whole.
        best: The best value so far; NaN, which any is better than, if none.
    """

    def __init__(self, path: Path, monitor: str, mode: str = "max") -> None:
        super().__init__()
        self.path, self.monitor = path, monitor
        self.best = math.nan
        self._sign = 1 if mode == "max" else -1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the weights if the metric is better than ever."""
        value = float((logs or {})[self.monitor])
        if not (math.isnan(self.best) or self._sign * (value - self.best) > 0):
            return
        self.best = value
        if not cluster.is_chief():
            return
        partial = self.path.with_name("partial.weights.h5")
        self.model.save_weights(partial)
        partial.replace(self.path)


class Backup(keras.callbacks.Callback):
    """Makes training continue exactly where it was stopped or killed.

    Keras's `BackupAndRestore` writes its file in place, and forgets the
    position in the data, the epoch's running metrics and the other callbacks'
    counters; this one keeps them, and replaces its file as a whole. It backs up
    after every epoch, every `BACKUP_SECONDS` in it, and on SIGINT and SIGTERM,
    which then end the program. Of several workers the first one writes; all of
    them stop at the same step, whichever the signal came to.

    Attributes:
        epoch: The epoch to train next.
        step: The step to begin it with.
        stopped: Whether training has ended, early perhaps.
        history: The logs of all epochs, those before a restart included.
        seconds: Time spent in training, that before a restart included.
    """

    # What Keras's callbacks and ours carry from one epoch to the next.
    STATE = ("epoch", "step", "stopped", "history", "seconds")
    COUNTERS = ("best", "best_epoch", "wait", "cooldown_counter")

    def __init__(
        self,
        path: Path,
        position: data.Position,
        epochs: int,
        num_steps: int,
        others: tuple[keras.callbacks.Callback, ...] = (),
    ) -> None:
        super().__init__()
        self.path = path
        self.epoch = self.step = 0
        self.stopped = False
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._position, self._others = position, others
        self._epochs, self._num_steps = epochs, num_steps
        self._counters: list[dict[str, Any]] = []
        self._running: list[np.ndarray] = []
        self._signals = runtime.SignalFlag()
        self._vote = cluster.Vote()
        self._saved_at = self._counted_to = time.monotonic()
        if path.exists():
            self._read_state()

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores the last backup, if there is one."""
        self._saved_at = self._counted_to = time.monotonic()
        if self.path.exists():
            self._read_variables()
        self._signals.__enter__()

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
            console = runtime.console(stderr=True)
            console.print(
                f"stopped after {self.epoch} epochs and {self.step} steps; the "
                "same command again continues from there."
            )
            raise runtime.Interrupted(signum)

    def _variables(self) -> list[keras.Variable]:
        """Returns weights, random states and the optimizer's variables."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self) -> None:
        """Writes everything that decides what training does next."""
        now = time.monotonic()
        self.seconds += now - self._counted_to
        self._saved_at = self._counted_to = now
        state = {
            **{name: getattr(self, name) for name in self.STATE},
            "counters": [
                {k: getattr(one, k) for k in self.COUNTERS if hasattr(one, k)}
                for one in self._others
            ],
        }
        metrics = self.model.metrics_variables if self.step else []
        # Of several workers all must read them: to read is to sum.
        arrays: dict[str, Any] = {
            f"metric_{i}": one.numpy() for i, one in enumerate(metrics)
        }
        if not cluster.is_chief():
            return
        arrays |= {
            f"variable_{i}": one.numpy()
            for i, one in enumerate(self._variables())
        }
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            text = json.dumps(state, default=float)
            np.savez(file, state=np.array(text), **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def _read_state(self) -> None:
        """Reads where training was, without touching the model."""
        with np.load(self.path, allow_pickle=False) as arrays:
            state = json.loads(str(arrays["state"]))
        for name in self.STATE:
            setattr(self, name, state[name])
        self._counters = state["counters"]

    def _read_variables(self) -> None:
        """Reads what `_save` wrote into the model and the other callbacks."""
        self._read_state()
        with np.load(self.path, allow_pickle=False) as arrays:
            for i, variable in enumerate(self._variables()):
                variable.assign(arrays[f"variable_{i}"])
            count = sum(name.startswith("metric_") for name in arrays.files)
            self._running = [arrays[f"metric_{i}"] for i in range(count)]
        for other, counters in zip(self._others, self._counters, strict=True):
            for name, value in counters.items():
                setattr(other, name, value)
