"""The record of published figures: floors, comparison, tables, pages."""

import copy
from pathlib import Path

import flagfiles
import pytest

from benchmarks import published, results
from common.options import InputError

ROOT = Path(__file__).resolve().parents[1]


def report(accuracy: float, gzip_bytes: int = 10_000) -> dict:
    """Returns what the comparison reads of a report."""
    rows = {"float32": 100_000, "int8": gzip_bytes}
    return {
        "metrics": {"test": {"accuracy": accuracy}},
        "dataset": {"test": 1000},
        "variants": [
            {"name": name, "metric": accuracy, "gzip_bytes": size,
             "chosen": name == "int8"}
            for name, size in rows.items()
        ],
    }  # fmt: skip


@pytest.fixture
def setting() -> published.Setting:
    """A setting that was published with one seed."""
    empty = {
        "app": "image_classify", "data": {}, "task_metric": "accuracy",
        "metrics": {"accuracy": "accuracy"}, "seeds": {"0": {}}, "files": {},
    }  # fmt: skip
    return published.measured(empty, {"0": report(0.9)})


def test_a_new_figure_gets_its_floor_from_its_interval(setting) -> None:
    figure = setting["seeds"]["0"]["accuracy"]
    assert figure["value"] == 0.9
    assert figure["interval"] == [0.8798, 0.9171]  # Wilson's, 900 of 1,000.
    assert figure["floor"] == 0.8798


def test_floors_do_not_creep_down(setting) -> None:
    again = published.measured(setting, {"0": report(0.885)})
    figure = again["seeds"]["0"]["accuracy"]
    assert figure["value"] == 0.885 and figure["floor"] == 0.8798


@pytest.mark.parametrize(
    ("test", "floor"),
    [
        ({"auc": 0.8, "auc_low": 0.75, "auc_high": 0.85}, 0.75),
        ({"auc": 0.8, "intervals": {"auc": [0.7, 0.9]}}, 0.7),
        ({"auc": 0.8}, None),  # One seed says nothing of another.
    ],
)
def test_floors_come_from_the_reports_intervals(setting, test, floor) -> None:
    entry = {**setting, "metrics": {"auc": "AUC"}, "seeds": {}}
    new = published.measured(
        entry, {"0": {**report(0.9), "metrics": {"test": test}}}
    )
    assert new["seeds"]["0"]["auc"].get("floor") == floor


def test_seeds_say_how_far_another_may_fall(setting) -> None:
    # t(0.975, 2) = 4.303, deviation 0.01, and once more for the new seed.
    spread = published.prediction_spread([0.69, 0.7, 0.71])
    assert spread == pytest.approx(4.303 * 0.01 * (4 / 3) ** 0.5, rel=1e-3)
    entry = {**setting, "metrics": {"auc": "AUC"}, "seeds": {}}
    reports = {
        str(seed): {**report(0.9), "metrics": {"test": {"auc": value}}}
        for seed, value in enumerate((0.69, 0.7, 0.71))
    }
    new = published.measured(entry, reports)
    assert new["seeds"]["1"]["auc"]["floor"] == pytest.approx(
        0.7 - spread, abs=1e-4
    )


@pytest.mark.parametrize(
    ("accuracy", "gzip_bytes", "sentences"),
    [
        (0.9, 10_000, []),
        (0.88, 10_400, []),
        (0.95, 9_000, []),
        (
            0.879,
            10_000,
            ["below its floor", "float32: accuracy", "int8: accuracy"],
        ),
        (0.9, 10_600, ["int8: 9.4 times smaller"]),
    ],
)
def test_what_falls_below_is_said(
    setting, accuracy, gzip_bytes, sentences
) -> None:
    new = published.measured(setting, {"0": report(accuracy, gzip_bytes)})
    said = published.shortfalls("mnist", setting, new)
    assert len(said) == len(sentences)
    for line, part in zip(said, sentences, strict=True):
        assert line.startswith("mnist") and part in line


def test_a_file_that_is_missing_is_said(setting) -> None:
    new = copy.deepcopy(setting)
    del new["files"]["int8"]
    assert published.shortfalls("mnist", setting, new) == [
        "mnist: int8 was not made."
    ]


def test_tables_show_files_and_seeds(setting) -> None:
    found = published.tables({"mnist": setting}, "image_classify")
    assert found["mnist"].splitlines() == [
        "| variant | accuracy | gzip kB | times smaller |",
        "| --- | --- | --- | --- |",
        "| float32 | 0.9000 | 100.0 | 1.0 |",
        "| **int8** | 0.9000 | 10.0 | 10.0 |",
    ]
    assert found["mnist seeds"].splitlines()[2:] == [
        "| 0 | 0.9000 (0.8798 to 0.9171) |"
    ]
    assert published.tables({"mnist": setting}, "recommender") == {}


def test_only_what_is_between_markers_is_written() -> None:
    page = (
        "# App\n<!-- results: a -->\nold\n<!-- end -->\ntext\n"
        "<!-- results: a seeds -->\n<!-- end -->\nlast\n"
    )
    filled = published.fill(page, {"a": "| 1 |", "a seeds": "| 2 |"})
    assert filled == (
        "# App\n<!-- results: a -->\n| 1 |\n<!-- end -->\ntext\n"
        "<!-- results: a seeds -->\n| 2 |\n<!-- end -->\nlast\n"
    )
    assert published.fill(filled, {"a": "| 1 |", "a seeds": "| 2 |"}) == filled


@pytest.mark.parametrize(
    "page",
    [
        "<!-- results: b -->\n<!-- end -->\n",
        "<!-- results: a -->\nold\n",
        "<!-- results: a -->\n<!-- results: a -->\n<!-- end -->\n",
    ],
)
def test_a_wrong_marker_is_named(page) -> None:
    with pytest.raises(InputError, match=r"the marker of '.' must name"):
        published.fill(page, {"a": "| 1 |"})


def test_every_published_flagfile_is_in_the_record() -> None:
    record = published.read()
    names = {path.stem for path in flagfiles.FOLDER.glob("*.flags")}
    assert set(record) <= names
    unpublished = {n for n in names if n.endswith("_demo")}
    unpublished.add("image_classify_cifar10")  # Nobody states a figure of it.
    assert names - unpublished <= set(record)
    for name, setting in record.items():
        assert name.startswith(setting["app"])


@pytest.mark.parametrize("page", sorted(ROOT.glob("apps/*/README.md")), ids=str)
def test_pages_show_the_record(page) -> None:
    text = page.read_text("utf-8")
    contents = published.tables(published.read(), page.parent.name)
    assert published.fill(text, contents) == text


def test_data_that_are_nowhere_end_it_before_it_begins(monkeypatch) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    config = results.Config(only=("image_classify_mnist",))
    with pytest.raises(InputError, match="TFDS_DATA_DIR must name the data"):
        results.main(config)
    with pytest.raises(InputError, match="--only must be of"):
        results.main(results.Config(only=("mnist",)))


def test_a_figure_that_fell_ends_with_status_1(
    setting, monkeypatch, tmp_path
) -> None:
    page = tmp_path / "apps/image_classify"
    page.mkdir(parents=True)
    page = page / "README.md"
    page.write_text("<!-- results: mnist -->\n<!-- end -->\n")
    figures = iter((0.87, 0.91))
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(published, "read", lambda: {"mnist": setting})
    written = []
    monkeypatch.setattr(published, "write", written.append)
    monkeypatch.setattr(results, "run", lambda *words: report(next(figures)))
    with pytest.raises(SystemExit) as ended:
        results.main(results.Config())
    assert ended.value.code == 1 and not written
    assert "0.87" not in page.read_text()
    results.main(results.Config())
    assert written[0]["mnist"]["seeds"]["0"]["accuracy"]["value"] == 0.91
    assert "| **int8** | 0.9100 | 10.0 | 10.0 |" in page.read_text()
