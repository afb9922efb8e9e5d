"""Tables of every kind that people have, each with the right rows."""

import datetime
import gzip
import io
import json
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from common.data import dialects, tables
from common.options import InputError

NAMES = ["user", "item", "rating", "text"]
ROWS = [
    ("1", "007", 4.5, "good, really"),
    ("2", "010", 3.0, "naïve; but | fine"),
    ("1", "010", 1.5, "süß\ttea"),
]


def table() -> pa.Table:
    columns = [pa.array(column) for column in zip(*ROWS, strict=True)]
    return pa.Table.from_arrays(columns, NAMES)


def delimited(separator: str, encoding: str = "utf-8", **changes) -> bytes:
    """Returns the rows as a spreadsheet writes them."""
    end = changes.get("end", "\n")
    header = changes.get("names", NAMES)
    lines = [separator.join(header)] if header else []
    for user, item, rating, text in ROWS:
        number = str(rating).replace(".", changes.get("decimal_point", "."))
        lines.append(separator.join([user, item, number, f'"{text}"']))
    return (end.join(lines) + end).encode(encoding)


def movielens() -> bytes:
    """Returns the rows with two colons between cells, and no quotes."""
    lines = ["::".join(NAMES)]
    for user, item, rating, text in ROWS:
        lines.append("::".join([user, item, str(rating), text]))
    return ("\n".join(lines) + "\n").encode()


def objects() -> list[dict]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def json_lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in objects()).encode()


def parquet_file(names: list[str] = NAMES) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table().rename_columns(names), file)
    return file.getvalue()


def workbook(rows: list) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


DAMAGED = bytearray(gzip.compress(delimited(",") * 1000, mtime=0))
DAMAGED[30:60] = bytes(30)
KINDS = {
    "comma.csv": delimited(","),
    "semicolon.csv": delimited(";"),
    "tab.csv": delimited("\t"),
    "semicolon_decimal_comma.csv": delimited(";", decimal_point=","),
    "tab_decimal_comma.txt": delimited("\t", decimal_point=","),
    "pipe.csv": delimited("|"),
    "tab.tsv": delimited("\t"),
    "comma.tsv": delimited(","),
    "comma.txt": delimited(","),
    "tab.txt": delimited("\t"),
    "semicolon.dat": delimited(";"),
    "colons.dat": movielens(),
    "tab.data": delimited("\t"),
    "windows_lines.csv": delimited(",", end="\r\n"),
    "mark.csv": delimited(",", "utf-8-sig"),
    "utf_16.csv": delimited(",", "utf-16"),
    "utf_16_tab.txt": delimited("\t", "utf-16"),
    "utf_16_semicolon.csv": delimited(";", "utf-16"),
    "utf_16_without_a_mark.csv": delimited(",", "utf-16-le"),
    "utf_16_big_endian.csv": delimited(",", "utf-16-be"),
    "spaces.csv": delimited(",", names=["user ", " item", " rating ", "text"]),
    "upper.CSV": delimited(","),
    "comma.csv.gz": gzip.compress(delimited(","), mtime=0),
    "semicolon.csv.gz": gzip.compress(delimited(";"), mtime=0),
    "tab.tsv.gz": gzip.compress(delimited("\t"), mtime=0),
    "colons.dat.gz": gzip.compress(movielens(), mtime=0),
    "tab.data.gz": gzip.compress(delimited("\t"), mtime=0),
    "utf_16.txt.gz": gzip.compress(delimited("\t", "utf-16"), mtime=0),
    "spaces.parquet": parquet_file([f" {name} " for name in NAMES]),
    "lines.jsonl": json_lines(),
    "lines.ndjson": json_lines(),
    "lines.json": json_lines(),
    "array.json": json.dumps(objects()).encode(),
    "lines.jsonl.gz": gzip.compress(json_lines(), mtime=0),
    "array.json.gz": gzip.compress(json.dumps(objects()).encode(), mtime=0),
    "columns.parquet": parquet_file(),
    "sheet.xlsx": workbook([NAMES, *ROWS]),
}


@pytest.fixture(params=KINDS)
def path(request, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    path.write_bytes(KINDS[request.param])
    return path


def test_every_kind_is_a_table(path: Path) -> None:
    assert tables.is_table(str(path))
    assert tables.names(path) == NAMES


def test_every_kind_gives_its_rows(path: Path) -> None:
    columns = ["text", "item", "user", "rating"]
    read = tables.read(path, columns, ["user", "item", "text"])
    assert read.column_names == columns
    expected = [{name: row[name] for name in columns} for row in objects()]
    if "decimal_comma" in path.name:  # Whoever wants numbers reads them.
        for row in expected:
            row["rating"] = str(row["rating"]).replace(".", ",")
    assert read.to_pylist() == expected


def test_every_kind_gives_its_numbers(path: Path) -> None:
    received = tables.numbers(path, ["rating"])
    assert received[:, 0].tolist() == [row[2] for row in ROWS]


def test_a_column_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(
        InputError, match=r"one column called time; .* user, it"
    ):
        tables.read(path, ["time"])


def test_a_workbook_keeps_its_kinds(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 3, 1, 12, 30)
    rows = [
        ["id", "when", "count", "mixed"],
        [5.0, day, 3, 1],
        [7, day, 4, "b"],
    ]
    (tmp_path / "a.xlsx").write_bytes(workbook(rows))
    read = tables.read(tmp_path / "a.xlsx", rows[0], ["id"])
    assert read["id"].to_pylist() == ["5", "7"]
    assert read["when"].to_pylist() == [day, day]
    assert read["count"].to_pylist() == [3, 4]
    assert read["mixed"].to_pylist() == ["1", "b"]


def test_a_workbook_that_pandas_wrote_keeps_its_columns(tmp_path) -> None:
    rows = [[None, "user", "item"], [0, "alice", "shoe"], [1, "bob", None]]
    (tmp_path / "a.xlsx").write_bytes(workbook(rows))
    read = tables.read(tmp_path / "a.xlsx", ["user", "item"], ["user"])
    assert read["user"].to_pylist() == ["alice", "bob"]
    assert read["item"].to_pylist() == ["shoe", None]


REFUSED = [
    ("a.xlsx", b"no workbook", "no Excel workbook"),
    ("a.xlsx", KINDS["sheet.xlsx"][:900], "no Excel workbook"),
    ("a.xlsx", workbook([]), "must have rows"),
    ("a.csv.gz", gzip.compress(delimited(","), mtime=0)[:40], "cannot be read"),
    ("a.csv.gz", b"no gzip", "cannot be read"),
    ("a.csv.gz", DAMAGED, "cannot be read"),
    ("a.csv", delimited(",", "cp1252"), "--encoding=windows-1252"),
    ("a.gz", b"", "must end in"),
    ("a.parquet.gz", b"", "must end in"),
    ("a.csv", b"user,item\n1,2\n1\n", "cannot be read"),
    ("a.dat", b"", "must have rows"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    REFUSED,
    # Two workers must agree on the names, and packed bytes hold the time.
    ids=[f"{index}-{case[0]}" for index, case in enumerate(REFUSED)],
)
def test_what_is_damaged_gets_one_line(
    name, content, message, tmp_path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        tables.read(tmp_path / name, ["user", "text"], ["user"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        # The ending's separator wins where it gives every row the same width.
        ("a,b;c\n1,2;3\n", ","),
        ("text\nwell; done\nfine\n", ","),
        ('a;b\n1,5;"x;y"\n2,5;z\n', ";"),
        ("a|b\n1|2\n", "|"),
        ("a::b\n1::2:3\n", "::"),
        ("", ","),
    ],
)
def test_the_separator_is_the_one_that_fits(text, separator, tmp_path) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert dialects.dialect(tmp_path / "a.csv", ".csv").separator == separator


def test_a_quoted_cell_that_is_cut_off_does_not_hide_the_separator(
    tmp_path: Path,
) -> None:
    cell = '"' + "a line, and another; " * 500 + "\n" * 9 + '"'
    rows = "".join(f"{cell};pos\n" for _ in range(30))
    (tmp_path / "a.csv").write_text("text;label\n" + rows)
    read = tables.read(tmp_path / "a.csv", ["label"])
    assert read.num_rows == 30


def test_a_large_file_is_judged_by_its_beginning(tmp_path: Path) -> None:
    rows = pa.table({"a": range(20_000), "b": ["x" * 20] * 20_000})
    options = csv.WriteOptions(delimiter=";")
    csv.write_csv(rows, tmp_path / "a.csv", options)
    assert tables.read(tmp_path / "a.csv", ["a", "b"]).equals(rows)


def test_a_file_without_names_of_columns_says_so(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("196\t242\t3\t88\n186\t302\t3\t89\n")
    with pytest.raises(InputError, match="into a first line of their own"):
        tables.read(tmp_path / "u.data", ["user_id"])
