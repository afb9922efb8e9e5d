"""Connections that ask a server over HTTP, all in one thread.

Threads of Python would share an interpreter, and measure it instead of the
server.
"""

import dataclasses
import itertools
import selectors
import socket
import time
from collections.abc import Sequence

import numpy as np

Address = tuple[str, int]


@dataclasses.dataclass
class Load:
    """What clients saw.

    Attributes:
        seconds: The time in which they asked.
        latencies: The seconds that each answer took.
        errors: The first bytes of wrong answers, and errors of connections.
    """

    seconds: float
    latencies: list[float] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Returns a percentile of the latencies in ms."""
        return float(np.percentile(self.latencies, percent)) * 1000


class Client:
    """A connection that sends requests, in turn and from the first again."""

    def __init__(self, address: Address, requests: Sequence[bytes]) -> None:
        self._address, self._requests = address, itertools.cycle(requests)
        self.connect()

    def connect(self) -> None:
        """Connects, and sends the first request."""
        self.socket = socket.create_connection(self._address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.send()

    def send(self) -> None:
        """Sends the next request."""
        self._start = time.perf_counter()
        self.socket.sendall(next(self._requests))

    def receive(self, load: Load) -> bool:
        """Reads what has arrived; tells whether it completes an answer."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("closed without an answer")
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return False
        size = head.lower().partition(b"content-length:")[2].split()[0]
        if len(body) < int(size):
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            load.errors.append(self._received[:200].decode("latin-1"))
        load.latencies.append(time.perf_counter() - self._start)
        self._received = b""
        return True


def ask(
    address: Address, requests: Sequence[bytes], clients: int, seconds: float
) -> Load:
    """Asks from some clients at once, all in this thread.

    Args:
        address: The server's host and port.
        requests: The bytes of requests, which each connection sends in turn.
        clients: The number of connections.
        seconds: The time in which they ask.
    """
    load = Load(seconds)
    end = time.perf_counter() + seconds
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = Client(address, requests)
            selector.register(client.socket, selectors.EVENT_READ, client)
        while time.perf_counter() < end:
            for key, _ in selector.select(1):
                client = key.data
                try:
                    if client.receive(load):
                        client.send()
                except OSError as error:
                    load.errors.append(repr(error))
                    selector.unregister(client.socket)
                    client.socket.close()
                    client.connect()
                    selector.register(
                        client.socket, selectors.EVENT_READ, client
                    )
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return load
