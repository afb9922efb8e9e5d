"""HTTP requests, read piece by piece as their bytes arrive."""

import collections
import dataclasses
import enum
from http import HTTPStatus

import httptools

from . import bodies

MOST_HEADERS = 100
LONGEST_URL = 1 << 16
# The headers that are read; others cost nothing but their bytes.
KEPT = (
    b"content-encoding", b"content-length", b"content-type", b"expect", b"host",
)  # fmt: skip
# The most bytes of a head, and of what stands between the chunks of a body,
# where a chunk of a single byte may have as many again as below.
MOST_BESIDE, MOST_BESIDE_A_BYTE = 1 << 17, 16


class Phase(enum.Enum):
    """What of the next request has arrived."""

    NOTHING = "nothing"
    HEAD = "a part of the head"
    BODY = "the head, and a part of the body"


@dataclasses.dataclass
class Request:
    """A request that has arrived as a whole.

    Attributes:
        method: The method, in capitals.
        path: The path with its query, as it was sent.
        headers: The values of `KEPT` by name in small letters; the values of
            a name that comes twice are joined by commas.
        body: The body without its chunks, but still packed.
        keep_alive: Whether the client may send another request.
    """

    method: str = ""
    path: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = False


class Reader:
    """Takes the bytes of a connection, and makes requests of them.

    llhttp, the parser of Node.js, reads them. It refuses what two servers in a
    row could read differently, such as a body with two lengths.

    Attributes:
        ready: The requests that have arrived as a whole, the oldest first.
        phase: What of the request behind those has arrived.
        refused: Why the request behind those cannot be taken; None if it can.
            No more bytes are then read.
    """

    def __init__(self, most_bytes: int) -> None:
        """Starts to read.

        Args:
            most_bytes: The largest body accepted, without its chunks.
        """
        self.ready: collections.deque[Request] = collections.deque()
        self.phase = Phase.NOTHING
        self.refused: bodies.RefusedError | None = None
        self._most_bytes = most_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._waits = False
        self._start()

    @property
    def num_bytes(self) -> int:
        """The bytes of the bodies that are held."""
        return len(self._body) + sum(len(each.body) for each in self.ready)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the connection."""
        if self.phase is Phase.NOTHING:
            self.phase = Phase.HEAD  # Blank lines before a request, too.
        num_ready = len(self.ready)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request is complete. The client wants another protocol behind
            # it and gets an answer in this one.
            if not self.refused:
                self.ready[-1].keep_alive = False
        except httptools.HttpParserError as error:
            self.refuse(400, f"This is no request in HTTP/1.1: {error}")
        if len(self.ready) > num_ready:
            return
        self._beside += len(data)
        if self._beside - self._size > (
            MOST_BESIDE + MOST_BESIDE_A_BYTE * self._size
        ):
            self.refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The headers are too large",
            )

    def refuse(self, code: int, message: str) -> None:
        """Refuses the request of which a part has arrived."""
        if not self.refused:
            self.refused = bodies.RefusedError(code, message)
            self._body = bytearray()

    def wants_to_continue(self) -> bool:
        """Tells, once, whether the client waits before it sends the body."""
        waits = self._waits and self.phase is Phase.BODY and not self.refused
        self._waits = False
        return waits

    def on_message_begin(self) -> None:
        """Starts a request."""
        self._start()
        self.phase = Phase.HEAD

    def on_url(self, url: bytes) -> None:
        """Takes a piece of the path."""
        self._url += url
        if len(self._url) > LONGEST_URL:
            self.refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "The path is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header, or what may follow the last chunk of a body."""
        self._num_headers += 1
        if self._num_headers > MOST_HEADERS:
            self.refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"There are more than {MOST_HEADERS} headers",
            )
        elif self.phase is Phase.HEAD and (key := name.lower()) in KEPT:
            headers, text = self._request.headers, value.decode("latin-1")
            before = headers.get(key.decode(), "")
            headers[key.decode()] = f"{before}, {text}" if before else text

    def on_headers_complete(self) -> None:
        """Checks what the head says of the body."""
        self.phase = Phase.BODY
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.path = self._url.decode("latin-1")
        is_new = self._parser.get_http_version() == "1.1"
        request.keep_alive = is_new and self._parser.should_keep_alive()
        expected = request.headers.get("expect", "").strip().lower()
        if expected not in ("", "100-continue"):
            self.refuse(
                HTTPStatus.EXPECTATION_FAILED,
                f"Expect must be 100-continue; received {expected[:40]!r}",
            )
        self._waits = bool(expected) and is_new
        size = int(request.headers.get("content-length", "0").strip() or 0)
        if size > self._most_bytes:
            self._refuse_size()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of the body."""
        self._size += len(body)
        if self._size > self._most_bytes:
            self._refuse_size()
        if not self.refused:
            self._body += body

    def on_message_complete(self) -> None:
        """Ends a request."""
        if not self.refused:
            self._request.body = bytes(self._body)
            self.ready.append(self._request)
            self._start()
            self.phase = Phase.NOTHING

    def _start(self) -> None:
        self._request, self._url = Request(), b""
        # As a list, chunks of two bytes would take 30 times their size.
        self._body = bytearray()
        self._size = self._beside = self._num_headers = 0
        self._waits = False

    def _refuse_size(self) -> None:
        refused = bodies.too_large(self._most_bytes)
        self.refuse(refused.code, str(refused))
