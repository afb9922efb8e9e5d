"""Reading tables of a user's own."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from common import tables
from common.config import InputError

COLUMNS = ["id", "text"]


def write(path: Path) -> Path:
    """Writes the same two rows in the format that the name asks for."""
    rows = [("007", "a, b"), ("8", "c\nd")]
    if path.suffix == ".jsonl":
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


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_formats_give_the_same_table(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}")
    assert tables.is_table(str(path))
    found = tables.read(path, COLUMNS, text=["id"])
    assert found.column_names == COLUMNS
    assert found["id"].to_pylist() == ["007", "8"]
    assert found["text"].to_pylist() == ["a, b", "c\nd"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "must be a file"),
        ("rows.xlsx", b"x", "must end in"),
        ("rows.csv", b"", "must have rows"),
        ("rows.csv", b"id,text\n", "must have rows"),
        ("rows.csv", b"id,words\n1,a\n", "one column called text"),
        ("rows.csv", b"id,text,text\n1,a,b\n", "one column called text"),
        ("rows.csv", b"id,text\n1,\xff\xfe\n", "UTF"),
        ("rows.csv", b"id,text\n1\n", "cannot be read"),
        ("rows.jsonl", b"{", "cannot be read"),
        ("rows.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        tables.read(tmp_path / name, COLUMNS)
    assert "\n" not in str(caught.value)


def test_names_are_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    assert tables.names(path) == ["a", "b"]
    with pytest.raises(InputError, match="must be a file"):
        tables.names(tmp_path / "missing.csv")
