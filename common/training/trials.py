"""A trial of a search for settings: a run that is judged and not released.

Whoever searches runs an app's `train.run` inside `judged`. Training then tells
the trial each epoch's validation metric, and publishing returns the figures of
validation at once; it writes no release and leaves the figures of test out.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator

import keras


@dataclasses.dataclass
class Trial:
    """What a search wants of the run inside `judged`.

    Attributes:
        monitor: The validation metric to tell, such as `val_accuracy`; "" for
            none. Only the first fit that watches it tells its epochs: later
            fits are of other data.
        on_epoch: Receives the epoch, from 0, and the metric. What it raises
            ends the run.
        with_files: Whether the TFLite files of `--variants` are measured.
        num_fits: The number of fits so far that watch `monitor`.
    """

    monitor: str = ""
    on_epoch: Callable[[int, float], None] = lambda epoch, value: None
    with_files: bool = False
    num_fits: int = 0


_current: contextvars.ContextVar[Trial | None] = contextvars.ContextVar(
    "trial", default=None
)


@contextlib.contextmanager
def judged(trial: Trial) -> Iterator[None]:
    """Makes the run inside the block a trial."""
    token = _current.set(trial)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Trial | None:
    """Returns the trial that the run is; None for a run that is released."""
    return _current.get()


def callbacks(monitor: str) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of the trial for a fit, if it has any.

    Args:
        monitor: The metric that the fit watches.
    """
    trial = current()
    if not trial or not monitor or trial.monitor != monitor:
        return []
    trial.num_fits += 1
    return [_Tell(trial)] if trial.num_fits == 1 else []


class _Tell(keras.callbacks.Callback):
    """Tells a trial the metric of every epoch."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self._trial = trial

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tells the metric."""
        value = (logs or {})[self._trial.monitor]
        self._trial.on_epoch(epoch, float(value))
