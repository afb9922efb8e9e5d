"""The embedded server's gRPC half over real sockets."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_models import HOST, LIMIT
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from common.release import tensor_protos


@pytest.fixture(scope="module")
def channel(toy_server):
    with grpc.insecure_channel(
        f"{HOST}:{toy_server.grpc_port}",
        options=[("grpc.max_send_message_length", -1)],
    ) as open_channel:
        yield open_channel


def grpc_request(
    inputs: dict, signature: str = "", name: str = "toy", **choice
):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if "version" in choice:
        request.model_spec.version.value = choice["version"]
    if "label" in choice:
        request.model_spec.version_label = choice["label"]
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


ROW = np.ones((1, 3), np.float32)


def test_grpc_answers(toy_server, channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    stable = {"label": "stable"}
    for choice, version in [({}, 2), ({"version": 1}, 1), (stable, 1)]:
        answer = stub.Predict(grpc_request({"x": ROW}, **choice), timeout=30)
        assert answer.model_spec.version.value == version
        assert answer.model_spec.signature_name == "serving_default"
        assert tf.make_ndarray(answer.outputs["y"]).tolist() == [6.0]
    request = grpc_request({"x": ROW})
    request.output_filter.append("version")
    assert list(stub.Predict(request, timeout=30).outputs) == ["version"]
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    request.metadata_field.append("signature_def")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    metadata = stub.GetModelMetadata(request, timeout=30).metadata
    assert metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "text", "image"} <= set(signatures.signature_def)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    rows = models.GetModelStatus(request, timeout=30).model_version_status
    assert [(row.version, row.state) for row in rows] == [(2, 30), (1, 30)]


def test_answers_have_fields_of_single_values(channel) -> None:
    """Clients read these without TensorFlow, as TF Serving's tutorials do."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(grpc_request({"x": ROW}), timeout=30)
    assert list(answer.outputs["y"].float_val) == [6.0]
    assert list(answer.outputs["version"].int64_val) == [2]
    request = grpc_request({"word": b"a"}, "single")
    answer = stub.Predict(request, timeout=30)
    assert list(answer.outputs["same"].string_val) == [b"a"]
    assert not answer.outputs["same"].tensor_shape.dim


@pytest.mark.parametrize(
    "kind",
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"],
)
def test_every_type_reads_back(kind: str) -> None:
    value = np.array([[1, 0, 3]]).astype(kind)
    for as_bytes in (True, False):
        message = tensor_protos.proto(value, as_bytes)
        read = tensor_protos.array(message)
        assert read.dtype == value.dtype and read.shape == (1, 3)
        np.testing.assert_array_equal(read, value)


def test_load_balancers_ask_for_health(channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "toy"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request, timeout=30).status == 1  # SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=30)
    assert caught.value.code().name == "NOT_FOUND"


def huge() -> predict_pb2.PredictRequest:
    """Returns a small message that stands for 4 * 10**18 bytes."""
    request = grpc_request({"x": ROW})
    shape = request.inputs["x"].tensor_shape
    for dim, size in zip(shape.dim, (10**9, 10**9), strict=True):
        dim.size = size
    return request


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: grpc_request({"x": ROW}, name="nope"), "NOT_FOUND",
         "No version of model nope is served"),
        (lambda: grpc_request({"x": ROW}, version=9), "NOT_FOUND",
         "Version 9 of model toy is not served"),
        (lambda: grpc_request({"x": ROW}, label="nope"), "INVALID_ARGUMENT",
         "Model toy has no label nope"),
        (lambda: grpc_request({"x": ROW}, "nope"), "FAILED_PRECONDITION",
         "has no signature 'nope'"),
        (lambda: grpc_request({}), "INVALID_ARGUMENT",
         "Missing: x. Unknown: none."),
        (lambda: grpc_request({"x": ROW, "z": ROW}), "INVALID_ARGUMENT",
         "Missing: none. Unknown: z."),
        (lambda: grpc_request({"x": ROW.astype(np.int64)}),
         "INVALID_ARGUMENT", "must be of type float32; received int64"),
        (lambda: grpc_request({"x": ROW[:, :2]}), "INVALID_ARGUMENT",
         "[-1, 3]; received [1, 2]"),
        (lambda: grpc_request({"image": [b"\x89PNG"]}, "image"),
         "INVALID_ARGUMENT", ""),
        (lambda: grpc_request({"x": ROW}, name=""), "INVALID_ARGUMENT",
         "names no model"),
        (lambda: grpc_request({"x": np.zeros((2 * LIMIT, 3), np.float32) + 1}),
         "RESOURCE_EXHAUSTED", ""),
        (huge, "INVALID_ARGUMENT", "1000000000000000000 elements"),
    ],
)  # fmt: skip
def test_grpc_errors_have_tf_servings_codes(channel, make, code, words) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(make(), timeout=30)
    assert caught.value.code().name == code
    assert words in caught.value.details()
    assert "Traceback" not in caught.value.details()


def test_what_is_not_embedded_says_so(channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    reload = model_management_pb2.ReloadConfigRequest()
    for call, request in [
        (stub.Classify, classification_pb2.ClassificationRequest()),
        (models.HandleReloadConfigRequest, reload),
    ]:
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=30)
        assert caught.value.code().name == "UNIMPLEMENTED"
