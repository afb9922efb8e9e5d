"""Tables that can be read in several ways are read in the right one."""

import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from common.data import dates, quotes, tables
from common.options import InputError
from common.table_options import TableFormat, TableOptions

NAMED = TableFormat(columns=("user", "rating"))
NOON = "2018-07-25T12:00:00"


def write(folder: Path, name: str, content: str) -> Path:
    """Writes a file; returns its path."""
    path = folder / name
    path.write_bytes(content.encode())
    return path


def test_decimal_commas_do_not_part_the_cells_of_files_without_a_header(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "a.csv", "12;4,5\n13;3,5\n")
    table = tables.read(path, ["user", "rating"], (), "--dataset", NAMED)
    assert table.to_pydict() == {"user": [12, 13], "rating": ["4,5", "3,5"]}


@pytest.mark.parametrize("content", ["a;b,c\n", "1|2;3\n", "1,2;3,4\t5\n"])
def test_several_separators_that_fit_are_refused(content, tmp_path) -> None:
    path = write(tmp_path, "a.csv", content * 2)
    columns = TableFormat(columns=("user", "rating"))
    if content.count(",") > 1:
        columns = TableFormat(columns=("user", "item", "rating"))
        path = write(tmp_path, "a.csv", "1,2,a;b;c\n")
    with pytest.raises(InputError, match="Pass --separator"):
        tables.names(path, "--dataset", columns)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_8_is_told_by_its_first_letters_that_are_not_ascii(
    name, tmp_path
) -> None:
    line = '{"text": "ab"}\n' if name == "a.jsonl" else "text\n"
    path = write(tmp_path, name, line * 30_000 + line.replace("te", "té"))
    windows = TableFormat(encoding="windows-1252")
    with pytest.raises(InputError, match="Pass --encoding=utf-8"):
        tables.read(path, ["text"], (), "--dataset", windows)


def test_zeros_before_codes_are_kept_where_another_file_has_letters(
    tmp_path: Path,
) -> None:
    first = write(tmp_path, "1.csv", "zip,n\n01234,1\n")
    second = write(tmp_path, "2.csv", "zip,n\nK1A,2.5\n")
    table = tables.read(f"{first},{second}", ["zip", "n"])
    assert table.to_pydict() == {"zip": ["01234", "K1A"], "n": [1, 2.5]}


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_quotes_are_checked_whatever_ends_the_lines(end, tmp_path) -> None:
    rows = ["a,b", "1,2", "", '1,"x', *["3,4"] * 60, '5,"y"']
    path = write(tmp_path, "a.csv", end.join(rows) + end)
    with pytest.raises(InputError, match=r"row 2 \(line 4\) has a"):
        tables.read(path, ["a", "b"])


@pytest.mark.parametrize("block", [1, 2, 3, 100])
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_lines_are_counted_across_blocks(end, block) -> None:
    content = end.join(["a", "1", '"2"', ""]).encode()
    file = quotes.CountedFile(io.BytesIO(content))
    while file.read(block):
        pass
    assert not file.may_have_long_cells(3)
    assert file.may_have_long_cells(2)


def test_the_separator_of_long_files_with_carriage_returns(tmp_path) -> None:
    path = write(tmp_path, "a.csv", "a;b\r" + "1;2\r" * 30_000)
    assert tables.names(path) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["punycode", "undefined", "rot13"])
def test_encodings_that_read_no_files_are_refused(encoding: str) -> None:
    with pytest.raises(InputError, match="--encoding must be"):
        TableOptions(encoding=encoding)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-07-25T12:00:00.123Z", NOON),
        ("2018-07-25 14:00:00+02:00", NOON),
        ("2018-07-25T14:00:00.123456789+0200", NOON),
        ("2018-07-25 06:30 -05:30", NOON),
        ("2018-07-25 12:00:00.000000 UTC", NOON),
        ("2018-07-25T14+02", NOON),
        ("2018-07-25", "2018-07-25"),
        ("2018-07-25Z", "2018-07-25"),
        ("2018-07-25T12:00:00+99:00", "NaT"),
        ("2018-07-25T12:00:00+02:00 CEST", "NaT"),
    ],
)
def test_times_with_offsets_are_those_of_utc(text, expected) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        received = dates.times([text])
    np.testing.assert_array_equal(
        received, np.array([expected], "datetime64[s]")
    )


def test_columns_of_times_are_utc_and_have_no_nanoseconds(tmp_path) -> None:
    nanoseconds = write(tmp_path, "a.csv", "t\n2018-07-25 12:00:00.123456789\n")
    zoned = write(tmp_path, "b.csv", "t\n2018-07-25T14:00:00+02:00\n")
    stored = tmp_path / "c.parquet"
    moment = pa.array([np.datetime64(NOON, "ns").astype(int)])
    column = moment.cast(pa.timestamp("ns", "Europe/Berlin"))
    parquet.write_table(pa.table({"t": column}), stored)
    for path in (nanoseconds, zoned, stored):
        shown = [
            str(cell) for cell in tables.read(path, ["t"])["t"].to_pylist()
        ]
        np.testing.assert_array_equal(
            dates.times(shown), np.array([NOON], "datetime64[s]")
        )
        assert "+" not in shown[0]
