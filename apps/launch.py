r"""Starts the workers of a multi-worker training on this machine.

  python -m apps.launch --workers=2 -- python -m apps.image_classify \
    --flagfile=apps/flagfiles/image_classify_demo.flags --strategy=multi_worker

For trying it out: what a cluster's scheduler does with `TF_CONFIG`, done here.
Every line that a worker prints comes with its number. SIGINT and SIGTERM are
passed on. If one worker fails, all are ended and its status is this program's.
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
# For what workers said last; what they started may hold their output open.
SHOW_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of this program."""

    workers: int = option(2, "how many to start.", minimum=1, maximum=64)
    command: tuple[str, ...] = option(
        (), "what each of them runs: the words after --."
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
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def environment(ports: list[int], index: int) -> dict[str, str]:
    """Returns the environment of worker `index`, with its `TF_CONFIG`."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    task = {"type": "worker", "index": index}
    text = json.dumps({"cluster": cluster, "task": task})
    return {**os.environ, "TF_CONFIG": text, "PYTHONUNBUFFERED": "1"}


class Workers:
    """The processes, and what came to them.

    Attributes:
        processes: Those that were started.
        shown: The threads that print what they say.
        signum: The last signal that was passed on; 0 before.
    """

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen] = []
        self.shown: list[threading.Thread] = []
        self.signum = 0

    def pass_on(self, signum: int, frame: FrameType | None) -> None:
        """Handles a signal: all that run get it, and no more are started."""
        self.signum = signum
        forward(self.processes, signum)

    def start(self, command: list[str], count: int) -> None:
        """Starts the workers, and threads that print what they say."""
        ports = free_ports(count)
        for index in range(count):
            one = _popen(command, environment(ports, index))
            self.processes.append(one)
            thread = threading.Thread(
                target=_show, args=(one, index), daemon=True
            )
            thread.start()
            self.shown.append(thread)
            if self.signum:  # Perhaps before this one was in the list.
                forward([one], self.signum)
                return


def _popen(command: list[str], env: dict[str, str]) -> subprocess.Popen:
    """Starts one worker."""
    try:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A signal from the keyboard comes through `pass_on`, once.
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(
            "the command after -- must be a program; "
            f"{command[0]!r} cannot be started: {error.strerror}."
        ) from None


def wait(workers: list[subprocess.Popen]) -> int:
    """Waits for all workers, or ends them when one fails; returns a status."""
    while True:
        codes = [one.poll() for one in workers]
        failed = [code for code in codes if code]
        if failed:
            end(workers)
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if None not in codes:
            return 0
        time.sleep(POLL_SECONDS)


def end(workers: list[subprocess.Popen]) -> None:
    """Ends what still runs: politely, then not."""
    forward(workers, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(one.poll() is None for one in workers):
        if time.monotonic() > deadline:
            # Blocked in an operation that waits for a worker that is gone.
            forward(workers, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def forward(workers: list[subprocess.Popen], signum: int) -> None:
    """Sends a signal to every worker that still runs."""
    for one in workers:
        if one.poll() is None:
            one.send_signal(signum)


def _show(worker: subprocess.Popen, index: int) -> None:
    """Prints a worker's lines with its number, whole."""
    for line in worker.stdout or ():
        sys.stdout.write(f"[{index}] {line}")
        sys.stdout.flush()


def main(config: Config) -> None:
    """Runs the workers; ends with their status if it is not 0."""
    workers = Workers()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, workers.pass_on)
    try:
        workers.start(list(config.command), config.workers)
        status = wait(workers.processes)
    finally:
        end(workers.processes)  # Whatever ended this: none is left alone.
    deadline = time.monotonic() + SHOW_SECONDS
    for thread in workers.shown:  # An error's line is the last one.
        thread.join(max(deadline - time.monotonic(), 0.0))
    if workers.signum and len(workers.processes) < config.workers:
        status = status or 128 + workers.signum
    if status:
        sys.exit(status)


if __name__ == "__main__":
    flags.launch(main, Config, rest="command")
