"""A program's main module in a forked process, watched.

Importing TensorFlow costs seconds; a fork of a process that has imported it
costs milliseconds. That is safe only as long as no operation has run there:
the runtime's threads do not survive a fork.
"""

import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import pkgutil
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import apps
import common
from common import runtime

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 120.0, 3000
LONGEST_LINE = 1000
Allows = Callable[[str], bool]
# Success, a refused input, and the ends after SIGINT and SIGTERM.
STATUSES = (0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM)
# `python -m` runs these: they must not have been imported before.
PROGRAMS = ("apps.data_service", "apps.launch", "apps.releases", "apps.serve")
KINDS = ("traceback", "hang", "memory", "status", "lines", "left behind")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        status: As the shell gives it.
        stdout: What it printed.
        stderr: What it printed there.
        watch: `hang` or `memory` if it was killed for that.
        left: Paths that are there and were not before.
    """

    status: int
    stdout: str
    stderr: str
    watch: str = ""
    left: tuple[str, ...] = ()

    def fault(self, is_allowed: Allows) -> tuple[str, str]:
        """Returns the kind of failure and what shows it; "" if there is none.

        Args:
            is_allowed: Tells whether a path may be left behind.
        """
        lines = self.stderr.strip().splitlines() or [""]
        left = [path for path in self.left if not is_allowed(path)]
        if self.watch:
            return self.watch, lines[-1]
        if "Traceback (most recent" in self.stderr:
            return "traceback", lines[-1]
        if self.status not in STATUSES:
            return "status", f"{self.status} {lines[-1]}"
        if len(lines) > 1 or (self.status == 2 and not lines[0]):
            return "lines", f"{len(lines)}, the first: {lines[0]}"
        if len(lines[0]) > LONGEST_LINE:
            return "lines", f"of {len(lines[0]):,} characters: {lines[0]}"
        if left:
            return "left behind", f"{', '.join(left[:4])} after {lines[0]}"
        return "", ""


def import_everything() -> None:
    """Imports what the apps may need, and runs no operation."""
    with runtime.native_stderr_hidden():
        for package in (common, apps):
            prefix = package.__name__ + "."
            for module in pkgutil.walk_packages(package.__path__, prefix):
                if not module.name.endswith(("__main__", *PROGRAMS)):
                    importlib.import_module(module.name)
        importlib.import_module("tf_keras")


def fork(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Starts a function in a forked process, in a process group of its own."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_lead, args=(function, *arguments))
    process.start()
    return process


def _lead(function: Callable[..., Any], *arguments: Any) -> None:
    """Calls a function as the leader of a process group."""
    os.setpgid(0, 0)
    function(*arguments)


def kill(process: BaseProcess) -> None:
    """Kills a process and all that it has started, and waits for its end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def run(
    words: Sequence[str],
    folder: Path,
    *,
    stdout: str = "",
    seconds: float = SECONDS,
    megabytes: float = MEGABYTES,
    signals: Sequence[tuple[float, int]] = (),
) -> Outcome:
    """Runs `python -m WORDS` in a folder.

    Args:
        words: The module, then its arguments.
        folder: Where it runs; what it leaves there is looked for.
        stdout: A device to print on, in place of a file.
        seconds: It hangs if it takes longer.
        megabytes: The most memory that it may hold.
        signals: When to send which, in seconds from the start, in order.
    """
    before = tree(folder)
    with tempfile.TemporaryDirectory(prefix="output-") as outside:
        streams = [Path(outside) / name for name in ("stdout", "stderr")]
        process = fork(become, list(words), folder, Path(outside), stdout)
        try:
            watch = _watch(process, seconds, megabytes, list(signals))
        finally:
            kill(process)
        texts = [_text(path) for path in streams]
    code = process.exitcode or 0
    status = 128 - code if code < 0 else code
    left = tuple(sorted(tree(folder) - before))
    return Outcome(status, *texts, watch, left)


def become(
    words: list[str], folder: Path, outside: Path, stdout: str = ""
) -> None:
    """Turns this process into `python -m WORDS`.

    Args:
        words: The module, then its arguments.
        folder: Where it runs.
        outside: Takes what it prints, and its temporary files.
        stdout: A device to print on, in place of a file.
    """
    os.chdir(folder)
    os.environ |= {"TMPDIR": str(outside), "PYTHONPATH": str(ROOT)}
    tempfile.tempdir = None
    for number, name in enumerate((stdout or "stdout", "stderr"), start=1):
        handle = os.open(outside / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _watch(
    process: BaseProcess,
    seconds: float,
    megabytes: float,
    signals: list[tuple[float, int]],
) -> str:
    """Waits for a process; returns what it must be killed for, if anything."""
    start = time.monotonic()
    while process.is_alive():
        process.join(0.03)
        passed = time.monotonic() - start
        if signals and passed >= signals[0][0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signals.pop(0)[1])
        if passed > seconds:
            return "hang"
        if resident_mb(process.pid) > megabytes:
            return "memory"
    return ""


def resident_mb(pid: int) -> float:
    """Returns the memory that a process holds, in MB (2**20 bytes)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tree(folder: Path) -> set[str]:
    """Returns the paths in a folder, hidden ones included."""
    return {
        str(Path(parent, name).relative_to(folder))
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


def _text(path: Path) -> str:
    """Returns what a stream got; "" if the process never opened it."""
    return path.read_text("utf-8", "replace") if path.exists() else ""
