"""Bodies of HTTP requests: by length or in chunks, plain or gzip, in time."""

import io
import re
import socket
import time
import zlib
from email.message import Message
from http import HTTPStatus

NUMBER = re.compile("[0-9]{1,15}")  # "²".isdigit() is true.
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
LONGEST_LINE = 4096  # Bytes of a chunk's size with its extensions.
MOST_TRAILERS = 64
GZIP = ("gzip", "x-gzip")


class RefusedError(Exception):
    """A request whose body cannot be taken.

    Attributes:
        code: The HTTP status.
        unread: The bytes of the body that the client still sends.
    """

    def __init__(self, code: int, message: str, unread: int = 0) -> None:
        super().__init__(message)
        self.code, self.unread = code, unread


class TimedSocket(io.RawIOBase):
    """Reads a socket until a deadline, however slowly the bytes drip."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection, self._end = connection, 0.0

    def allow(self, seconds: float) -> None:
        """Sets the deadline, counted from now."""
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        """Tells that there is something to read, as `io` asks."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Reads what has arrived.

        Raises:
            TimeoutError: If the deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def read(stream: io.BufferedIOBase, headers: Message, most_bytes: int) -> bytes:
    """Reads a request's body, unpacked.

    Args:
        stream: What follows the headers.
        headers: The request's headers.
        most_bytes: The largest body accepted, packed and unpacked.

    Raises:
        RefusedError: If the body is too large, or not as the headers say.
        ConnectionResetError: If it ends early.
    """
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    if transfer and "Content-Length" in headers:
        # Two lengths: what follows one of them could pass for a new request.
        raise RefusedError(400, "Content-Length and Transfer-Encoding clash")
    if not transfer:
        body = _exactly(stream, length(headers, most_bytes))
    elif transfer == "chunked":
        body = _chunks(stream, most_bytes)
    else:
        raise RefusedError(501, f"Transfer-Encoding {transfer[:40]!r}")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in GZIP:
        return _unpacked(body, most_bytes)
    if encoding != "identity":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding must be gzip; received {encoding[:40]!r}",
        )
    return body


def length(headers: Message, most_bytes: int) -> int:
    """Returns the `Content-Length`, 0 if there is none.

    Raises:
        RefusedError: If it is no number, or too large.
    """
    text = headers.get("Content-Length", "0").strip()
    if not NUMBER.fullmatch(text):
        raise RefusedError(400, f"Content-Length is no number: {text[:40]!r}")
    if int(text) > most_bytes:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body has {text} bytes; at most {most_bytes} are accepted",
            int(text),
        )
    return int(text)


def _exactly(stream: io.BufferedIOBase, size: int) -> bytes:
    """Returns the next `size` bytes."""
    content = stream.read(size)
    if len(content) < size:
        raise ConnectionResetError
    return content


def _chunks(stream: io.BufferedIOBase, most_bytes: int) -> bytes:
    """Returns the content of a chunked body (RFC 9112, section 7.1)."""
    parts, total = [], 0
    while True:
        match = CHUNK_SIZE.fullmatch(stream.readline(LONGEST_LINE))
        if not match:
            raise RefusedError(400, "A chunk of the body has no size")
        size = int(match[1], 16)
        if not size:
            break
        total += size
        if total > most_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body has more than {most_bytes} bytes",
            )
        parts.append(_exactly(stream, size))
        if stream.readline(3).strip():
            raise RefusedError(400, "A chunk of the body has another size")
    for _ in range(MOST_TRAILERS):
        if not stream.readline(LONGEST_LINE).strip():
            return b"".join(parts)
    raise RefusedError(400, "The body has too many trailers")


def _unpacked(body: bytes, most_bytes: int) -> bytes:
    """Returns what gzip packed.

    Raises:
        RefusedError: If it is not a whole gzip stream, or too large unpacked.
    """
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        raise RefusedError(400, "The body is not packed by gzip") from None
    if len(content) > most_bytes:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body has more than {most_bytes} bytes, unpacked",
        )
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError(400, "The body is not one whole gzip stream")
    return content
