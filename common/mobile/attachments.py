"""What is attached to a TFLite file: a buffer in front, a zip archive behind.

A FlatBuffer's offsets point to higher addresses only. The buffer and a new root
table are therefore put before the model, where they can point to everything in
it, and the archive behind it. The model itself is not packed anew: it stays as
it is, and can be had back to tell what the rest costs.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # The model stays at a multiple of as many bytes.
# The fields of the root table that are not copied as they are.
VERSION, BUFFERS, METADATA = 0, 4, 6
NUM_FIELDS = 10


def attach(
    content: bytes, name: str, data: bytes, files: Mapping[str, bytes]
) -> bytes:
    """Returns a TFLite file with a named buffer and an archive of files.

    The model stays as it is, byte for byte, between the two.

    Args:
        content: The bytes of a file to which nothing is attached.
        name: The buffer's name in the model's list `metadata`.
        data: The buffer's bytes.
        files: Contents of files by name.
    """
    result = io.BytesIO(_with_buffer(content, name, data))
    # MediaPipe reads archives without compression only. `ZipInfo` has a fixed
    # date, so that the same model has the same bytes.
    with zipfile.ZipFile(result, "a", zipfile.ZIP_STORED) as archive:
        for file, file_data in files.items():
            archive.writestr(zipfile.ZipInfo(file), file_data)
    return result.getvalue()


def detach(content: bytes, name: str) -> bytes:
    """Returns the model in a file of `attach`, and other files unchanged.

    Up to 15 zeros may follow the model.

    Args:
        content: The file's bytes.
        name: The buffer's name.
    """
    model = schema.Model.GetRootAs(content, 0)
    entries = (model.Metadata(i) for i in range(model.MetadataLength()))
    for entry in entries:
        if entry.Name() == name.encode():
            table = model.Buffers(entry.Buffer())._tab
            field = table.Offset(4)  # The buffer's data are its first field.
            end = table.Vector(field) + table.VectorLen(field)
            start = -(-end // ALIGNMENT) * ALIGNMENT
            return content[start : _archive_start(content)]
    return content


def _archive_start(content: bytes) -> int:
    """Returns the place of the archive behind a model."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return min(
            [file.header_offset for file in archive.infolist()],
            default=archive.start_dir,
        )


def _with_buffer(content: bytes, name: str, data: bytes) -> bytes:
    """Returns a TFLite file with one more buffer in front of it.

    Args:
        content: The file's bytes.
        name: The buffer's name in `metadata`.
        data: The buffer's bytes.
    """
    old = content + bytes(-len(content) % ALIGNMENT)
    root = schema.Model.GetRootAs(old, 0)._tab
    builder = flatbuffers.Builder(0)
    builder.Bytes, builder.minalign = bytearray(old), ALIGNMENT

    field = builder.CreateByteVector(data)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, field)
    buffers = _members(root, BUFFERS)
    buffers_field = vector(builder, [*buffers, schema.BufferEnd(builder)])
    field = builder.CreateString(name)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, field)
    schema.MetadataAddBuffer(builder, len(buffers))
    entries = [*_members(root, METADATA), schema.MetadataEnd(builder)]
    fields = {BUFFERS: buffers_field, METADATA: vector(builder, entries)}

    builder.StartObject(NUM_FIELDS)
    builder.PrependUint32Slot(VERSION, schema.Model.GetRootAs(old).Version(), 0)
    for slot in range(1, NUM_FIELDS):
        field = fields.get(slot) or _place(root, slot)
        builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    builder.Finish(builder.EndObject(), IDENTIFIER)
    return bytes(builder.Output())


def vector(builder: flatbuffers.Builder, places: Sequence[int]) -> int:
    """Writes a list of tables and returns its place."""
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def _place(table: Any, slot: int) -> int:
    """Returns the place of a field's value, 0 if the field is empty.

    Places are counted from the file's end, as a builder counts them.
    """
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return 0
    return len(table.Bytes) - table.Indirect(table.Pos + offset)


def _members(table: Any, slot: int) -> list[int]:
    """Returns the places of the tables in a field that is a list."""
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [
        len(table.Bytes) - table.Indirect(start + 4 * index)
        for index in range(table.VectorLen(offset))
    ]
