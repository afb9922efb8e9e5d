"""The embedded server's REST half: TF Serving's paths, bodies and statuses."""

import json
import re
import threading
import urllib.parse
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from common.release import json_tensors
from common.release.status import ServingError

from . import answers, bodies, http_errors
from .http_connection import Answer
from .http_requests import Request
from .models import Models

WHERE = r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18})|/labels/([^/:]+))?"
ASK = re.compile(WHERE + r":(predict|classify|regress)", re.IGNORECASE)
LOOK = re.compile(WHERE + r"(/metadata)?", re.IGNORECASE)
# What a browser may send if --cors allows it to ask.
PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Content-Type, Content-Encoding"),
    ("Access-Control-Max-Age", "86400"),
)
ANY_ORIGIN = (("Access-Control-Allow-Origin", "*"),)


class Api:
    """TF Serving's REST API; any thread may call it."""

    def __init__(
        self,
        models: Models,
        workers: threading.Semaphore,
        most_bytes: int,
        cors: bool = False,
    ) -> None:
        """Makes the API of a server.

        Args:
            models: The models that answer.
            workers: Limits the requests that are computed at a time.
            most_bytes: The largest body accepted, unpacked.
            cors: Whether pages of any origin may ask from a browser.
        """
        self._models, self._workers = models, workers
        self._most_bytes, self._cors = most_bytes, cors
        self.headers = ANY_ORIGIN if cors else ()

    def answer(self, request: Request) -> Answer:
        """Returns the answer to a request, or the error that it causes."""
        return http_errors.answered(request, self._answer)

    def _answer(self, request: Request) -> Answer:
        """Returns the answer to a request, or raises the error."""
        if request.method == "OPTIONS" and self._cors:
            _check_path(request)
            return Answer(200, b"", PREFLIGHT)
        if request.method == "POST":
            return Answer(200, self._ask(request))
        if request.method == "GET":
            return Answer(200, self._look(request))
        _check_path(request)
        raise _malformed(request)

    def _look(self, request: Request) -> bytes:
        """Returns the answer to a GET."""
        match = LOOK.fullmatch(_check_path(request))
        if not match:
            raise _malformed(request)
        app, version, label = _where(match)
        if not match[4]:
            message = answers.status(self._models, app, version, label)
            return _json(_plain(message))
        message = answers.metadata(self._models, app, version, label)
        signatures = answers.get_model_metadata_pb2.SignatureDefMap()
        message.metadata[answers.SIGNATURES].Unpack(signatures)
        return _json(
            {
                "model_spec": _plain(message.model_spec),
                "metadata": {answers.SIGNATURES: _plain(signatures)},
            }
        )

    def _ask(self, request: Request) -> bytes:
        """Returns the answer to a POST."""
        match = ASK.fullmatch(_check_path(request))
        if not match:
            raise _malformed(request)
        app, version, label = _where(match)
        with self._models.use(app, version, label) as model:
            if match[4].lower() != "predict":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f":{match[4]} needs a signature of "
                    f"tensorflow/serving/{match[4]}, which takes tf.Example; "
                    f"those of {app} are of tensorflow/serving/predict. Ask "
                    ":predict",
                )
            with self._workers:
                encoding = request.headers.get("content-encoding", "")
                body = bodies.unpacked(request.body, encoding, self._most_bytes)
                signature, rows, inputs = json_tensors.parse(body, model.dtypes)
                outputs = model.predict(signature, inputs)
                return json_tensors.answer(outputs, rows)


def _check_path(request: Request) -> str:
    """Returns the path; a query makes it another one, as in TF Serving.

    Raises:
        ServingError: If the path is outside the API.
    """
    if not request.path.lower().startswith("/v1/"):
        raise ServingError("NOT_FOUND", f"Not found: {request.path[:200]}")
    return request.path


def _malformed(request: Request) -> ServingError:
    return ServingError(
        "INVALID_ARGUMENT",
        f"The API has no {request.method} {request.path[:200]}",
    )


def _where(match: re.Match) -> tuple[str, int | None, str]:
    """Returns the app, version and label in a path."""
    app, version, label = match[1], match[2], match[3]
    return (
        urllib.parse.unquote(app),
        int(version) if version else None,
        urllib.parse.unquote(label or ""),
    )


def _plain(message: Message) -> dict[str, Any]:
    """Returns a message as in TF Serving's JSON."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
