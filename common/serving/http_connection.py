"""One HTTP connection: requests in, answers out, each in time."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

from .bodies import RefusedError
from .http_requests import Phase, Reader, Request

# The deadlines of a whole head and of a whole body, however slowly they drip.
IDLE_SECONDS, HEAD_SECONDS, BODY_SECONDS = 30, 10, 60
# An answer has a second more for so many bytes, which slow networks carry.
BYTES_A_SECOND = 1 << 19
PIECE = 1 << 16
# The most bytes to read and drop behind a request that was refused.
MOST_DISCARDED = 1 << 28
# The server holds so many of the largest bodies accepted; a connection always
# has its share, so that large bodies do not keep small ones out.
MOST_BODIES, SHARE = 32, 1 / 8
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer to a request.

    Attributes:
        status: The HTTP status.
        body: The body.
        headers: More headers.
        content_type: The type of the body.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


@dataclasses.dataclass
class Service:
    """What all connections of a server share.

    Attributes:
        answer: Returns the answer to a request.
        most_bytes: The largest body accepted.
        headers: Headers of every answer.
        is_stopping: Whether each connection ends with its next answer.
        num_busy: The number of requests that wait for their answers.
        num_bytes: The bytes of bodies that connections hold.
    """

    answer: Callable[[Request], Awaitable[Answer]]
    most_bytes: int
    headers: tuple[tuple[str, str], ...] = ()
    is_stopping: bool = False
    num_busy: int = 0
    num_bytes: int = 0


def error(status: int, message: str) -> Answer:
    """Returns an error in TF Serving's form."""
    return Answer(status, json.dumps({"error": message}).encode())


def head(
    answer: Answer, headers: tuple[tuple[str, str], ...], keep_alive: bool
) -> bytes:
    """Returns what is sent before an answer's body."""
    lines = [
        f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, '')}",
        "Server: keras-app-suite",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers + answer.headers]
    if not keep_alive:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """A client's connection, which one coroutine serves."""

    def __init__(
        self,
        service: Service,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._service, self._reader, self._writer = service, reader, writer
        self._requests = Reader(service.most_bytes)
        self._is_busy, self._num_bytes = False, 0
        # An answer counts as sent when the system has all of it: what is still
        # here is lost when the server ends.
        writer.transport.set_write_buffer_limits(0)

    async def serve(self) -> None:
        """Answers one request after another until the connection ends.

        Raises:
            OSError: If the client left before its answer, or was too slow.
        """
        try:
            async with asyncio.timeout(IDLE_SECONDS) as deadline:
                self._deadline = deadline
                while await self._answer_next():
                    pass
        except TimeoutError:
            is_late = self._requests.phase is Phase.BODY
            if not is_late or self._requests.refused:
                self._writer.transport.abort()
                return
            text = f"The body took longer than {BODY_SECONDS} s"
            self._write(Request(), error(HTTPStatus.REQUEST_TIMEOUT, text))
        finally:
            self._count(is_busy=False)
            self._hold(0)

    async def _answer_next(self) -> bool:
        """Answers the next request; returns whether others may follow."""
        while not self._requests.ready:
            if self._requests.refused:
                await self._refuse(self._requests.refused)
                return False
            if not await self._read():
                return False
        request = self._requests.ready.popleft()
        self._count(is_busy=True)
        self._deadline.reschedule(None)
        answer = await self._service.answer(request)
        self._hold(self._requests.num_bytes)
        request.keep_alive &= not self._service.is_stopping
        self._allow(IDLE_SECONDS + len(answer.body) / BYTES_A_SECOND)
        self._write(request, answer)
        await self._writer.drain()
        self._allow(IDLE_SECONDS)
        self._count(is_busy=False)
        return request.keep_alive

    async def _read(self) -> bool:
        """Reads what has arrived; returns whether anything has."""
        before = self._requests.phase
        data = await self._reader.read(PIECE)
        if not data:
            return False
        self._requests.feed(data)
        self._hold(self._requests.num_bytes)
        if self._requests.wants_to_continue():
            self._writer.write(CONTINUE)
        phase = self._requests.phase
        if phase is Phase.BODY or self._requests.ready:
            self._count(is_busy=True)
        if phase is not before:
            self._allow(BODY_SECONDS if phase is Phase.BODY else HEAD_SECONDS)
        return True

    def _hold(self, num_bytes: int) -> None:
        """Notes what this connection holds, and refuses what is too much."""
        service = self._service
        service.num_bytes += num_bytes - self._num_bytes
        self._num_bytes = num_bytes
        is_full = service.num_bytes > MOST_BODIES * service.most_bytes
        is_large = num_bytes > SHARE * service.most_bytes
        # A request that has arrived as a whole is answered.
        if is_full and is_large and not self._requests.ready:
            self._requests.refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server holds too many large bodies; ask again later",
            )

    async def _refuse(self, refused: RefusedError) -> None:
        """Sends an error, and drops what the client still sends.

        Some clients read an answer only when they have sent their body; to end
        the connection before would take the answer away.
        """
        self._write(Request(), error(refused.code, str(refused)))
        self._writer.write_eof()
        self._count(is_busy=False)
        self._hold(0)
        left = MOST_DISCARDED
        while left > 0 and (data := await self._reader.read(PIECE)):
            left -= len(data)

    def _write(self, request: Request, answer: Answer) -> None:
        parts = [head(answer, self._service.headers, request.keep_alive)]
        if request.method != "HEAD":
            parts.append(answer.body)
        self._writer.writelines(parts)

    def _allow(self, seconds: float) -> None:
        """Sets the deadline, counted from now."""
        self._deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def _count(self, is_busy: bool) -> None:
        """Counts the connection among those that wait for an answer."""
        self._service.num_busy += is_busy - self._is_busy
        self._is_busy = is_busy
