"""Bodies of requests: packed by gzip or plain."""

import zlib
from http import HTTPStatus

GZIP = ("gzip", "x-gzip")


class RefusedError(Exception):
    """A request whose head or body cannot be taken.

    Attributes:
        code: The HTTP status.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def too_large(most_bytes: int) -> RefusedError:
    """Returns the refusal of a body of more than `most_bytes`."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is too large; at most {most_bytes} bytes are accepted, "
        "unpacked too",
    )


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Returns a body as it was before it was packed.

    Args:
        body: The body as it was sent.
        encoding: The request's `Content-Encoding`; "" if there is none.
        most_bytes: The largest content accepted.

    Raises:
        RefusedError: If the encoding is not gzip, if the body is not a whole
            gzip stream, or if it is too large unpacked.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in GZIP:
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding must be gzip; received {encoding[:40]!r}",
        )
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        raise RefusedError(400, "The body is not packed by gzip") from None
    if len(content) > most_bytes:
        raise too_large(most_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError(400, "The body is not one whole gzip stream")
    return content
