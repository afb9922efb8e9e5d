"""Rows of predictions: printed, and written whole."""

import csv
import json
import weakref
from pathlib import Path

import pytest

from common.options import InputError
from common.release import predictions

ROWS = [{"file": "a, b", "score": 0.25}, {"file": "[c]", "score": 1.0}]


def test_rows_are_printed_and_written(tmp_path: Path, capsys) -> None:
    predictions.show(ROWS, str(tmp_path / "out.json"))
    predictions.show(ROWS, str(tmp_path / "out.csv"))
    assert "[c]" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == ROWS
    with (tmp_path / "out.csv").open(newline="") as file:
        assert next(csv.DictReader(file)) == {"file": "a, b", "score": "0.25"}
    assert len(list(tmp_path.iterdir())) == 2


def test_rows_are_written_as_they_come(tmp_path: Path, capsys) -> None:
    """Few rows live at a time; the file is seen when it is whole."""
    path, living = tmp_path / "out.json", weakref.WeakSet()

    class Row(dict):
        __hash__ = object.__hash__

    def rows():
        for index in range(1000):
            row = Row(index=index)
            living.add(row)
            assert len(living) <= predictions.SHOWN + 5 and not path.exists()
            yield row

    predictions.show(rows(), str(path))
    expected = [{"index": index} for index in range(1000)]
    assert path.read_text() == json.dumps(expected, indent=1) + "\n"
    printed = capsys.readouterr().out
    assert "the first 50 of 1000 rows" in printed and " 51 " not in printed


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def rows():
        yield from ROWS
        raise InputError("--inputs must be readable images.")

    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(InputError):
        predictions.show(rows(), str(tmp_path / "out.csv"))
    assert [one.read_text() for one in tmp_path.iterdir()] == ["before"]


def test_a_spreadsheet_runs_no_text(tmp_path: Path) -> None:
    texts = ["=1+1", "+x", "-x", "@x", "\t=x", "\r=x", "a=b", "-5", ""]
    rows = [{"text": text, "score": -0.5} for text in texts]

    def written(raw: bool) -> list[str]:
        path = tmp_path / "out.csv"
        assert list(predictions.write(path, rows, raw)) == rows
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        assert {row["score"] for row in found} == {"-0.5"}
        return [row["text"] for row in found]

    assert written(raw=True) == texts
    assert written(raw=False) == [f"'{text}" for text in texts[:6]] + texts[6:]
    list(predictions.write(tmp_path / "out.json", rows))
    assert json.loads((tmp_path / "out.json").read_text()) == rows


@pytest.mark.parametrize("name", ["out.txt", "missing/out.csv"])
def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="--output must"):
        predictions.check_output(str(tmp_path / name))
