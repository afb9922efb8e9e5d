"""Answers of both REST and gRPC about models: status and metadata."""

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from common.release.status import ServingError

from .models import Models

SIGNATURES = "signature_def"


def status(
    models: Models, app: str, version: int | None = None, label: str = ""
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of an app's versions, the newest first.

    Args:
        models: The server's models.
        app: The app's name.
        version: The only version to return; None for the label's.
        label: The label of the only version to return; "" for all versions.

    Raises:
        ServingError: If there is no such app, version or label.
    """
    states = models.states.get(app)
    if not states:
        raise ServingError("NOT_FOUND", f"No version of model {app} is served")
    if label:
        version = models.version(app, label)
    if version is not None and version not in states:
        raise ServingError(
            "NOT_FOUND", f"Version {version} of model {app} is not served"
        )
    response = get_model_status_pb2.GetModelStatusResponse()
    chosen = sorted(states, reverse=True) if version is None else [version]
    for version in chosen:
        state, message = states[version]
        row = response.model_version_status.add(version=version, state=state)
        row.status.error_code = 2 if message else 0  # UNKNOWN or OK.
        row.status.error_message = message
    return response


def metadata(
    models: Models, app: str, version: int | None = None, label: str = ""
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a version; see `Models.use`."""
    with models.use(app, version, label) as model:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.CopyFrom(spec(app, model.version))
        response.metadata[SIGNATURES].Pack(signatures(model.path))
    return response


def signatures(release: Path) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns the signatures that a SavedModel declares."""
    saved = saved_model_pb2.SavedModel.FromString(
        (release / "saved_model.pb").read_bytes()
    )
    definitions = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in saved.meta_graphs[0].signature_def.items():
        definitions.signature_def[name].CopyFrom(signature)
    return definitions


def spec(app: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    """Returns the message that names the version that answered."""
    model_spec = model_pb2.ModelSpec(name=app, signature_name=signature)
    model_spec.version.value = version
    return model_spec
