"""The process: quiet start-up, seeds, devices, versions, memory, signals."""

import contextlib
import errno
import fcntl
import gc
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

# Seconds until `_unraisable` raises a signal's exception again: by then the
# finalizer that swallowed it has ended.
RAISED_AGAIN_SECONDS = 0.01
# Python looks for unreachable cycles after 700 new objects, by default. Tracing
# a graph makes millions of objects that stay. In alternating runs of the demo
# these thresholds took 97 and 110 CPU seconds, the defaults 116 and 121, and
# peak memory was 1.18 GB against 1.20.
COLLECTION_THRESHOLDS = (50_000, 20, 20)
# The texts of errors of a disk or a directory, whichever library reports them.
DISK_ERRORS = tuple(
    os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
)


@contextlib.contextmanager
def native_stderr_hidden(show_python: bool = False) -> Iterator[None]:
    """Hides the stderr output of native code; shows it after an exception.

    It is meant for only three places, where C++ prints lines that a user cannot
    act on and that no setting turns off: TensorFlow's import (oneDNN, "Could
    not find cuda drivers"), the TFLite converter (MLIR progress), and the first
    decoding of a file, whose faults libjpeg prints without the file's name.

    Args:
        show_python: Whether Python's own output, such as a progress bar, is
            still shown. The converter's Python code prints warnings about
            TensorFlow's plans, which are better hidden.
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
        except InputError:  # Its message says everything.
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
    """Imports TensorFlow without its start-up messages and sets every seed.

    It must be called before anything else imports TensorFlow. From then on
    SIGTERM ends the program by an exception, and Python's garbage collector
    runs less often. The seed is that of Python's, NumPy's and Keras's
    generators: on a CPU the same command then gives the same figures.

    Args:
        seed: The seed.
    """
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    # TensorFlow reads the variables at its first import. Real errors come as
    # exceptions; C++ only logs others, such as "oneDNN supports DT_INT32 only
    # on platforms with AVX-512".
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow turns oneDNN on by itself only if the CPU has AVX-512 VNNI or
    # AMX. Measured on a CPU with AVX2 only: with oneDNN, LeNet trains 2.7 times
    # as fast, and a dense network twice as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with native_stderr_hidden():
        import tensorflow as tf

        tf.config.list_physical_devices()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    # tf_keras and TF-MOT cause deprecation warnings, which users cannot mend.
    tf.get_logger().setLevel("ERROR")
    logging.set_verbosity(logging.WARNING)
    with contextlib.suppress(ValueError):  # Only the main thread may do this.
        signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _unraisable
    set_seed(seed)


def set_seed(seed: int) -> None:
    """Sets the seed of all generators; see `start`."""
    import keras

    keras.utils.set_random_seed(seed)


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on, by package name."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def machine() -> str:
    """Returns the system, the processors and the GPUs of this machine."""
    import tensorflow as tf

    parts = [f"{sys.platform} {platform.machine()}"]
    parts.append(f"{os.cpu_count()} processors")
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        parts.append(details.get("device_name", "GPU"))
    return ", ".join(parts)


def peak_memory_mb() -> float:
    """Returns the process's peak memory so far, in MB (2**20 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return round(peak * unit / 2**20, 1)


# The signals that asked for the program's end.
_end_signals: list[int] = []


class Interrupted(SystemExit):
    """Ends the program after SIGINT or SIGTERM with the shell's status.

    Attributes:
        code: 128 + the signal's number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        _end_signals.append(signum)  # See `end_signal`.


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
    signal.signal(signum, signal.SIG_DFL)  # A second one ends at once.
    print("stopped; the same command continues.", file=sys.stderr)
    raise Interrupted(signum)


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Raises a signal's exception again if a finalizer swallowed it.

    Python would print the exception and continue, as if no signal had come.
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
    """Locks a directory against other processes while the block runs.

    The lock is the operating system's: it ends with the process, however the
    process ends.

    Args:
        directory: The directory of a run's checkpoints.

    Raises:
        InputError: If another process has locked the directory.
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
    """Turns the block's errors of writing a directory into an `InputError`.

    The directory may become full, or may be removed, while the program runs.

    Args:
        option: The option that named the directory, such as `--work_dir`.
        directory: The directory that the block writes to.

    Raises:
        InputError: In place of such an error of Python, h5py or TensorFlow.
    """
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        sys.stdout.flush()  # This fails again if standard output is full.
        text = " ".join(str(error).split())
        reason = next((fault for fault in DISK_ERRORS if fault in text), "")
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
    """Waits for SIGINT or SIGTERM; returns the signal's number."""
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
    """Records SIGINT and SIGTERM while its block runs.

    The block can then end at a good place. A second signal ends the program at
    once.

    Attributes:
        received: The number of the first signal; None before it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "SignalFlag":
        for signum in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread may set handlers.
            with contextlib.suppress(ValueError):
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
