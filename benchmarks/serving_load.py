"""Many clients of the embedded server at once, for as long as they like.

  python -m benchmarks.serving_load --clients=64 --seconds=60

It starts the embedded server in a process of its own, on the small model of
`benchmarks/conformance`, and asks it for rows of three numbers:

- from all clients at once, each with a connection of its own, and each sending
  its next request when it has the answer: requests per second, median and 99th
  percentile, answers other than 200, and the server's memory after a tenth of
  the time and at the end;
- from a single client, while 256 sockets of another address send the head of
  a request, a byte every 8 s, and connect again when the server ends them.

The exit status is 1 if an answer is missing or wrong, or if memory grows.
"""

import argparse
import contextlib
import socket
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks import serving
from benchmarks.conformance import cases, model
from benchmarks.http_load import Address, Client, Load, ask
from common import runtime

MOST_GROWTH = 64 << 20  # Bytes: the allocator's own swings.
SLOW_SOCKETS, SLOW_SECONDS = 256, 8.0
SLOW_ADDRESS = "127.0.0.2"  # Linux has all of 127.0.0.0/8.


class Slow:
    """Sockets that send the head of a request, a byte now and then."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sockets: list[socket.socket] = []
        self._next = 0.0
        self.num_ended = 0

    def step(self) -> None:
        """Connects again where the server ended a socket; sends bytes."""
        for slow in list(self._sockets):
            with contextlib.suppress(BlockingIOError):
                try:
                    is_open = bool(slow.recv(1 << 12))
                except ConnectionError:
                    is_open = False
                if not is_open:
                    slow.close()
                    self._sockets.remove(slow)
                    self.num_ended += 1
        while len(self._sockets) < SLOW_SOCKETS:
            slow = socket.create_connection(
                self._address, 30, (SLOW_ADDRESS, 0)
            )
            slow.setblocking(False)
            self._sockets.append(slow)
            self._send(slow)
        if time.monotonic() > self._next:
            self._next = time.monotonic() + SLOW_SECONDS
            for slow in self._sockets:
                self._send(slow)

    def close(self) -> None:
        """Ends all sockets."""
        for slow in self._sockets:
            slow.close()

    def _send(self, slow: socket.socket) -> None:
        with contextlib.suppress(OSError):  # It is connected again later.
            slow.send(b"P")


def ask_beside_slow(address: Address, request: bytes, seconds: float) -> Load:
    """Asks ten times a second while slow sockets hold connections."""
    slow, load = Slow(address), Load(seconds)
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end:
            slow.step()
            # A connection for each request: an open one is never shut out.
            asked = ask_once(address, request)
            load.latencies += asked.latencies
            load.errors += asked.errors
            time.sleep(0.1)
    finally:
        slow.close()
    print(f"| slow sockets that the server ended | {slow.num_ended} |")
    return load


def ask_once(address: Address, request: bytes) -> Load:
    """Sends one request over a new connection."""
    load, start = Load(1.0), time.perf_counter()
    try:
        client = Client(address, [request])
        while not client.receive(load):
            pass
        client.socket.close()
        load.latencies = [time.perf_counter() - start]
    except OSError as error:
        load.errors.append(repr(error))
    return load


def main() -> int:
    """Prints the figures; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    flags = parser.parse_args()
    runtime.start(0)
    row = cases.predict("row", {"instances": [[1.0, 2.0, 3.0]]})
    with tempfile.TemporaryDirectory() as folder:
        model.release(Path(folder))
        with serving.embedded(folder) as (urls, pid):
            parts = urlsplit(urls[0])
            address = "127.0.0.1", parts.port or 0
            memory = psutil.Process(pid).memory_info
            request = row.raw("localhost")
            first = ask(address, [request], flags.clients, flags.seconds / 10)
            before = memory().rss
            load = ask(address, [request], flags.clients, flags.seconds * 0.9)
            growth = memory().rss - before
            print("| figure | value |\n|---|---|")
            print(f"| clients | {flags.clients} |")
            print(f"| answers per second | {load.rate:.0f} |")
            print(f"| median, ms | {load.percentile(50):.1f} |")
            print(f"| 99th percentile, ms | {load.percentile(99):.1f} |")
            print(f"| memory at first, MiB | {before / 2**20:.0f} |")
            print(f"| memory gained, MiB | {growth / 2**20:.1f} |")
            beside = ask_beside_slow(address, request, flags.seconds)
            print(f"| answers beside them | {len(beside.latencies)} |")
            print(f"| median, ms | {beside.percentile(50):.1f} |")
            print(f"| 99th percentile, ms | {beside.percentile(99):.1f} |")
    errors = [*first.errors, *load.errors, *beside.errors]
    print(f"| wrong or missing answers | {len(errors)} |", *errors[:3])
    return 1 if errors or growth > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
