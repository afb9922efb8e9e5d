"""The embedded server's gRPC half: PredictionService and ModelService."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from absl import logging
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from common.release import tensor_protos
from common.release.saved_model import DEFAULT
from common.release.status import ServingError

from . import answers
from .models import Models


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict and GetModelMetadata."""

    def __init__(self, models: Models, workers: threading.Semaphore) -> None:
        self._models, self._workers = models, workers

    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Answers a prediction request."""
        with (
            _errors(context),
            self._models.use(*_where(request.model_spec)) as model,
            self._workers,
        ):
            signature = request.model_spec.signature_name
            inputs = {
                name: _array(name, proto)
                for name, proto in request.inputs.items()
            }
            outputs = model.predict(signature, inputs, request.output_filter)
            response = predict_pb2.PredictResponse()
            response.model_spec.CopyFrom(
                answers.spec(
                    request.model_spec.name,
                    model.version,
                    signature or DEFAULT,
                )
            )
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(
                    tensor_protos.proto(value, as_bytes=False)
                )
            return response

    def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers with the signatures of a version."""
        with _errors(context):
            fields = list(request.metadata_field)
            if fields != [answers.SIGNATURES]:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"Metadata field {', '.join(fields) or '(none)'} is not "
                    f"supported; ask for {answers.SIGNATURES}",
                )
            return answers.metadata(self._models, *_where(request.model_spec))

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses every request."""
        _unimplemented(context, "Classify")

    def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses every request."""
        _unimplemented(context, "Regress")

    def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses every request."""
        _unimplemented(context, "MultiInference")


class Model(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers with the versions of an app and their states."""
        with _errors(context):
            return answers.status(self._models, *_where(request.model_spec))

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses every request: only models.config chooses versions."""
        _unimplemented(context, "HandleReloadConfigRequest")


class Health(health_pb2_grpc.HealthServicer):
    """Tells load balancers whether the server, or an app, can answer.

    The services are "" for the server, and the names of the apps.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def Check(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
    ) -> health_pb2.HealthCheckResponse:
        """Answers SERVING for an app that has a loaded version."""
        response = health_pb2.HealthCheckResponse
        if not request.service:
            return response(status=response.SERVING)
        with _errors(context), self._models.use(request.service):
            return response(status=response.SERVING)

    def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses every request: clients are to poll `Check`."""
        _unimplemented(context, "Watch")


def make(
    address: str,
    models: Models,
    workers: threading.Semaphore,
    num_threads: int,
    most_bytes: int,
) -> tuple[grpc.Server, int]:
    """Returns a server of both services, which is not started yet.

    Args:
        address: Host and port; port 0 for any that is free.
        models: The models that answer.
        workers: Limits the requests that are computed at a time.
        num_threads: The number of requests handled at a time; others wait.
        most_bytes: The largest message accepted.

    Returns:
        The server to start, and its port.

    Raises:
        RuntimeError: If the port is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(num_threads, "grpc"),
        options=[
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.max_send_message_length", -1),
            # A second server on the port must fail, not share the port.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Prediction(models, workers), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        Model(models), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(Health(models), server)
    port = server.add_insecure_port(address)
    return server, port


def _where(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str]:
    """Returns the app, version and label that a request names."""
    if not spec.name:
        raise ServingError("INVALID_ARGUMENT", "The request names no model")
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


def _array(name: str, value: tensor_pb2.TensorProto) -> np.ndarray:
    """Returns a tensor as an array.

    Raises:
        ServingError: If the message is no valid tensor.
    """
    try:
        return tensor_protos.array(value)
    except ValueError as error:
        line = str(error).splitlines()[0][:200]
        raise ServingError(
            "INVALID_ARGUMENT", f"Input {name} is no tensor: {line}"
        ) from None


@contextlib.contextmanager
def _errors(context: Any) -> Iterator[None]:
    """Turns errors into gRPC statuses, which show no traceback."""
    try:
        yield
    except ServingError as error:
        code = getattr(grpc.StatusCode, error.code, grpc.StatusCode.INTERNAL)
        context.abort(code, error.message)
    except Exception as error:
        # A fault of the server: the operator gets the traceback, the client
        # does not.
        logging.exception("gRPC request")
        context.abort(
            grpc.StatusCode.INTERNAL, f"Internal: {type(error).__name__}"
        )


def _unimplemented(context: Any, name: str) -> None:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{name} is not part of the embedded server",
    )
