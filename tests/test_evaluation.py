"""What a release is judged by, and what is said of it."""

import json
from pathlib import Path

import pytest

from common.options import InputError, as_trained
from common.release import evaluation
from common.report import report
from common.shared_options import Options


@pytest.mark.parametrize(
    ("dataset", "whole"),
    [
        ("new.csv", True),
        ("folder", True),
        ("folder/../folder", True),
        ("old.csv", False),  # What it was trained on, named in any way.
        ("./folder/../old.csv", False),
        ("mnist", False),  # A TFDS name.
        ("none.csv", False),
        ("", False),
        ("x" * 5000, False),
    ],
)
def test_a_file_that_is_named_is_judged_whole(
    tmp_path, monkeypatch, dataset, whole
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("new.csv", "old.csv"):
        (tmp_path / name).touch()
    trained = {"dataset": "old.csv"}
    options = Options(mode="evaluate", dataset=dataset)
    assert evaluation.is_whole(options, trained) == whole
    absolute = options.replace(dataset=str(Path(dataset).absolute()))
    if dataset:
        assert evaluation.is_whole(absolute, trained) == whole
    # What the release remembers is not named on the command line.
    remembered = as_trained(Options(mode="evaluate"), trained)
    assert remembered.dataset == "old.csv"


def test_a_folder_of_the_data_of_training_is_no_new_data(tmp_path) -> None:
    (tmp_path / "photos" / "train").mkdir(parents=True)
    (tmp_path / "photos2").mkdir()
    own = str(tmp_path / "photos")
    trained = {"dataset": own, "paths": {"dataset": report.path_digest(own)}}
    options = Options(mode="evaluate", dataset=f"{own}/train")
    with pytest.raises(InputError, match="train is only some of these"):
        evaluation.is_whole(options, trained)
    new = options.replace(dataset=str(tmp_path / "photos2"))
    assert evaluation.is_whole(new, trained)


def test_what_cannot_be_computed_is_null_with_the_reason() -> None:
    found = evaluation.describe(
        "x.csv", 3, "all", {"loss": float("nan"), "accuracy": 0.5},
        {"auc": "there is one class"}, ("left out 1",),
    )  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "dataset": "x.csv", "examples": 3, "split": "all",
        "loss": None, "accuracy": 0.5, "auc": None,
        "not_computed": {
            "loss": "it is not a finite number", "auc": "there is one class",
        },
        "notes": ["left out 1"],
    }  # fmt: skip
    plain = evaluation.describe("mnist", 9, "test", {"loss": 1.0}, {})
    assert "not_computed" not in plain and "notes" not in plain
