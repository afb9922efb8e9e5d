"""Reads TFLite metadata as its schema says, without the code that writes it."""

import io
import zipfile
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table


def buffer(content: bytes) -> bytes:
    """Gives the bytes of the buffer TFLITE_METADATA."""
    model = schema.Model.GetRootAs(content, 0)
    (place,) = (
        entry.Buffer()
        for entry in map(model.Metadata, range(model.MetadataLength()))
        if entry.Name() == b"TFLITE_METADATA"
    )
    return model.Buffers(place).DataAsNumpy().tobytes()


def text(table: Table, slot: int) -> str:
    offset = table.Offset(4 + 2 * slot)
    return table.String(table.Pos + offset).decode() if offset else ""


def byte(table: Table, slot: int) -> int:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return 0
    return table.Get(number_types.Int8Flags, table.Pos + offset)


def tables(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * index))
        for index in range(table.VectorLen(offset))
    ]


def member(table: Table, slot: int) -> Table:
    """Gives the table of a union or of a plain field."""
    offset = table.Offset(4 + 2 * slot)
    return Table(table.Bytes, table.Indirect(table.Pos + offset))


def floats(table: Table, slot: int) -> list[float]:
    offset = table.Offset(4 + 2 * slot)
    start = table.Vector(offset)
    return [
        table.Get(number_types.Float32Flags, start + 4 * index)
        for index in range(table.VectorLen(offset))
    ]


def tensor(table: Table) -> dict[str, Any]:
    """Gives a TensorMetadata; its fields stand in the schema's order."""
    facts: dict[str, Any] = {
        "name": text(table, 0),
        "description": text(table, 1),
        "files": [(text(file, 0), byte(file, 2)) for file in tables(table, 6)],
    }
    if table.Offset(4 + 2 * 3):
        content = member(table, 3)
        facts["content"] = byte(content, 0)
        facts["colours"] = byte(member(content, 1), 0)
    for unit in tables(table, 4):
        assert byte(unit, 0) == 1  # NormalizationOptions
        options = member(unit, 1)
        facts["mean"], facts["std"] = floats(options, 0), floats(options, 1)
    return facts


def read(content: bytes) -> dict[str, Any]:
    """Gives the metadata of a TFLite file."""
    data = buffer(content)
    assert data[4:8] == b"M001"
    start = encode.Get(packer.uoffset, data, 0)
    root = Table(data, start)
    (graph,) = tables(root, 3)
    return {
        "name": text(root, 0),
        "description": text(root, 1),
        "version": text(root, 2),
        "license": text(root, 5),
        "files": [text(file, 0) for file in tables(root, 6)],
        "min_parser_version": text(root, 7),
        "inputs": [tensor(table) for table in tables(graph, 2)],
        "outputs": [tensor(table) for table in tables(graph, 3)],
    }


def packed(content: bytes) -> dict[str, bytes]:
    """Gives the files behind a model, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
        return {name: archive.read(name) for name in archive.namelist()}


def check(release: Path, *names: str) -> dict[str, Any]:
    """Checks the metadata of every TFLite file of a release.

    Args:
        release: The release.
        names: The files that lie in each of them.

    Returns:
        The metadata of model.tflite.
    """
    paths = sorted((release / "mobile").glob("*.tflite"))
    assert (release / "mobile" / "model.tflite") in paths
    for path in paths:
        content = path.read_bytes()
        facts, files = read(content), packed(content)
        assert facts["name"] and facts["description"], path
        model = schema.Model.GetRootAs(content, 0)
        signature, graph = model.SignatureDefs(0), model.Subgraphs(0)
        for side in ("Inputs", "Outputs"):
            entries = [
                getattr(signature, side)(index)
                for index in range(getattr(signature, f"{side}Length")())
            ]
            known = {entry.TensorIndex(): entry.Name() for entry in entries}
            assert [
                entry["name"].encode() for entry in facts[side.lower()]
            ] == [
                known[index] for index in getattr(graph, f"{side}AsNumpy")()
            ], path
        assert set(files) == set(names), path
        named = [*facts["files"]]
        for entry in facts["inputs"] + facts["outputs"]:
            named += [name for name, _ in entry["files"]]
        assert set(named) == set(names), path
        for name, data in files.items():
            assert data == path.with_name(name).read_bytes(), path
    return read((release / "mobile" / "model.tflite").read_bytes())
