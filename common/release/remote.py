"""Clients of a server: TF Serving or the embedded one, over REST or gRPC."""

import abc
import http.client
import json
import re
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from common import console
from common.options import InputError

from . import identity, json_tensors, json_values, tensor_protos
from .saved_model import DEFAULT

TIMEOUT_SECONDS = 60.0
URL = re.compile(
    r"(http|https|grpc)://([^/:\[\]]+|\[[0-9a-fA-F:]+\]):(\d{1,5})"
    r"(?:/(?:(labels)/([^/]+)|(versions)/(\d{1,18})))?/?"
)


def connect(url: str, app: str) -> "Remote":
    """Returns a client of a server.

    Args:
        url: `http://host:port` or `grpc://host:port`; `/labels/NAME` or
            `/versions/N` may follow, else the newest version answers.
        app: The app, which is also the model's name on the server.

    Raises:
        InputError: If the server does not answer, or does not serve the app.
    """
    match = URL.fullmatch(url)
    if not match:
        raise InputError(
            "--server must be http://host:port or grpc://host:port, perhaps "
            f"with /labels/NAME or /versions/N behind; received {url!r}."
        )
    version = int(match[7]) if match[7] else None
    client = Grpc if match[1] == "grpc" else Rest
    return client(match, app, version, match[5] or "")


class Remote(abc.ABC):
    """A model on a server.

    Attributes:
        version: The version that answered when the client was made.
        copy: The directory of the release's copy on this machine; None if
            there is no copy.
    """

    version: int
    copy: Path | None = None

    def __init__(
        self, url: re.Match, app: str, version: int | None, label: str
    ) -> None:
        self._url, self._app = url, app
        self._version, self._label = version, label
        self._open(f"{url[2]}:{url[3]}")
        self._signatures = self._metadata()

    def __call__(
        self, signature: str = DEFAULT, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Returns a signature's outputs; see `served.Served`."""
        specs = self.inputs(signature)
        arrays = {
            name: _array(value, specs[name].dtype)
            for name, value in inputs.items()
        }
        return self._predict(signature, arrays)

    def inputs(self, signature: str = DEFAULT) -> dict[str, tf.TensorSpec]:
        """Returns the inputs' names, dtypes and shapes; batch axes are None."""
        return {
            name: tf.TensorSpec(
                None if info.tensor_shape.unknown_rank
                else [None if d.size < 0 else d.size
                      for d in info.tensor_shape.dim],
                tf.as_dtype(info.dtype),
                name,
            )
            for name, info in self._signature(signature).inputs.items()
        }  # fmt: skip

    @property
    def has_files(self) -> bool:
        """Whether the release's directory is on this machine."""
        return self.copy is not None

    @property
    def release(self) -> Path:
        """The release's directory on this machine.

        Raises:
            InputError: If there is no copy on this machine.
        """
        if self.copy is None:
            raise InputError(
                "--server answers, but some of what is printed comes from the "
                f"files of its release, {self._app}/{self.version}: pass a "
                "copy by --release, or the directory of releases by "
                "--export_dir."
            )
        return self.copy

    def use_copy(self, release: Path) -> None:
        """Uses the files of a release on this machine beside the server.

        Raises:
            InputError: If the server serves another release, even under the
                same version number.
        """
        number = identity.of_release(release)
        if number != identity.of(self._signatures.signature_def):
            raise InputError(
                "--server must serve the release whose files are used beside "
                f"it; {self._url[0]} serves another {self._app}/{self.version} "
                f"than {release}. Pass a copy of the served one by --release."
            )
        if not number:
            console.get(stderr=True).print(
                f"note: {release} was made before releases had numbers; it is "
                "assumed to be the release on the server"
            )
        self.copy = release

    def _signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        if name not in self._signatures.signature_def:
            raise InputError(
                f"--server must serve {self._app} with the signature {name}; "
                f"{self._url[0]} has "
                f"{', '.join(sorted(self._signatures.signature_def))}."
            )
        return self._signatures.signature_def[name]

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"--server must serve {self._app}; {self._url[0]} says: {reason}"
        )

    @abc.abstractmethod
    def _open(self, address: str) -> None: ...

    @abc.abstractmethod
    def _metadata(self) -> get_model_metadata_pb2.SignatureDefMap: ...

    @abc.abstractmethod
    def _predict(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]: ...


class Rest(Remote):
    """A client over REST."""

    def _open(self, address: str) -> None:
        connection: type[http.client.HTTPConnection]
        connection = http.client.HTTPConnection
        if self._url[1] == "https":
            connection = http.client.HTTPSConnection
        self._connection = connection(address, timeout=TIMEOUT_SECONDS)
        self._path = f"/v1/models/{self._app}"
        if self._version is not None:
            self._path += f"/versions/{self._version}"
        elif self._label:
            self._path += f"/labels/{self._label}"

    def _metadata(self) -> get_model_metadata_pb2.SignatureDefMap:
        answer = self._send("GET", f"{self._path}/metadata")
        try:
            self.version = int(answer["model_spec"]["version"])
            return json_format.ParseDict(
                answer["metadata"]["signature_def"],
                get_model_metadata_pb2.SignatureDefMap(),
                ignore_unknown_fields=True,
            )
        except (LookupError, TypeError, ValueError, json_format.Error):
            raise self._refused("no metadata; it is another server.") from None

    def _predict(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        body = json_tensors.request(inputs, signature)
        values = self._send("POST", f"{self._path}:predict", body)["outputs"]
        outputs = self._signature(signature).outputs
        if len(outputs) == 1:
            values = {next(iter(outputs)): values}
        return {
            name: json_values.array(
                values[name], np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype)
            )
            for name, info in outputs.items()
        }

    def _send(self, method: str, path: str, body: bytes = b"") -> Any:
        """Sends a request; returns the answer's JSON."""
        head = {"Content-Type": "application/json"}
        try:
            status, content = self._exchange(method, path, body, head)
        except (OSError, http.client.HTTPException) as error:
            raise self._refused(f"{error or type(error).__name__}.") from None
        try:
            answer = json.loads(content)
        except ValueError:
            raise self._refused(f"status {status}, no JSON.") from None
        if status != 200:
            text = answer.get("error") if isinstance(answer, dict) else answer
            raise self._refused(f"status {status}, {text}")
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes, head: dict[str, str]
    ) -> tuple[int, bytes]:
        """Sends a request, again if the server had closed the connection.

        Returns:
            The answer's status and body.
        """
        for last in (False, True):
            fresh = self._connection.sock is None
            try:
                self._connection.request(method, path, body, head)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (http.client.RemoteDisconnected, BrokenPipeError,
                    ConnectionResetError):  # fmt: skip
                self._connection.close()
                if fresh or last:
                    raise
        raise AssertionError  # The loop returns or raises.


class Grpc(Remote):
    """A client over gRPC."""

    def _open(self, address: str) -> None:
        channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def _metadata(self) -> get_model_metadata_pb2.SignatureDefMap:
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._address(request)
        request.metadata_field.append("signature_def")
        answer = self._send(self._stub.GetModelMetadata, request)
        self.version = answer.model_spec.version.value
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        return signatures

    def _predict(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        self._address(request)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tensor_protos.proto(value))
        answer = self._send(self._stub.Predict, request)
        return {
            name: tf.make_ndarray(proto)
            for name, proto in answer.outputs.items()
        }

    def _address(self, request: Any) -> None:
        """Writes the app, and its version or label, into a request."""
        request.model_spec.name = self._app
        if self._version is not None:
            request.model_spec.version.value = self._version
        elif self._label:
            request.model_spec.version_label = self._label

    def _send(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            code = error.code().name
            raise self._refused(f"{code}, {error.details()}") from None


def _array(value: Any, dtype: tf.DType) -> np.ndarray:
    """Returns an input as an array of the signature's dtype."""
    if dtype == tf.string:
        # NumPy's own text arrays would lose zeros at the end of bytes.
        return tf.constant(value, tf.string).numpy()
    return np.asarray(value, dtype.as_numpy_dtype)
