"""Interactions as people have them, each with the right rows."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pytest
from interaction_schemas import (
    RETAIL,
    ROWS,
    SCHEMAS,
    START,
    epoch,
    invoices,
    lines,
    retail,
)
from pyarrow import parquet

from apps.recommender import data, interactions, protocols
from apps.recommender import train as app
from common.options import InputError


@pytest.fixture(params=SCHEMAS)
def schema(request, tmp_path: Path) -> tuple[app.Config, set, str]:
    make, span = SCHEMAS[request.param]
    name, options, expected = make(tmp_path)
    return app.Config(dataset=str(tmp_path / name), **options), expected, span


def taken(protocol: protocols.Protocol) -> set[tuple[str, str]]:
    """Returns the users and items of all interactions."""
    ids, items = protocol.data.catalogue.ids, protocol.data.items
    return {
        (protocol.data.user_ids[user], ids[item])
        for user in range(len(items))
        for item in items[user]
    }


@pytest.mark.parametrize("protocol", ["leave_last_out", "random_75_25"])
def test_a_schema_gives_its_interactions(schema, protocol) -> None:
    config, expected, span = schema
    read = app.load_data(config.replace(protocol=protocol))
    assert taken(read) == expected
    sizes = read.describe()
    assert sizes["users"] == len({user for user, _ in expected})
    assert sizes["items"] == len({item for _, item in expected})
    held = sizes["train"] + sizes["valid"] + sizes["test"]
    assert held == len(expected) == len(read.data.items.values)
    assert sizes.get("times", "") == span


def test_a_schema_is_announced(schema, capsys) -> None:
    config, expected, span = schema
    read = app.load_data(config)
    read.announce()
    printed = capsys.readouterr().out.splitlines()
    users, items = ({pair[place] for pair in expected} for place in (0, 1))
    line = (
        f"{len(users)} users, {len(items)} items, {len(expected)} interactions"
    )
    assert printed[0].endswith(f": {line}" + (f", from {span}" if span else ""))
    assert printed[1].startswith("leave_last_out: ")
    assert "the target is the held-out item" in printed[1]
    name = Path(config.dataset).name
    assert printed[2].startswith(
        f"note: read {ROWS} rows of {name}: users are in"
    )
    least = f"rows rated {config.min_rating:g} or more count as taken"
    assert sum(least in line for line in printed) == 1


def test_returns_and_guests_are_counted(tmp_path: Path) -> None:
    name, options, _ = retail(tmp_path)
    config = app.Config(dataset=str(tmp_path / name), **options)
    rows = invoices()
    guests = [row for row in rows if not row[6]]
    returned = [row for row in rows if row[6] and row[3] < 0]
    notes = app.load_data(config).notes
    assert f"{len(guests)} rows without a user id left out" in notes
    assert f"{len(returned)} rows rated below 0 left out" in notes
    ids = len(rows) - len(guests)
    assert f"{ids} ids of CustomerID were read without their .0" in notes
    assert any(note.startswith("ratings are from -5 to 5:") for note in notes)
    one = app.load_data(config.replace(min_rating=3.0))
    assert taken(one) == {
        (row[6].removesuffix(".0"), row[1])
        for row in rows if row[6] and row[3] >= 3
    }  # fmt: skip


def floats(path: Path) -> None:
    ids = [float(row[6]) if row[6] else math.nan for row in invoices()]
    write_parquet(path, ids)


def whole(path: Path) -> None:
    ids = [int(float(row[6])) if row[6] else None for row in invoices()]
    write_parquet(path, ids)


def write_parquet(path: Path, ids: list) -> None:
    columns = dict(zip(RETAIL, zip(*invoices(), strict=True), strict=True))
    parquet.write_table(pa.table({**columns, "CustomerID": ids}), path)


def workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(RETAIL)
    for row in invoices():
        customer = float(row[6]) if row[6] else None
        book.active.append([*row[:6], customer, row[7]])
    book.save(path)


def rewritten(path: Path, customer) -> None:
    rows = [
        [*row[:6], customer(row[6], place), row[7]]
        for place, row in enumerate(invoices())
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([RETAIL, *rows])


def json_lines(path: Path) -> None:
    with path.open("w") as file:
        for row in invoices():
            entry = dict(zip(RETAIL, row, strict=True))
            entry["CustomerID"] = float(row[6]) if row[6] else None
            file.write(json.dumps(entry) + "\n")


SPELLINGS = {
    "floats.parquet": floats,
    "whole.parquet": whole,
    "book.xlsx": workbook,
    "lines.jsonl": json_lines,
    "plain.csv": lambda path: rewritten(path, lambda x, _: x[:5]),
    "both.csv": lambda path: rewritten(
        path, lambda x, place: x if place % 2 else x[:5]
    ),
    "spaces.csv": lambda path: rewritten(
        path, lambda x, place: f" {x[:5]}" if place % 2 else f"{x[:5]} "
    ),
    "nan.csv": lambda path: rewritten(path, lambda x, _: x or "NaN"),
    "null.csv": lambda path: rewritten(path, lambda x, _: x[:5] or "NULL"),
    "excel.csv": lambda path: rewritten(path, lambda x, _: x[:5] or "#N/A"),
    "pandas.csv": lambda path: rewritten(path, lambda x, _: x[:5] or "<NA>"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_ids_are_the_same_however_they_are_written(name, tmp_path) -> None:
    _, options, expected = retail(tmp_path)
    SPELLINGS[name](tmp_path / name)
    read = app.load_data(app.Config(dataset=str(tmp_path / name), **options))
    assert taken(read) == expected
    guests = sum(not row[6] for row in invoices())
    assert f"{guests} rows without a user id left out" in read.notes


def test_ids_that_are_no_whole_numbers_stay(tmp_path: Path) -> None:
    rows = [(user, version) for user in ("a", "b")
            for version in ("1.0", "2.1", "007.0")]  # fmt: skip
    lines(tmp_path / "a.csv", ",", [("user_id", "item_id"), *rows])
    read = app.load_data(app.Config(dataset=str(tmp_path / "a.csv")))
    assert set(read.data.catalogue.ids[1:]) == {"1.0", "2.1", "007.0"}


@pytest.mark.parametrize("cell", ["", "nan", "NULL", "None", "#N/A", "<NA>"])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_rows_without_an_id_are_left_out_and_counted(
    cell, column, tmp_path: Path
) -> None:
    rows = [(user, item) for user in "abc" for item in "wxyz"]
    bad = ("a", cell) if column == "item_id" else (cell, "w")
    names = ("user_id", "item_id")
    lines(tmp_path / "a.csv", ",", [names, bad, *rows[:5], bad, *rows[5:]])
    read = app.load_data(app.Config(dataset=str(tmp_path / "a.csv")))
    assert taken(read) == set(rows)
    what = column.replace("_", " ")
    assert f"2 rows without a {what} left out" in read.notes


@pytest.mark.parametrize("column", ["time", "rating"])
def test_a_row_without_a_time_or_a_rating_is_refused(column, tmp_path) -> None:
    rows = [(user, item, 1) for user in "abc" for item in "wxyz"]
    names = ("user_id", "item_id", column)
    lines(tmp_path / "a.csv", ",", [names, *rows, ("a", "v", "")])
    config = app.Config(
        dataset=str(tmp_path / "a.csv"), **{f"{column}_column": column}
    )
    with pytest.raises(InputError, match=f"the {column} in every row"):
        app.load_data(config)
    read = app.load_data(config.replace(on_bad_input="skip"))
    assert f"1 rows without a {column} left out" in read.notes


SPANS = [
    ((978300760.0, 1046454590.0), "2000-12-31 to 2003-02-28"),
    ((978300760e3, 1046454590e3), "2000-12-31 to 2003-02-28"),
    ((20101201082600.0, 20111209125000.0), "2010-12-01 to 2011-12-09"),
    ((0.0, 299.0), "0 to 299"),
    ((1.0, 1e6), "1 to 1e+06"),
    ((-5.0, 978300760.0), "-5 to 9.78301e+08"),
]


@pytest.mark.parametrize(("span", "text"), SPANS)
def test_times_are_shown_as_dates_if_they_can_be(span, text) -> None:
    assert protocols.between(*span) == text


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_parquet_are_seconds(tmp_path: Path, unit: str) -> None:
    moments = np.array([epoch(START) * 10**9 + 1], "datetime64[ns]")
    path = tmp_path / "a.parquet"
    times = moments.astype(f"datetime64[{unit}]")
    parquet.write_table(pa.table({"u": [1], "i": [1], "t": times}), path)
    raw = data.read_table(str(path), user="u", item="i", time="t")
    assert raw.time.tolist() == [epoch(START)]


@pytest.mark.parametrize(
    ("least", "sentence", "left_out"),
    [
        (0.0, "from -2 to 5: rows rated 0 or more count", "1 rows rated"),
        (3.0, "from -2 to 5: rows rated 3 or more count", "2 rows rated"),
    ],
)
def test_a_column_of_ratings_says_what_it_changes(
    least, sentence, left_out
) -> None:
    raw = interactions.Raw(
        np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), ["a", "b"],
        ["x", "y", "z"], rating=np.array([5.0, -2, 1, 4, 3]),
    )  # fmt: skip
    notes = interactions.clean("mine", raw, min_rating=least).notes
    assert any(sentence in note for note in notes)
    assert any(note.startswith(left_out) for note in notes)
