"""The embedded server's HTTP half: one thread that reads and writes."""

import asyncio
import collections
import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent import futures

import uvloop

from . import http_connection
from .http_connection import Answer, Connection, Service
from .http_requests import Request

# No client's address has all connections.
MOST_CONNECTIONS, MOST_OF_AN_ADDRESS = 256, 192
BACKLOG = 128
# The longest time to wait until a client has taken its last answer.
CLOSE_SECONDS = 10


class Server:
    """Listens, reads requests, and sends their answers.

    One thread reads and writes; `num_workers` others compute, in the order in
    which requests arrive. With a thread for each connection, as before, threads
    took the interpreter from one another and requests overtook one another:
    the slowest took many times as long as the median.

    Attributes:
        server_address: Host and port.
    """

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Request], Answer],
        num_workers: int,
        most_bytes: int,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Starts to listen; `start` starts to answer.

        Args:
            address: Host and port; port 0 for any that is free.
            answer: Returns the answer to a request; any thread calls it.
            num_workers: The number of threads for requests with a body.
            most_bytes: The largest body accepted.
            headers: Headers of every answer.

        Raises:
            OSError: If the port is taken.
        """
        self._answer = answer
        self._service = Service(self._compute, most_bytes, headers)
        self._socket = socket.create_server(address, backlog=BACKLOG)
        self.server_address: tuple[str, int] = self._socket.getsockname()
        self._pool = futures.ThreadPoolExecutor(num_workers, "rest")
        self._connections: collections.Counter[str] = collections.Counter()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts to answer."""
        self._loop = uvloop.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),)
        )
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stops listening, answers what has arrived, and ends.

        Args:
            seconds: The longest time to wait for answers.
        """
        if self._thread:
            self._wait_seconds = seconds
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop.close()
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        """Serves until `stop` is called."""
        listener = await asyncio.start_server(
            self._connected, sock=self._socket, limit=http_connection.PIECE
        )
        await self._stopping.wait()
        self._service.is_stopping = True
        listener.close()
        end = self._loop.time() + self._wait_seconds
        while self._service.num_busy and self._loop.time() < end:
            await asyncio.sleep(0.01)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serves a connection, or refuses it."""
        address = (writer.get_extra_info("peername") or ("",))[0]
        is_full = (
            self._connections.total() >= MOST_CONNECTIONS
            or self._connections[address] >= MOST_OF_AN_ADDRESS
        )
        if is_full:
            refused = http_connection.error(503, "Too many connections")
            headers = self._service.headers
            writer.write(http_connection.head(refused, headers, False))
            writer.write(refused.body)
            writer.close()
            return
        self._connections[address] += 1
        try:
            # The client may leave at any time.
            with contextlib.suppress(OSError):
                await Connection(self._service, reader, writer).serve()
                writer.close()
                async with asyncio.timeout(CLOSE_SECONDS):
                    await writer.wait_closed()
        except asyncio.CancelledError:
            pass  # The server ends; asyncio would print a traceback.
        finally:
            writer.transport.abort()
            self._connections[address] -= 1
            self._connections += collections.Counter()  # Drops zeros.

    async def _compute(self, request: Request) -> Answer:
        """Returns the answer to a request, computed by another thread."""
        if request.method != "POST":
            # A look at a model's state must not wait for predictions.
            return await asyncio.to_thread(self._answer, request)
        # As `run_in_executor`, which makes more objects for each request than
        # the rest of the way from the socket to the model.
        waiting = self._loop.create_future()
        self._pool.submit(self._work, request, waiting)
        return await waiting

    def _work(self, request: Request, waiting: "asyncio.Future") -> None:
        """Answers in a worker's thread, and hands the answer over."""
        answer = self._answer(request)
        with contextlib.suppress(RuntimeError):  # The server has ended.
            self._loop.call_soon_threadsafe(_finish, waiting, answer)


def _finish(waiting: "asyncio.Future", answer: Answer) -> None:
    if not waiting.done():  # A connection that was cancelled does not wait.
        waiting.set_result(answer)
