"""HTTP connections to slow readers, and when the server ends."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from common.serving import http_connection, http_server
from common.serving.http_connection import Answer
from common.serving.http_requests import Request

MOST = 1000
ASK = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def serving(
    answer: Callable[[Request], Answer],
) -> Iterator[tuple[http_server.Server, socket.socket]]:
    """Serves while the block runs; gives the server and a connection."""
    server = http_server.Server(("127.0.0.1", 0), answer, 1, MOST)
    server.start()
    try:
        with socket.create_connection(server.server_address, 30) as client:
            yield server, client
    finally:
        if not server._service.is_stopping:
            server.stop(0)


def everything(client: socket.socket) -> bytearray:
    """Returns all that a server sends until it ends the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := client.recv(1 << 16):
            received += data
    return received


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Waits for what another thread does; returns whether it did it."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.001)
    return holds()


def test_a_request_behind_another_is_answered_when_the_server_ends() -> None:
    asked, may_end = [], threading.Event()

    def answer(request: Request) -> Answer:
        asked.append(request)
        if len(asked) == 2:
            may_end.wait(30)
        return Answer(200, b"%d" % len(asked))

    with serving(answer) as (server, client):
        client.sendall(2 * ASK)
        assert wait_until(lambda: len(asked) == 2)
        stopping = threading.Thread(target=server.stop, args=(30,))
        stopping.start()
        assert wait_until(lambda: server._service.is_stopping)
        time.sleep(0.2)  # Whatever does not wait has ended by now.
        may_end.set()
        received = everything(client)
        stopping.join()
    assert received.count(b"HTTP/1.1 200 OK") == 2 and received.endswith(b"2")


def test_an_unread_answer_is_not_lost_when_the_server_ends() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, bytes(20_000))

    def ask(most: int) -> int:
        """Asks, and reads nothing; returns how many answers were sent off."""
        asked.clear()
        for number in range(most):
            client.sendall(ASK)
            assert wait_until(lambda want=number + 1: len(asked) == want)
            if not wait_until(lambda: not server._service.num_busy, 0.5):
                return number
        return most

    with serving(answer) as (server, client):
        most = ask(10_000)
    with serving(answer) as (server, client):
        # About what sockets hold: no answer seems to wait.
        number = ask(most)
        stopping = threading.Thread(target=server.stop, args=(30,))
        stopping.start()
        assert wait_until(lambda: server._service.is_stopping)
        time.sleep(0.2)
        assert len(everything(client)) > number * 20_000
        stopping.join()


def test_a_large_answer_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "IDLE_SECONDS", 0.5)
    body = bytes(16 << 20)  # More than sockets hold.
    with serving(lambda request: Answer(200, body)) as (_, client):
        client.sendall(ASK)
        time.sleep(1.0)
        assert len(everything(client)) > len(body)


@pytest.mark.parametrize("size", [b"Content-Length: 8000000", b"Expect: no"])
@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_who_reads_after_sending_sees_why_it_was_refused(size, head) -> None:
    with serving(lambda request: Answer(200, b"")) as (_, client):
        client.sendall(ASK.replace(b"Content-Length: 0", head + size))
        client.sendall(b"7a1200\r\n" + bytes(8_000_000))
        assert everything(client).startswith(b"HTTP/1.1 4")


def test_many_large_bodies_leave_room_for_small_ones() -> None:
    with (
        serving(lambda request: Answer(200, request.body)) as (server, _),
        contextlib.ExitStack() as stack,
    ):

        def start(size: int, missing: int = 1) -> socket.socket:
            """Sends a request but for its last bytes."""
            client = socket.create_connection(server.server_address, 30)
            stack.enter_context(client)
            head = ASK.replace(b"Length: 0", b"Length: %d" % size)
            client.sendall(head + bytes(size - missing))
            return client

        large = [start(MOST) for _ in range(http_connection.MOST_BODIES)]
        assert wait_until(lambda: server._service.num_busy == len(large))
        refused = everything(start(MOST))
        assert refused.startswith(b"HTTP/1.1 503 ") and b"later" in refused
        held = len(large) * (MOST - 1)
        assert wait_until(lambda: server._service.num_bytes == held, 5)
        whole = start(MOST, missing=0)
        assert whole.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        whole.sendall(ASK)
        assert whole.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        for client in (start(MOST // 10), large[0]):
            client.sendall(b"a")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        again = start(MOST)  # The first body has gone.
        again.sendall(b"a")
        assert again.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert server._service.num_bytes == 0
