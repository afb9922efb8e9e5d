"""Reading a user's own tables."""

import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from common.data import tables, text_files
from common.options import InputError

COLUMNS = ["id", "text"]


def write(path: Path) -> Path:
    """Writes the same two rows in the format of the file's ending."""
    rows = [("007", "a, b"), ("8", "c\nd")]
    if path.suffix == ".json":
        path.write_text(json.dumps([{"text": t, "id": i} for i, t in rows]))
    elif path.suffix in (".jsonl", ".ndjson"):
        lines = [f'{{"text": "{t}", "id": "{i}"}}' for i, t in rows]
        text = "\n".join(line.replace("c\nd", "c\\nd") for line in lines)
        path.write_text(text + "\n")
    elif path.suffix == ".parquet":
        ids, texts = zip(*rows, strict=True)
        table = pa.table({"text": list(texts), "id": list(ids)})
        parquet.write_table(table, path)
    else:
        between = {".csv": ",", ".tsv": "\t"}[path.suffix]
        lines = [f'"{t}"{between}{i}' for i, t in rows]
        path.write_text("\n".join([f"text{between}id", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    "suffix", [".csv", ".tsv", *tables.JSON_SUFFIXES, ".parquet"]
)
def test_formats_give_the_same_table(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}")
    assert tables.is_table(str(path))
    table = tables.read(path, COLUMNS, text=["id"])
    assert table.column_names == COLUMNS
    assert table["id"].to_pylist() == ["007", "8"]
    assert table["text"].to_pylist() == ["a, b", "c\nd"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "must be a file"),
        ("rows.xls", b"x", "must end in"),
        ("rows.csv", b"", "must have rows"),
        ("rows.csv", b"id,text\n", "must have rows"),
        ("rows.csv", b"id,words\n1,a\n", "one column called text"),
        ("rows.csv", b"id,text,text\n1,a,b\n", "one column called text"),
        ("rows.csv", b"id,text\n1,\xff\xfe\n", "UTF"),
        ("rows.csv", b"id,text\n1\n", "cannot be read"),
        ("rows.csv", "id,t\xe9xt\n1,a\n".encode("latin-1"), "be UTF-8"),
        ("rows.csv", b"id," + b"n" * 70_000 + b"\n1,2\n", "called text"),
        ("rows.csv", b"id,text\n1," + b"a" * 70_000 + b",b\n", "read"),
        ("rows.jsonl", b'{"id": 1, "text": "\xff"}', "row 1 of text"),
        ("rows.jsonl", b'{"id": 1, "te\xffxt": "a"}', "be UTF-8"),
        ("rows.jsonl", b'{"id": 1, "text": {"a": 2}}', "plain cells"),
        ("rows.json", b"[1, 2]", "an object a row"),
        ("rows.json", b"[" * 100_000, "cannot be read"),
        ("rows.json", b'[{"id": 1, "text": "\xff"}]', "be UTF-8"),
        ("rows.json", b"[]", "must have rows"),
        ("rows.jsonl", b"{", "cannot be read"),
        ("rows.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_files_that_are_no_tables_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        tables.read(tmp_path / name, COLUMNS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def not_utf_8(kind: pa.DataType) -> pa.Array:
    """Returns a cell of text, and a cell of bytes that are not UTF-8."""
    bytes_of = pa.array([b"a", b"\xff\xfe"], kind)
    text = pa.large_string() if kind == pa.large_binary() else pa.string()
    return pa.Array.from_buffers(text, 2, bytes_of.buffers())


@pytest.mark.parametrize(
    "cells",
    [
        not_utf_8(pa.binary()),
        not_utf_8(pa.large_binary()),
        pa.array([b"a", b"\xff\xfe"], pa.binary()),
        pa.array([b"a", b"\xff\xfe"], pa.large_binary()),
        pa.array([b"ab", b"\xff\xfe"], pa.binary(2)),
    ],
    ids=lambda cells: str(cells.type),
)
def test_parquet_cells_that_are_not_utf_8_are_refused(
    tmp_path: Path, cells: pa.Array
) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"id": [1, 2], "text": cells}), path)
    with pytest.raises(InputError, match="row 2 of text in"):
        tables.read(path, COLUMNS)


def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    intact = write(tmp_path / "rows.parquet").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.parquet"
    refused = 0
    for _ in range(500):
        damaged = bytearray(intact)
        for place in random.integers(len(intact), size=3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        for reader in (tables.names, lambda path: tables.read(path, COLUMNS)):
            try:
                reader(path)
            except InputError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("cells", "plain"),
    [
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([b"a", None], pa.large_binary()), ["a", None]),
        (pa.array([b"a", None], pa.binary_view()), ["a", None]),
        # Finer than Python's own times.
        (pa.array([61_000_000_005, None], pa.time64("ns")),
         [datetime.time(0, 1, 1), None]),
        (pa.array([1_500_000_000, None], pa.duration("ns")), [1.5, None]),
        (pa.array([3600, None], pa.duration("s")), [3600.0, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)  # fmt: skip
def test_parquet_cells_of_odd_types_are_plain(tmp_path, cells, plain) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": cells}), path)
    column = tables.read(path, ["text"])["text"]
    assert column.to_pylist() == plain
    assert not pa.types.is_large_string(column.type)


def test_categories_and_bytes_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    categories = pa.array(["a", None, "a"]).dictionary_encode()
    cells = {"id": categories, "text": pa.array([b"x", b"", None])}
    parquet.write_table(pa.table(cells), path)
    table = tables.read(path, COLUMNS)
    assert table.to_pydict() == {
        "id": ["a", None, "a"],
        "text": ["x", "", None],
    }


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_names_need_only_the_header(tmp_path: Path, suffix: str) -> None:
    """Later rows may be damaged: they are not read for the names."""
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        table = pa.table({"id": range(100_000), "text": ["a"] * 100_000})
        parquet.write_table(table, path)
        content = bytearray(path.read_bytes())
        content[4:20_000] = bytes(19_996)
        path.write_bytes(content)
    elif suffix == ".csv":
        path.write_text("id,text\n" + "1,a\n" * 600_000 + "1,a,b\n")
    else:
        path.write_text('{"id": 1, "text": "a"}\n' * 200_000 + "{\n")
    assert tables.names(path) == ["id", "text"]
    with pytest.raises(InputError, match="cannot be read"):
        tables.read(path, COLUMNS)


def test_other_columns_are_not_read(tmp_path: Path) -> None:
    """The other column is damaged and would be refused."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"id,text,a.b\n" + b"1,\xff,2\n" * 3)
    assert tables.read(path, ["id"]).to_pydict() == {"id": [1, 1, 1]}
    assert tables.read(path, ["a.b"]).column_names == ["a.b"]
    path = tmp_path / "rows.parquet"
    cells = {"text": ["word"] * 9, "id": range(9), "a.b": [2] * 9}
    parquet.write_table(pa.table(cells), path, compression="none")
    content = path.read_bytes()
    start = content.index(b"word")
    path.write_bytes(
        content[: start - 12] + b"\xff" * 16 + content[start + 4 :]
    )
    assert tables.read(path, ["id"]).to_pydict() == {"id": list(range(9))}
    assert tables.read(path, ["a.b"]).column_names == ["a.b"]
    with pytest.raises(InputError):
        tables.read(path, ["text"])


def test_lines_end_at_line_ends_only() -> None:
    content = "\ufeffa\x85b\u2028c\fd\r\n\ne\r\n".encode()
    assert text_files.lines(content) == ["a\x85b\u2028c\fd", "", "e"]
    assert text_files.lines(b"a\nb") == ["a", "b"]
    assert text_files.lines(b"") == text_files.lines(b"\xef\xbb\xbf") == []


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("reviews.txt", True),
        ("./reviews", True),
        ("DATA.NDJSON", True),
        ("Not bad at all!", False),
        ("10/10 would watch again", False),
        ("Great.", False),
        ("", False),
    ],
)
def test_paths_are_told_from_texts(text: str, is_path: bool) -> None:
    assert text_files.looks_like_path(text) is is_path
    assert not text_files.is_file("x" * 5000) and not text_files.is_file("a\0b")


def test_names_are_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    assert tables.names(path) == ["a", "b"]
    with pytest.raises(InputError, match="must be a file"):
        tables.names(tmp_path / "missing.csv")


def test_numbers_are_read_in_the_order_of_the_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2.5\n3,4\n")
    values = tables.numbers(path, ["b", "a"])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[2.5, 1], [4, 3]])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1\nx", "must hold numbers; a in"),
        ("1,\n,2", "row 2 of a"),
        ("1,\n1e300,", "row 2 of a"),
    ],
)
def test_cells_that_are_no_numbers_are_named(
    tmp_path: Path, cells: str, message: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(("a,b\n" if "," in cells else "a\n") + cells + "\n")
    with pytest.raises(InputError, match=message):
        tables.numbers(path, ["a"])
