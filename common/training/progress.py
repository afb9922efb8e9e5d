"""Progress of training: one line per epoch, and bars on terminals only."""

import time

import keras
import rich.progress

from common import console


class EpochLines(keras.callbacks.Callback):
    """Prints one line per epoch, and shows a bar while an epoch runs."""

    def __init__(self, epochs: int, num_steps: int) -> None:
        super().__init__()
        self._epochs, self._num_steps = epochs, num_steps
        self._console = console.get()
        self._bar: rich.progress.Progress | None = None
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shows the bar."""
        self._start = time.monotonic()
        if self._console.is_terminal:
            self._bar = rich.progress.Progress(
                console=self._console, transient=True
            )
            total = self._num_steps
            self._bar.add_task(f"epoch {epoch + 1}", total=total)
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar."""
        if self._bar:
            # Keras counts the last execution's steps past the epoch's end.
            steps = min(batch + 1, self._num_steps)
            self._bar.update(self._bar.task_ids[0], completed=steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the epoch's line."""
        self._hide()
        width = len(str(self._epochs))
        values = "  ".join(
            f"{name} {value:.4f}"
            for name, value in (logs or {}).items()
            if name not in ("learning_rate", "epochs")
        )
        self._console.print(
            f"epoch {epoch + 1:{width}d}/{self._epochs}  "
            f"{time.monotonic() - self._start:6.1f} s  {values}"
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Hides the bar."""
        self._hide()

    def _hide(self) -> None:
        """Removes the bar from the terminal."""
        if self._bar:
            self._bar.stop()
            self._bar = None
