"""The embedded server's REST half: TF Serving's paths, bodies and statuses."""

import collections
import contextlib
import io
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from absl import logging
from google.protobuf import json_format
from google.protobuf.message import Message

from common.release import json_tensors
from common.release.json_values import JsonError
from common.release.saved_model import DEFAULT, Model
from common.release.status import ServingError

from . import answers, bodies
from .models import Models

WHERE = r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18})|/labels/([^/:]+))?"
ASK = re.compile(WHERE + r":(predict|classify|regress)", re.IGNORECASE)
LOOK = re.compile(WHERE + r"(/metadata)?", re.IGNORECASE)
# The deadlines of a whole head and of a whole body, however slowly they drip.
IDLE_SECONDS, HEAD_SECONDS, BODY_SECONDS = 30, 10, 60
# Most connections are idle; `workers` limits the requests computed at a time.
# No client's address has all of them.
MOST_CONNECTIONS, MOST_OF_AN_ADDRESS = 256, 192
# What a browser may send if --cors allows it to ask.
PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Content-Type, Content-Encoding"),
    ("Access-Control-Max-Age", "86400"),
)
CHUNK = 1 << 16
# The most bytes to read and drop of a body that is too large.
MOST_DISCARDED = 1 << 28


class Server(ThreadingHTTPServer):
    """The HTTP server, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        models: Models,
        workers: threading.Semaphore,
        most_bytes: int,
        cors: bool = False,
    ) -> None:
        """Starts to listen.

        Args:
            address: Host and port; port 0 for any that is free.
            models: The models that answer.
            workers: Limits the requests that are computed at a time.
            most_bytes: The largest body accepted.
            cors: Whether pages of any origin may ask from a browser.

        Raises:
            OSError: If the port is taken.
        """
        self.models, self.workers, self.most_bytes = models, workers, most_bytes
        self.cors = cors
        self._connections: collections.Counter[str] = collections.Counter()
        self._counting = threading.Lock()
        self.stopping = False
        self._busy = 0
        self._quiet = threading.Condition()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a connection's thread, or refuses the connection."""
        address = client_address[0]
        with self._counting:
            is_full = (
                self._connections.total() >= MOST_CONNECTIONS
                or self._connections[address] >= MOST_OF_AN_ADDRESS
            )
            if not is_full:
                self._connections[address] += 1
        if not is_full:
            super().process_request(request, client_address)
            return
        body = b'{"error": "Too many connections"}'
        with contextlib.suppress(OSError):
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: "
                + str(len(body)).encode() + b"\r\n\r\n" + body
            )  # fmt: skip
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self._connections[client_address[0]] -= 1
                self._connections += collections.Counter()  # Drops zeros.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: the client closed its connection too early."""

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Counts a request as unanswered while the block runs."""
        with self._quiet:
            self._busy += 1
        try:
            yield
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()

    def stop(self, seconds: float) -> None:
        """Stops listening, and waits until no request is being answered."""
        self.stopping = True
        self.shutdown()
        with self._quiet:
            self._quiet.wait_for(lambda: not self._busy, seconds)
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """A client's connection."""

    server: Server
    server_version = "keras-app-suite"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Head and body in one packet.
    _more_headers: Sequence[tuple[str, str]] = ()

    def setup(self) -> None:
        """Makes the streams of the connection."""
        super().setup()
        self._socket = bodies.TimedSocket(self.connection)
        self._reader = io.BufferedReader(self._socket)
        self.rfile = self._reader

    def handle_one_request(self) -> None:
        """Waits for a request, and answers it."""
        self._socket.allow(IDLE_SECONDS)
        try:
            self._reader.peek(1)
        except OSError:  # Nothing came, or the client is gone.
            self.close_connection = True
            return
        self._socket.allow(HEAD_SECONDS)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answers status and metadata."""
        self._answer(self._look)

    def do_POST(self) -> None:
        """Answers predictions."""
        self._answer(self._ask)

    def do_OPTIONS(self) -> None:
        """Answers a browser that asks whether a page may ask."""
        self._answer(self._preflight if self.server.cors else self._refuse)

    def do_HEAD(self) -> None:
        """Refuses every request, as for the methods below."""
        self._answer(self._refuse)

    do_PUT = do_PATCH = do_DELETE = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing: a laptop's console is for its user."""

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Sends an error of http.server itself in TF Serving's form."""
        self.close_connection = True
        text = message or self.responses.get(code, ("error",))[0]
        self._send(code, json.dumps({"error": text}).encode())

    def _answer(self, make: Callable[[bytes], bytes]) -> None:
        """Sends the answer that `make` returns for the body, or its error."""
        self.close_connection |= self.server.stopping
        with self.server.answering():
            try:
                code, answer = 200, make(self._body())
            except ServingError as error:
                code, answer = error.http, _error(error.message)
            except JsonError as error:
                code, answer = 400, _error(str(error))
            except bodies.RefusedError as error:
                self.close_connection = True
                self._send(error.code, _error(str(error)))
                self._discard(error.unread)
                return
            except (OSError, TimeoutError):  # The client is gone.
                self.close_connection = True
                return
            except Exception as error:
                # A fault of the server: the operator gets the traceback, the
                # client does not.
                logging.exception("%s %s", self.command, self.path[:200])
                code, answer = 500, _error(f"Internal: {type(error).__name__}")
            self._send(code, answer)

    def _send(self, code: int, body: bytes) -> None:
        with contextlib.suppress(OSError):
            self.connection.settimeout(IDLE_SECONDS)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if self.server.cors:
                self.send_header("Access-Control-Allow-Origin", "*")
            for name, value in self._more_headers:
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

    def _body(self) -> bytes:
        """Reads the request's body."""
        self._socket.allow(BODY_SECONDS)
        expected = self.headers.get("Expect", "100-continue")
        if expected.strip().lower() != "100-continue":
            raise bodies.RefusedError(
                HTTPStatus.EXPECTATION_FAILED,
                f"Expect must be 100-continue; received {expected[:40]!r}",
            )
        try:
            return bodies.read(self.rfile, self.headers, self.server.most_bytes)
        except TimeoutError:
            raise bodies.RefusedError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The body took longer than {BODY_SECONDS} s",
            ) from None

    def _discard(self, length: int) -> None:
        """Reads and drops a body: a client may read the answer only after it.

        Args:
            length: The body's bytes.
        """
        left = min(length, MOST_DISCARDED)
        with contextlib.suppress(OSError):
            while left > 0 and (read := self.rfile.read(min(left, CHUNK))):
                left -= len(read)

    def handle_expect_100(self) -> bool:
        """Lets a client send its body, unless the body is too large."""
        try:
            bodies.length(self.headers, self.server.most_bytes)
        except bodies.RefusedError:
            return True  # `_body` refuses it.
        return super().handle_expect_100()

    def _refuse(self, body: bytes) -> bytes:
        """Refuses a method that the API does not have."""
        self._path()
        raise self._malformed()

    def _preflight(self, body: bytes) -> bytes:
        """Returns the answer to a browser's OPTIONS."""
        self._path()
        self._more_headers = PREFLIGHT
        return b""

    def _look(self, body: bytes) -> bytes:
        """Returns the answer to a GET."""
        match = LOOK.fullmatch(self._path())
        if not match:
            raise self._malformed()
        app, version, label = _where(match)
        if not match[4]:
            message = answers.status(self.server.models, app, version, label)
            return _json(_plain(message))
        message = answers.metadata(self.server.models, app, version, label)
        signatures = answers.get_model_metadata_pb2.SignatureDefMap()
        message.metadata[answers.SIGNATURES].Unpack(signatures)
        return _json(
            {
                "model_spec": _plain(message.model_spec),
                "metadata": {answers.SIGNATURES: _plain(signatures)},
            }
        )

    def _ask(self, body: bytes) -> bytes:
        """Returns the answer to a POST."""
        match = ASK.fullmatch(self._path())
        if not match:
            raise self._malformed()
        app, version, label = _where(match)
        with self.server.models.use(app, version, label) as model:
            if match[4].lower() != "predict":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f":{match[4]} needs a signature of "
                    f"tensorflow/serving/{match[4]}, which takes tf.Example; "
                    f"those of {app} are of tensorflow/serving/predict. Ask "
                    ":predict",
                )
            with self.server.workers:
                signature, rows, inputs = json_tensors.parse(
                    body, lambda name: _dtypes(model, name)
                )
                outputs = model.predict(signature, inputs)
                return json_tensors.answer(outputs, rows)

    def _path(self) -> str:
        """Returns the path; a query makes it another one, as in TF Serving."""
        path = self.path
        if not path.lower().startswith("/v1/"):
            raise ServingError("NOT_FOUND", f"Not found: {path[:200]}")
        return path

    def _malformed(self) -> ServingError:
        return ServingError(
            "INVALID_ARGUMENT",
            f"Malformed request: {self.command} {self.path[:200]}",
        )


def _where(match: re.Match) -> tuple[str, int | None, str]:
    """Returns the app, version and label in a path."""
    app, version, label = match[1], match[2], match[3]
    return (
        urllib.parse.unquote(app),
        int(version) if version else None,
        urllib.parse.unquote(label or ""),
    )


def _dtypes(model: Model, signature: str) -> json_tensors.Dtypes:
    """Returns the dtypes of a signature's inputs.

    Raises:
        JsonError: If there is no such signature; REST has its own text for it.
    """
    try:
        return model.dtypes(signature)
    except ServingError:
        raise JsonError(
            f'Serving signature name: "{signature or DEFAULT}" not found in '
            "signature def"
        ) from None


def _plain(message: Message) -> dict[str, Any]:
    """Returns a message as in TF Serving's JSON."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()
