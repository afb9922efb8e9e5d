"""The server of the page that runs a release's TFLite file in a browser.

It serves the files that it was given by name, so that no path leads to another
file of this machine, and answers for the SavedModel of the same release.
"""

import contextlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from absl import logging

from common.options import InputError
from common.release import json_tensors
from common.release.json_values import JsonError
from common.release.saved_model import Model
from common.release.status import ServingError

from . import page_files

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
}
OTHER = "application/octet-stream"
INDEX, SAVED_MODEL = "index.html", "/saved_model"
MOST_BYTES = 32 << 20  # Of a question to the SavedModel.
IDLE_SECONDS = 30


class Server(ThreadingHTTPServer):
    """The HTTP server, with a thread for each connection."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        pages: page_files.Contents,
        model: Model,
    ) -> None:
        """Starts to listen.

        Args:
            address: Host and port; port 0 for any that is free.
            pages: From `page_files.contents`.
            model: The release's SavedModel.

        Raises:
            InputError: If the port is taken.
        """
        self.pages, self.model = pages, model
        self.computing = threading.Lock()
        try:
            super().__init__(address, Handler)
        except OSError as error:
            raise InputError(
                f"--port must be free on {address[0]}; received {address[1]}: "
                f"{error.strerror}. Pass another, or 0 for any."
            ) from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: the browser closed its connection too early."""


class Handler(BaseHTTPRequestHandler):
    """A browser's connection."""

    server: Server
    server_version = "keras-app-suite"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Answers with a file of the page."""
        path = urllib.parse.unquote(self.path.split("?")[0])[1:] or INDEX
        try:
            content = page_files.read(self.server.pages[path])
        except (LookupError, OSError):  # The release may be gone by now.
            self._send(404, _error(f"There is no {path[:200]}"))
            return
        kind = TYPES.get(path.rpartition(".")[2], OTHER)
        self._send(200, content, kind)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Answers a question to the SavedModel, as TF Serving does."""
        try:
            code, answer = 200, self._ask(self._body())
        except ServingError as error:
            code, answer = error.http, _error(error.message)
        except JsonError as error:
            code, answer = 400, _error(str(error))
        except OSError:  # The browser is gone.
            self.close_connection = True
            return
        except Exception as error:
            logging.exception("%s", self.path[:200])
            code, answer = 500, _error(f"Internal: {type(error).__name__}")
        self._send(code, answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing: a laptop's console is for its user."""

    def _body(self) -> bytes:
        """Returns the request's body.

        Raises:
            ServingError: If it is not for the SavedModel, or too large.
        """
        # Whatever is not read here must not pass for the next request.
        self.close_connection = True
        if self.path != SAVED_MODEL:
            raise ServingError("NOT_FOUND", f"There is no {self.path[:200]}")
        # Pages of other origins may not send this type unasked.
        if self.headers.get_content_type() != TYPES["json"]:
            raise ServingError("INVALID_ARGUMENT", "The body must be JSON")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise ServingError(
                "INVALID_ARGUMENT", f"The body may have {MOST_BYTES} bytes"
            )
        body = self.rfile.read(int(length))
        self.close_connection = len(body) < int(length)
        return body

    def _ask(self, body: bytes) -> bytes:
        """Returns the answer of the SavedModel to the body of a question."""
        model = self.server.model
        signature, rows, inputs = json_tensors.parse(body, model.dtypes)
        with self.server.computing:
            outputs = model.predict(signature, inputs)
        return json_tensors.answer(outputs, rows)

    def _send(self, code: int, body: bytes, kind: str = TYPES["json"]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-cache")
            self.send_header("X-Content-Type-Options", "nosniff")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)


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
    server = Server((host, port), pages, model)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()
