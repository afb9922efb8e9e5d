"""What REST and gRPC both answer about models: their status and metadata."""

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
    """Returns the states of an app's versions, the newest first."""
    states = models.states.get(app)
    if not states:
        raise ServingError(
            "NOT_FOUND", f"Could not find any versions of model {app}"
        )
    if label:
        version = models.version(app, label)
    if version is not None and version not in states:
        raise ServingError(
            "NOT_FOUND", f"Could not find version {version} of model {app}"
        )
    found = get_model_status_pb2.GetModelStatusResponse()
    chosen = sorted(states, reverse=True) if version is None else [version]
    for one in chosen:
        state, message = states[one]
        row = found.model_version_status.add(version=one, state=state)
        row.status.error_code = 2 if message else 0  # UNKNOWN or OK.
        row.status.error_message = message
    return found


def metadata(
    models: Models, app: str, version: int | None = None, label: str = ""
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a version."""
    with models.use(app, version, label) as model:
        found = get_model_metadata_pb2.GetModelMetadataResponse()
        found.model_spec.CopyFrom(spec(app, model.version))
        found.metadata[SIGNATURES].Pack(signatures(model.path))
    return found


def signatures(release: Path) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns the signatures that a SavedModel declares."""
    saved = saved_model_pb2.SavedModel.FromString(
        (release / "saved_model.pb").read_bytes()
    )
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, one in saved.meta_graphs[0].signature_def.items():
        found.signature_def[name].CopyFrom(one)
    return found


def spec(app: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    """Returns which version answered."""
    found = model_pb2.ModelSpec(name=app, signature_name=signature)
    found.version.value = version
    return found
