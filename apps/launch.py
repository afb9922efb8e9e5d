r"""Starts the workers of a multi-worker training on this machine.

  python -m apps.launch --workers=2 -- python -m apps.image_classify \
    --flagfile=apps/flagfiles/image_classify_demo.flags --strategy=multi_worker

It is meant for trials: it sets `TF_CONFIG` as a cluster's scheduler does. Every
line that a worker prints is shown with the worker's number. SIGINT and SIGTERM
are passed on to the workers. If a worker fails, all workers are ended and this
program ends with the status of the failed worker.
"""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from common import flags
from common.options import Checked, InputError, option

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.1
# The time to wait for the last lines of workers; the processes that they
# started may hold their output open.
SHOW_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of this program."""

    workers: int = option(
        2, "the number of workers to start.", minimum=1, maximum=64
    )
    command: tuple[str, ...] = option(
        (), "the command that each worker runs: the words after --."
    )

    def __post_init__(self) -> None:
        """Checks every option against its own rule."""
        super().__post_init__()
        if not self.command:
            raise InputError(
                "a command must follow --, such as -- python -m "
                "apps.image_classify --strategy=multi_worker; received none."
            )


def free_ports(count: int) -> list[int]:
    """Returns TCP ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]


def environment(ports: list[int], index: int) -> dict[str, str]:
    """Returns the environment of worker `index`, with its `TF_CONFIG`."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    task = {"type": "worker", "index": index}
    text = json.dumps({"cluster": cluster, "task": task})
    return {**os.environ, "TF_CONFIG": text, "PYTHONUNBUFFERED": "1"}


class Workers:
    """The workers' processes, and the threads that print their output.

    Attributes:
        processes: The processes that were started.
        printers: The threads that print the processes' lines.
        signum: The last signal that was passed on; 0 before the first.
    """

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen] = []
        self.printers: list[threading.Thread] = []
        self.signum = 0

    def pass_on(self, signum: int, frame: FrameType | None) -> None:
        """Passes a signal on to all workers; no more workers are started."""
        self.signum = signum
        forward(self.processes, signum)

    def start(self, command: list[str], count: int) -> None:
        """Starts the workers, and threads that print their lines.

        Args:
            command: The program and its arguments.
            count: The number of workers.

        Raises:
            InputError: If the program cannot be started.
        """
        ports = free_ports(count)
        for index in range(count):
            process = _popen(command, environment(ports, index))
            self.processes.append(process)
            thread = threading.Thread(
                target=_show, args=(process, index), daemon=True
            )
            thread.start()
            self.printers.append(thread)
            # The signal may have come before the process was in the list.
            if self.signum:
                forward([process], self.signum)
                return


def _popen(command: list[str], env: dict[str, str]) -> subprocess.Popen:
    """Starts a worker."""
    try:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A signal from the keyboard reaches the worker only by `pass_on`.
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(
            "the command after -- must be a program; "
            f"{command[0]!r} cannot be started: {error.strerror}."
        ) from None


def wait(workers: list[subprocess.Popen]) -> int:
    """Waits for all workers to end, and ends them when a worker fails.

    Returns:
        The exit status of the failed worker, 128 + the signal's number if a
        signal ended it; 0 if no worker failed.
    """
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed:
            end(workers)
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if None not in codes:
            return 0
        time.sleep(POLL_SECONDS)


def end(workers: list[subprocess.Popen]) -> None:
    """Ends the workers that still run, by SIGTERM and then by SIGKILL."""
    forward(workers, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(worker.poll() is None for worker in workers):
        if time.monotonic() > deadline:
            # A worker can be blocked by waiting for a worker that is gone.
            forward(workers, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def forward(workers: list[subprocess.Popen], signum: int) -> None:
    """Sends a signal to every worker that still runs."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signum)


def _show(worker: subprocess.Popen, index: int) -> None:
    """Prints a worker's lines, each in one piece and with its number."""
    for line in worker.stdout or ():
        sys.stdout.write(f"[{index}] {line}")
        sys.stdout.flush()


def main(config: Config) -> None:
    """Runs the workers; exits with their status if it is not 0."""
    workers = Workers()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, workers.pass_on)
    try:
        workers.start(list(config.command), config.workers)
        status = wait(workers.processes)
    finally:
        end(workers.processes)  # No error may leave a worker running.
    deadline = time.monotonic() + SHOW_SECONDS
    for thread in workers.printers:  # The last line may tell the error.
        thread.join(max(deadline - time.monotonic(), 0.0))
    if workers.signum and len(workers.processes) < config.workers:
        status = status or 128 + workers.signum
    if status:
        sys.exit(status)


if __name__ == "__main__":
    flags.launch(main, Config, rest="command")
