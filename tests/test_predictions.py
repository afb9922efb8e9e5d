"""Rows of predictions: printed, and written whole."""

import csv
import json
from pathlib import Path

import pytest

from common import predictions
from common.config import InputError

ROWS = [{"file": "a, b", "score": 0.25}, {"file": "[c]", "score": 1.0}]


def test_rows_are_printed_and_written(tmp_path: Path, capsys) -> None:
    predictions.show(ROWS, str(tmp_path / "out.json"))
    predictions.show(ROWS, str(tmp_path / "out.csv"))
    assert "[c]" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == ROWS
    with (tmp_path / "out.csv").open(newline="") as file:
        assert next(csv.DictReader(file)) == {"file": "a, b", "score": "0.25"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_spreadsheet_runs_no_text(tmp_path: Path) -> None:
    texts = ["=1+1", "+x", "-x", "@x", "\t=x", "\r=x", "a=b", "-5", ""]
    rows = [{"text": text, "score": -0.5} for text in texts]

    def written(raw: bool) -> list[str]:
        path = tmp_path / "out.csv"
        predictions.write(path, rows, raw)
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        assert {row["score"] for row in found} == {"-0.5"}
        return [row["text"] for row in found]

    assert written(raw=True) == texts
    assert written(raw=False) == [f"'{text}" for text in texts[:6]] + texts[6:]
    predictions.write(tmp_path / "out.json", rows)
    assert json.loads((tmp_path / "out.json").read_text()) == rows


@pytest.mark.parametrize("name", ["out.txt", "missing/out.csv"])
def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="--output must"):
        predictions.check_output(str(tmp_path / name))
