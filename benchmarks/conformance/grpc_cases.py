"""Cases of gRPC: predictions, metadata, state, and what they refuse."""

import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from common.release import tensor_protos

from .cases import Purpose
from .model import DTYPES, NAME, rows

SECONDS = 30.0
SHAPE = Purpose(
    "INVALID_ARGUMENT",
    "OK; it computes with whatever shape it gets",
    "a row that lacks a number would get an answer that means nothing",
)
EXAMPLES = Purpose(
    "UNIMPLEMENTED",
    "INVALID_ARGUMENT, since no signature of the release takes tf.Example",
    "no release of this suite has a signature for it",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A gRPC call and its answer.

    Attributes:
        name: A unique name.
        call: Sends the request over a channel; returns what is compared.
        code: The name of TF Serving's code.
        answer: What `call` returns.
        purpose: Why the embedded server answers otherwise; None if it must
            answer as TF Serving does.
    """

    name: str
    call: Callable[[grpc.Channel], Any]
    code: str = "OK"
    answer: Any = None
    purpose: Purpose | None = None


def cases() -> list[Case]:
    """Returns all cases."""
    return [*_predictions(), *_types(), *_others()]


def _request(
    inputs: dict[str, np.ndarray],
    signature: str = "",
    name: str = NAME,
    as_bytes: bool = True,
    **choice: Any,
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    _address(request, name, **choice)
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tensor_protos.proto(value, as_bytes))
    return request


def _address(
    request: Any, name: str = NAME, version: int = 0, label: str = ""
) -> None:
    request.model_spec.name = name
    if version:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label


def _predict(
    request: predict_pb2.PredictRequest,
) -> Callable[[grpc.Channel], Any]:
    """Returns a call whose answer is the version and the outputs."""

    def call(channel: grpc.Channel) -> Any:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=SECONDS)
        outputs = {
            name: tf.make_ndarray(value).tolist()
            for name, value in answer.outputs.items()
        }
        return answer.model_spec.version.value, outputs

    return call


def _predictions() -> list[Case]:
    row = np.array([[1, 2, 3]], np.float32)

    def case(name, request, code="OK", answer=None, **more):
        return Case(f"Predict: {name}", _predict(request), code, answer, **more)

    def answer(version: int):
        return version, {"y": [6.0], "version": [version]}

    only = _request({"x": row})
    only.output_filter.append("y")
    other = _request({"x": row})
    other.output_filter.append("nope")
    word = np.array(b"a", object)
    refused = "INVALID_ARGUMENT"
    return [
        case("newest", _request({"x": row}), answer=answer(2)),
        case("a version", _request({"x": row}, version=1), answer=answer(1)),
        case("a label", _request({"x": row}, label="stable"), answer=answer(1)),
        case("signature by name", _request({"x": row}, "serving_default"),
             answer=answer(2)),
        case("one output", only, answer=(2, {"y": [6.0]})),
        case("an output that is none", other, refused),
        case("no such model", _request({"x": row}, name="nope"), "NOT_FOUND"),
        case("no such version", _request({"x": row}, version=7), "NOT_FOUND"),
        case("no such label", _request({"x": row}, label="nope"), refused),
        case("no such signature", _request({"x": row}, "nope"),
             "FAILED_PRECONDITION"),
        case("no model", _request({"x": row}, name=""), refused),
        case("no input", _request({}), refused),
        case("another input", _request({"z": row}), refused),
        case("an input too many", _request({"x": row, "z": row}), refused),
        case("another type", _request({"x": row.astype(np.int64)}), refused),
        case("too short", _request({"x": row[:, :2]}), purpose=SHAPE),
        case("a string without axes", _request({"text": word}, "single"),
             answer=(2, {"same": b"a"})),
    ]  # fmt: skip


def _types() -> list[Case]:
    """Returns a case for each type, sent as bytes and as single values."""
    values = {"string": (b"a", b""), "bool": (True, False)}
    made = []
    for dtype in DTYPES:
        value = rows(*values.get(dtype, (1, 3)), dtype=dtype)
        for as_bytes in (True, False):
            request = _request({"x": value}, f"same_{dtype}", as_bytes=as_bytes)
            form = "bytes" if as_bytes else "values"
            made.append(
                Case(
                    f"Predict: {dtype} as {form}",
                    _predict(request),
                    answer=(2, {"same": value.tolist()}),
                )
            )
    return made


def _others() -> list[Case]:
    """Returns the cases of the other calls."""

    def metadata(*fields: str, **choice: Any) -> Callable[[grpc.Channel], Any]:
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _address(request, **choice)
        request.metadata_field.extend(fields)

        def call(channel: grpc.Channel) -> Any:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.GetModelMetadata(request, timeout=SECONDS)
            found = get_model_metadata_pb2.SignatureDefMap()
            answer.metadata["signature_def"].Unpack(found)
            default = found.signature_def["serving_default"]
            return answer.model_spec.version.value, sorted(default.outputs)

        return call

    def status(**choice: Any) -> Callable[[grpc.Channel], Any]:
        request = get_model_status_pb2.GetModelStatusRequest()
        _address(request, **choice)

        def call(channel: grpc.Channel) -> Any:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            states = stub.GetModelStatus(request, timeout=SECONDS)
            return [
                (row.version, row.state, row.status.error_code)
                for row in states.model_version_status
            ]

        return call

    def on_examples(method: str, request: Any) -> Callable[[grpc.Channel], Any]:
        def call(channel: grpc.Channel) -> Any:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return getattr(stub, method)(request, timeout=SECONDS)

        return call

    classify = classification_pb2.ClassificationRequest()
    regress = regression_pb2.RegressionRequest()
    multi = inference_pb2.MultiInferenceRequest()
    for request in (classify, regress, multi.tasks.add()):
        _address(request)
    for request in (classify, regress, multi):
        feature = request.input.example_list.examples.add().features.feature
        feature["x"].float_list.value.extend([1, 2, 3])
    refused = "INVALID_ARGUMENT"
    outputs = ["version", "y"]
    signature = "signature_def"
    return [
        Case("GetModelMetadata: newest", metadata(signature),
             answer=(2, outputs)),
        Case("GetModelMetadata: a version", metadata(signature, version=1),
             answer=(1, outputs)),
        Case("GetModelMetadata: no field", metadata(), refused),
        Case("GetModelMetadata: another field", metadata("nope"), refused),
        Case("GetModelMetadata: no such model",
             metadata(signature, name="nope"), "NOT_FOUND"),
        Case("GetModelStatus: all", status(),
             answer=[(2, 30, 0), (1, 30, 0)]),
        Case("GetModelStatus: a version", status(version=1),
             answer=[(1, 30, 0)]),
        Case("GetModelStatus: a label", status(label="stable"),
             answer=[(1, 30, 0)]),
        Case("GetModelStatus: no such version", status(version=7),
             "NOT_FOUND"),
        Case("GetModelStatus: no such model", status(name="nope"),
             "NOT_FOUND"),
        Case("Classify", on_examples("Classify", classify), refused,
             purpose=EXAMPLES),
        Case("Regress", on_examples("Regress", regress), refused,
             purpose=EXAMPLES),
        Case("MultiInference", on_examples("MultiInference", multi), refused,
             purpose=EXAMPLES),
    ]  # fmt: skip
