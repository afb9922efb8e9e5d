"""The process: quiet start-up, seeds, devices, versions, memory, signals."""

import contextlib
import errno
import fcntl
import importlib.metadata
import os
import platform
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from absl import logging

from common.options import InputError

PACKAGES = (
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-model-optimization",
    "tensorflow-datasets",
    "ai-edge-litert",
    "numpy",
)

# A finalizer is over by then.
RAISED_AGAIN_SECONDS = 0.01
# Of a disk or a directory, whatever file or library it came from.
DISK_ERRORS = tuple(
    os.strerror(one) for one in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
)


@contextlib.contextmanager
def native_stderr_hidden(show_python: bool = False) -> Iterator[None]:
    """Hides what native code writes to stderr; shows it after an exception.

    Meant for three places only, where C++ prints lines that a user cannot act
    on and that no setting turns off: TensorFlow's import (oneDNN, "Could not
    find cuda drivers"), the TFLite converter (MLIR progress), and the first
    decoding of a file, whose faults libjpeg prints without the file's name.

    Args:
        show_python: Whether what Python prints is still shown, such as a bar
            of progress; the converter's Python warns of TensorFlow's own plans.
    """
    sys.stderr.flush()
    saved, stderr = os.dup(2), sys.stderr
    with (
        tempfile.TemporaryFile() as hidden,
        os.fdopen(
            os.dup(saved), "w", buffering=1, errors="backslashreplace"
        ) as shown,
    ):
        if show_python and stderr is sys.__stderr__:
            sys.stderr = shown
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except InputError:  # It explains itself, as does a signal that ends.
            raise
        except Exception:
            os.dup2(saved, 2)
            hidden.seek(0)
            sys.stderr.write(hidden.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            sys.stderr = stderr
            os.dup2(saved, 2)
            os.close(saved)


def start(seed: int) -> None:
    """Imports TensorFlow without its start-up noise and sets every seed.

    Call it before anything else touches TensorFlow. SIGTERM ends the program
    by an exception from here on. Seeds Python's, NumPy's
    and Keras's generators; on a CPU the same command then gives the same
    figures.
    """
    # Read when TensorFlow is first imported. Real errors come as exceptions;
    # those that C++ only logs are such as "oneDNN supports DT_INT32 only on
    # platforms with AVX-512".
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow turns oneDNN on by itself only where the CPU has AVX-512 VNNI
    # or AMX. Measured on one that has AVX2 only: LeNet trains 2.7 times as fast
    # with it, a dense network 2 times.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with native_stderr_hidden():
        import tensorflow as tf

        tf.config.list_physical_devices()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    # Deprecations inside tf_keras and TF-MOT: theirs, not a user's.
    tf.get_logger().setLevel("ERROR")
    logging.set_verbosity(logging.WARNING)
    with contextlib.suppress(ValueError):  # Not in the main thread.
        signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _unraisable
    set_seed(seed)


def set_seed(seed: int) -> None:
    """Seeds all generators; see `start`."""
    import keras

    keras.utils.set_random_seed(seed)


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on, by package name."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def peak_memory_mb() -> float:
    """Returns the most memory this process has held, in MB (2**20 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return round(peak * unit / 2**20, 1)


class Interrupted(SystemExit):
    """Ends the program after SIGINT or SIGTERM with the shell's status.

    Attributes:
        code: 128 + the signal's number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


# The signals that asked for the program's end.
_end_signals: list[int] = []


def end_signal() -> int | None:
    """Returns the signal that asked for the program's end, if there was one.

    Native code that its exception passes through may raise another in its
    place, such as a bare TypeError.
    """
    return _end_signals[0] if _end_signals else None


def raise_on_sigint() -> None:
    """Makes SIGINT a KeyboardInterrupt that `end_signal` knows of."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        _end_signals.append(signum)
        raise KeyboardInterrupt

    _end_signals.clear()
    # Where it is ignored, as in a shell's background, it stays so. SIG_DFL:
    # see `apps`.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with contextlib.suppress(ValueError):  # Not in the main thread.
            signal.signal(signal.SIGINT, interrupt)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Ends the program by an exception, so that half a release is removed."""
    _end_signals.append(signum)
    signal.signal(signum, signal.SIG_DFL)  # A second one ends at once.
    print("stopped; the same command continues.", file=sys.stderr)
    raise Interrupted(signum)


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Raises a signal's exception again that fell into a finalizer.

    Python would print it and go on, as if no signal had come.
    """
    error = lost.exc_value
    if not isinstance(error, (Interrupted, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)
        return

    def again(signum: int, frame: FrameType | None) -> None:
        raise error

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_SECONDS)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Refuses to share a directory with another process while it is entered.

    The lock is the operating system's: it ends with the process, however that
    ends.
    """
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"--work_dir must not be in use; another run with the same "
                f"options and data is training in {directory}. Wait for it, or "
                "pass another --work_dir."
            ) from None
        yield


@contextlib.contextmanager
def writing(option: str, directory: Path) -> Iterator[None]:
    """Ends the program with one line if a directory cannot be written.

    It may have become full, or have been removed, while the program ran.

    Args:
        option: What the directory was given by, such as `--work_dir`.
        directory: What is written to while this is entered.

    Raises:
        InputError: Instead of what Python, h5py or TensorFlow raises then.
    """
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        sys.stdout.flush()  # It fails again where that is what was full.
        text = " ".join(str(error).split())
        reason = next((one for one in DISK_ERRORS if one in text), "")
        name = getattr(error, "filename", None) or ""
        inside = Path(str(name)).absolute().is_relative_to(directory.absolute())
        if not (reason or inside or f"{directory}{os.sep}" in text):
            raise
        reason = reason or getattr(error, "strerror", None) or text[:200]
        raise InputError(
            f"{option} must be a directory that can be written, with room; "
            f"{directory}: {reason}. Nothing that was finished is lost: the "
            "same command continues."
        ) from None


def wait_for_signal() -> int:
    """Waits for SIGINT or SIGTERM; returns which it was."""
    received: list[int] = []
    woken = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        woken.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, note)
    woken.wait()
    return received[0]


class SignalFlag:
    """Notes SIGINT and SIGTERM while it is entered, for a polite end.

    The first signal sets `received`; a second one ends the program at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "SignalFlag":
        for signum in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # Not in the main thread.
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            raise Interrupted(signum)
        self.received = signum
