"""The server of the page that runs a release's TFLite file in a browser.

It serves the files that it was given by name, so that no path leads to another
file of this machine, and answers for the SavedModel of the same release.
"""

import contextlib
import ipaddress
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus

from common.release import json_tensors
from common.release.saved_model import Model
from common.release.status import ServingError

from . import http_errors, http_server, page_files
from .bodies import RefusedError
from .http_connection import Answer
from .http_requests import Request

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
}
OTHER = "application/octet-stream"
INDEX, SAVED_MODEL = "index.html", "/saved_model"
HEADERS = (("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff"))
MOST_BYTES = 32 << 20  # Of a question to the SavedModel.
STOP_SECONDS = 5.0


class Page:
    """The answers to browsers; any thread may call it."""

    def __init__(
        self, pages: page_files.Contents, model: Model, host: str
    ) -> None:
        """Makes the page of a release.

        Args:
            pages: From `page_files.contents`.
            model: The release's SavedModel.
            host: The address that the server listens on.
        """
        self._pages, self._model = pages, model
        self._is_local = host == "localhost" or _is_loopback(host)

    def answer(self, request: Request) -> Answer:
        """Returns the answer to a request, or the error that it causes."""
        return http_errors.answered(request, self._answer)

    def _answer(self, request: Request) -> Answer:
        """Returns the answer to a request, or raises the error."""
        if self._is_local:
            _check_host(request.headers.get("host", ""))
        if request.method == "POST":
            return self._ask(request)
        if request.method not in ("GET", "HEAD"):
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"The page has no {request.method}",
            )
        path = urllib.parse.unquote(request.path.split("?")[0])[1:] or INDEX
        try:
            content = page_files.read(self._pages[path])
        except (LookupError, OSError):  # The release may be gone by now.
            raise _missing(path) from None
        kind = TYPES.get(path.rpartition(".")[2], OTHER)
        return Answer(200, content, content_type=kind)

    def _ask(self, request: Request) -> Answer:
        """Returns the SavedModel's answer, as TF Serving gives it."""
        if request.path != SAVED_MODEL:
            raise _missing(request.path)
        # Pages of other origins may not send this type unasked.
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind.strip().lower() != TYPES["json"]:
            raise ServingError("INVALID_ARGUMENT", "The body must be JSON")
        signature, rows, inputs = json_tensors.parse(
            request.body, self._model.dtypes
        )
        outputs = self._model.predict(signature, inputs)
        return Answer(200, json_tensors.answer(outputs, rows))


@contextlib.contextmanager
def serving(
    pages: page_files.Contents, model: Model, host: str, port: int
) -> Iterator[int]:
    """Serves while the block runs; yields the port.

    Args:
        pages: From `page_files.contents`.
        model: The release's SavedModel.
        host: The address to listen on.
        port: The port; 0 for any that is free.

    Raises:
        InputError: If the port is taken.
    """
    page = Page(pages, model, host)
    try:
        # With one worker the SavedModel computes one answer at a time.
        server = http_server.Server(
            (host, port), page.answer, 1, MOST_BYTES, HEADERS
        )
    except OSError as error:
        raise http_errors.taken("port", host, port, error.strerror) from None
    server.start()
    try:
        yield server.server_address[1]
    finally:
        server.stop(STOP_SECONDS)


def _missing(path: str) -> ServingError:
    return ServingError("NOT_FOUND", f"There is no {path[:200]}")


def _check_host(host: str) -> None:
    """Raises if a browser came by a name that may belong to another site.

    The owner of a name can have it lead to this machine: the browser would
    then let that site's scripts read the release and ask the model.
    """
    with contextlib.suppress(ValueError):
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or ipaddress.ip_address(name):
            return
    raise RefusedError(
        HTTPStatus.MISDIRECTED_REQUEST,
        f"This is the page of localhost, not of {host[:200]!r}",
    )


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
