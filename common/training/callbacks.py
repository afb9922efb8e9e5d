"""Keras callbacks: stopping, logs, and the list that every app trains with.

`standard` returns that list, whose last callback is the backup.
"""

import math
from pathlib import Path

import keras

from common.data import pipelines
from common.options import InputError
from common.workers import cluster

from . import backups
from .progress import EpochLines


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
        work_dir: The directory of the checkpoints, `log.csv` and TensorBoard's
            logs.
        position: The training pipeline's position.
        epochs: The number of epochs of the whole training.
        num_steps: The number of steps in an epoch.
        monitor: The validation metric that decides which weights are best.
        mode: `max` if a larger metric is better, `min` if a smaller one is.
        patience: Epochs without a better value before training stops early;
            0 trains for all epochs.
        plateau: Whether to halve the learning rate when the metric stops
            improving.
    """
    best = backups.BestWeights(monitor, mode)
    chosen: list[keras.callbacks.Callback] = [StopOnNaN(num_steps), best]
    if patience:
        chosen.append(EarlyStopping(monitor, mode=mode, patience=patience))
    if plateau:
        chosen.append(
            ReduceLROnPlateau(monitor, mode=mode, factor=0.5, patience=3)
        )
    # The backup comes last: it restores the state of the other callbacks, which
    # reset themselves when training begins.
    backup = backups.Backup(
        work_dir / backups.FILE,
        position,
        epochs,
        num_steps,
        best,
        tuple(chosen),
    )
    return [*chosen, *_loggers(work_dir, epochs, num_steps), backup]


def _loggers(
    work_dir: Path, epochs: int, num_steps: int
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that log training to files and the console."""
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


class _FirstNumber:
    """Keeps Keras's callbacks from taking NaN for the best value.

    No number compares as better than NaN, so training would seem to improve
    never again.
    """

    best: float | None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Forgets a best value that is not a number."""
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]
        if self.best is not None and math.isnan(self.best):
            self.best = None


class EarlyStopping(_FirstNumber, keras.callbacks.EarlyStopping):
    """Keras's `EarlyStopping`, for metrics that may be NaN."""


class ReduceLROnPlateau(_FirstNumber, keras.callbacks.ReduceLROnPlateau):
    """Keras's `ReduceLROnPlateau`, for metrics that may be NaN."""
