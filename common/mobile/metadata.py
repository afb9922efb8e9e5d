"""TFLite metadata: what a file tells a phone's tools about itself.

Android Studio, MediaPipe Tasks and model viewers read it: name, version,
licence, what inputs and outputs mean, how an image's bytes become numbers, and
the names of the classes. It is a FlatBuffer of its own (schema
`metadata_schema.fbs`, root `ModelMetadata`) in a buffer of the model that the
model's list `metadata` calls TFLITE_METADATA. The files that it names follow
the model as a zip archive.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from . import attachments

NAME, IDENTIFIER = "TFLITE_METADATA", b"M001"
# The version of the schema that a reader must know. All that is written here
# was in its first one.
MIN_PARSER_VERSION = "1.0.0"
VERSION_DIGITS = 8

# The fields of the schema's tables, in its order; those at the end that are not
# written are left out. Before a union's value stands its type.
TABLES = {
    "ModelMetadata": (
        "name", "description", "version", "subgraph_metadata", "author",
        "license", "associated_files", "min_parser_version",
    ),
    "SubGraphMetadata": (
        "name", "description", "input_tensor_metadata",
        "output_tensor_metadata", "associated_files",
    ),
    "TensorMetadata": (
        "name", "description", "dimension_names", "content", "process_units",
        "stats", "associated_files",
    ),
    "Content": ("content_properties_type", "content_properties"),
    "ImageProperties": ("color_space",),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "AssociatedFile": ("name", "description", "type"),
}  # fmt: skip
# Members of the schema's unions and enumerations.
IMAGE_PROPERTIES, NORMALIZATION_OPTIONS = 2, 1
COLOR_SPACES = {1: 2, 3: 1}  # By channels: GRAYSCALE, RGB.
TENSOR_AXIS_LABELS = 2


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How a byte of an image becomes the number that a file takes.

    The number is `(byte - mean) / std`.
    """

    mean: float = 0.0
    std: float = 255.0


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What an input or output means.

    Attributes:
        description: A sentence.
        names: The file beside the model with a name for each place of the
            last axis, such as `labels.txt`; "" if there is none.
        normalization: That of an image, for files that take real numbers;
            files that take bytes have scale and zero point in the tensor. None
            if the tensor is no image.
    """

    description: str = ""
    names: str = ""
    normalization: Normalization | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the files of a release tell about themselves.

    Attributes:
        name: The model's name.
        description: A sentence on what the model does.
        inputs: The inputs by their name in the signature. An input that is
            missing here is described by its name alone.
        outputs: The outputs likewise.
        license: The licence; "" if it is not known.
        files: Further files beside the model to pack into it.
    """

    name: str
    description: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    license: str = ""
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table of the schema: its name, and its fields by name.

    A field is a text, a table, an integer of one byte, or a list of tables or
    of real numbers. Empty fields are not written.
    """

    kind: str
    fields: Mapping[str, Any]


def write(paths: Sequence[Path], facts: Facts) -> None:
    """Adds metadata to TFLite files, which have none yet.

    It is called when the files' bytes are final, before they are measured.

    Args:
        paths: The files. What `facts` names beside the model lies in the same
            folder.
        facts: What the files tell.
    """
    tensors = (*facts.inputs.values(), *facts.outputs.values())
    names = [tensor.names for tensor in tensors if tensor.names]
    packed = dict.fromkeys((*names, *facts.files))
    for path in paths:
        files = {name: path.with_name(name).read_bytes() for name in packed}
        path.write_bytes(add(path.read_bytes(), facts, files))


def add(content: bytes, facts: Facts, files: Mapping[str, bytes]) -> bytes:
    """Returns a TFLite file with metadata; the model in it stays as it is.

    Args:
        content: The bytes of a file without metadata.
        facts: What the file tells.
        files: The contents of all files that `facts` names, by name.
    """
    builder = flatbuffers.Builder()
    table = _pack(builder, _model(content, facts))
    builder.Finish(table, IDENTIFIER)
    data = bytes(builder.Output())
    return attachments.attach(content, NAME, data, files)


def remove(content: bytes) -> bytes:
    """Returns a file of `add` without its metadata, and others unchanged.

    Up to 15 zeros may follow the model.
    """
    return attachments.detach(content, NAME)


def _model(content: bytes, facts: Facts) -> _Table:
    """Returns the root table of a file's metadata."""
    graph = _Table(
        "SubGraphMetadata",
        {
            "input_tensor_metadata": _tensors(content, facts.inputs, "Inputs"),
            "output_tensor_metadata": _tensors(
                content, facts.outputs, "Outputs"
            ),
        },
    )
    return _Table(
        "ModelMetadata",
        {
            "name": facts.name,
            "description": facts.description,
            "version": hashlib.sha256(content).hexdigest()[:VERSION_DIGITS],
            "subgraph_metadata": [graph],
            "license": facts.license,
            "associated_files": [
                _Table("AssociatedFile", {"name": name}) for name in facts.files
            ],
            "min_parser_version": MIN_PARSER_VERSION,
        },
    )


def _tensors(
    content: bytes, known: Mapping[str, Tensor], side: str
) -> list[_Table]:
    """Returns the tables of a file's inputs or outputs, in the file's order.

    Args:
        content: The file's bytes.
        known: What is known of them, by their name in the signature.
        side: `Inputs` or `Outputs`.
    """
    model = schema.Model.GetRootAs(content, 0)
    graph, signature = model.Subgraphs(0), model.SignatureDefs(0)
    entries = [
        getattr(signature, side)(place)
        for place in range(getattr(signature, f"{side}Length")())
    ]
    names = {entry.TensorIndex(): entry.Name().decode() for entry in entries}
    tables = []
    for index in getattr(graph, f"{side}AsNumpy")():
        name = names[index]
        tables.append(
            _tensor(name, known.get(name, Tensor()), graph.Tensors(index))
        )
    return tables


def _tensor(name: str, known: Tensor, tensor: Any) -> _Table:
    """Returns the table of an input or output.

    Args:
        name: Its name.
        known: What is known of it.
        tensor: Its entry in the file.
    """
    fields: dict[str, Any] = {"name": name, "description": known.description}
    if known.normalization:
        channels = tensor.Shape(tensor.ShapeLength() - 1)
        colours = COLOR_SPACES.get(channels, 0)
        image = _Table("ImageProperties", {"color_space": colours})
        fields["content"] = _union(
            "Content", "content_properties", IMAGE_PROPERTIES, image
        )
        if tensor.Type() == schema.TensorType.FLOAT32:
            numbers = dataclasses.asdict(known.normalization)
            options = _Table(
                "NormalizationOptions",
                {key: [float(number)] for key, number in numbers.items()},
            )
            fields["process_units"] = [
                _union("ProcessUnit", "options", NORMALIZATION_OPTIONS, options)
            ]
    if known.names:
        file = {"name": known.names, "type": TENSOR_AXIS_LABELS}
        fields["associated_files"] = [_Table("AssociatedFile", file)]
    return _Table("TensorMetadata", fields)


def _union(kind: str, field: str, member: int, value: _Table) -> _Table:
    """Returns a table whose only field is a union."""
    return _Table(kind, {f"{field}_type": member, field: value})


def _pack(builder: flatbuffers.Builder, table: _Table) -> int:
    """Writes a table and all below it; returns its place in the builder."""
    names = TABLES[table.kind]
    fields = {name: value for name, value in table.fields.items() if value}
    places = {
        name: _pack_value(builder, value)
        for name, value in fields.items()
        if not isinstance(value, int)
    }
    builder.StartObject(len(names))
    for name, place in places.items():
        builder.PrependUOffsetTRelativeSlot(names.index(name), place, 0)
    for name, value in fields.items():
        if isinstance(value, int):
            builder.PrependInt8Slot(names.index(name), value, 0)
    return builder.EndObject()


def _pack_value(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes what a field points to; returns its place in the builder."""
    if isinstance(value, str):
        return builder.CreateSharedString(value)
    if isinstance(value, _Table):
        return _pack(builder, value)
    if isinstance(value[0], float):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    tables = [_pack(builder, item) for item in value]
    return attachments.vector(builder, tables)
