import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from reports import SUBJECT, report_of_toys, variant

from common.data.splits import MemorySplit, Splits
from common.report import page, plots, portable, report
from common.shared_options import Options
from common.training import fitting


@pytest.fixture
def made() -> report.Report:
    return report_of_toys()


def test_measuring_a_part_of_a_split_is_noted(made) -> None:
    split = MemorySplit(np.zeros((30, 1)), np.zeros(30, np.int64))
    splits = Splits("toy", ("a", "b"), split, split, split)
    for most, expected in ((0, False), (30, False), (20, True)):
        result = report.build(
            "image_classify", Options(measure_examples=most), splits,
            subject=SUBJECT, num_weights=0, task_metric="accuracy",
            metrics={"test": {}},
            variants=[], refused=[],
            log=fitting.Log({}, 0.0, 0.0), serving={},
        )  # fmt: skip
        assert any("20 random" in note for note in result["notes"]) == expected


def pictures(made: report.Report) -> list[plots.Plot]:
    return [
        plots.size_against_metric(made["variants"], "accuracy", 0.005),
        plots.learning_curves(made["history"], "accuracy"),
        plots.confusion(np.array([[5, 1], [0, 9]]), ["a", "<b>"]),
    ]


def test_no_path_of_the_author_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    split = MemorySplit(np.zeros((3, 1)), np.zeros(3, np.int64))
    options = Options(
        dataset=str(tmp_path / "scans" / "new"),
        data_dir="/home/jane.doe/tensorflow_datasets/",
        export_dir="relative/releases",
        prune_layers=("/home/jane.doe/x", "dense"),
        server="",
    )
    said = (
        f"{tmp_path / 'scans' / 'new' / 'a.png'} is empty",
        "/home/jane.doe/tensorflow_datasets/x and file:///home/bob/y are old",
        f"classes: /m/01g317, and {tmp_path}",
    )
    made = report.build(
        "app", options, Splits("scans", (), split, split, split, said),
        subject=SUBJECT, num_weights=0, task_metric="loss",
        metrics={"test": {}},
        log=fitting.Log({}, 1.0, 1.0),
        variants=[], refused=[], serving={},
    )  # fmt: skip
    assert made["config"]["dataset"] == "scans/new"
    assert made["config"]["data_dir"] == "tensorflow_datasets"
    assert made["config"]["export_dir"] == "relative/releases"
    assert made["config"]["prune_layers"] == ["x", "dense"]
    assert made["config"]["epochs"] == 10
    assert made["notes"] == [
        "new/a.png is empty",
        "tensorflow_datasets/x and y are old",
        "classes: /m/01g317, and ",
    ]


def test_the_json_has_the_documented_keys(made, tmp_path: Path) -> None:
    report.write(tmp_path / "report", made, pictures(made))
    result = report.read(tmp_path)
    assert result == json.loads(json.dumps(made))
    assert list(result) == [
        "app", "date", "title", "model", "use", "limits", "dataset", "notes",
        "refused_variants", "classes", "config", "paths", "parts", "versions",
        "seed", "task_metric", "higher_is_better", "metrics", "terms",
        "baselines", "variants", "serving", "training", "history", "summary",
    ]  # fmt: skip
    assert result["dataset"] == {
        "name": "<toy> & co", "train": 3, "valid": 3, "test": 3,
    }  # fmt: skip
    assert result["classes"]["train"] == {"a": 3, "<b>": 0}
    assert result["model"] == {"name": "small_net", "weights": 1234}
    datetime.date.fromisoformat(result["date"])
    assert result["training"]["epochs"] == 2
    assert result["training"]["seconds"] == 12.5
    assert result["training"]["peak_memory_mb"] > 50
    assert result["training"]["machine"].endswith("processors")
    assert result["versions"]["tensorflow"]


def test_the_page_needs_no_other_file_and_escapes(made, tmp_path) -> None:
    report.write(tmp_path / "report", made, pictures(made))
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert 'src="http' not in page and "<script" not in page
    for raw in ("<toy>", "<b>1", "<layer>"):
        assert raw not in page
    for shown in ("&lt;toy&gt; &amp; co", "one repair", "most frequent"):
        assert shown in page
    for plot in pictures(made):
        png = (tmp_path / "report" / f"{plot.name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")


def test_a_figure_that_a_split_lacks_is_an_empty_cell(made) -> None:
    made["metrics"]["test"]["auroc"] = 0.8  # As if valid had only one class.
    html = page.render(made, [])
    assert 'auroc</th><td data-label="test" class="number">0.8000' in html
    assert '0.8000</td><td data-label="validation" class="number"></td>' in html


def test_the_layers_of_low_rank_are_listed(made) -> None:
    assert "ranks" not in made
    result = report.build(
        made["app"], Options(), Toy(), subject=SUBJECT, num_weights=0,
        task_metric="accuracy",
        metrics=made["metrics"], log=fitting.Log(made["history"], 1.0, 1.0),
        variants=made["variants"], refused=[], serving=made["serving"],
        ranks={"dense": 4, "embedding": 16},
    )  # fmt: skip
    assert result["ranks"] == {"dense": 4, "embedding": 16}
    layers = "dense (rank 4), embedding (rank 16)"
    assert f"lowrank made two layers of each of {layers}" in result["notes"]


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_null_and_says_why(
    made, tmp_path, capsys, figure
) -> None:
    def built(**changes):
        return report.build(
            made["app"], Options(), Toy(), subject=SUBJECT, num_weights=0,
            task_metric="accuracy",
            metrics={key: {"accuracy": figure} for key in ("valid", "test")},
            log=fitting.Log(
                {**made["history"], "val_loss": [0.5, figure]}, 1.0, 1.0
            ),
            variants=[{**row, **changes} for row in made["variants"]],
            refused=[], serving=made["serving"],
        )  # fmt: skip

    result = built(metric=figure, drop=figure)
    assert (
        f"history.val_loss[1] is null: its value is {figure}."
        in result["notes"]
    )
    assert result["metrics"]["test"]["accuracy"] is None
    report.write(tmp_path / "report", result, pictures(result))
    report.print_table(result, tmp_path)
    text = (tmp_path / "report" / "report.json").read_text("utf-8")
    refuse = pytest.fail
    assert json.loads(text, parse_constant=refuse) == result
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert ">nan<" not in page and ">inf<" not in page
    assert "metrics.test.accuracy is null" in capsys.readouterr().out


class Toy:
    """Data that describe themselves."""

    notes = ()

    def describe(self) -> dict:
        return {"name": "toy", "train": 3, "valid": 3, "test": 3}

    def class_counts(self) -> dict:
        return {}


def test_the_table_on_the_console(made, capsys) -> None:
    report.print_table(made, Path("saved_models/image_classify/3"))
    lines = capsys.readouterr().out
    assert "image_classify on <toy> & co (3 train, 3 valid, 3 test)" in lines
    assert "refused qat: an LSTM <layer>" in lines
    assert "chosen   int8 -> saved_models/image_classify/3/mobile" in lines
    row = page.rows(made)[2]
    assert row[:4] == ["int8", "0.9000", "0.9100", "0.0010"]
    assert row[6] == "3.0"


def test_classes_are_counted_where_labels_are_classes() -> None:
    def counts(labels: np.ndarray, names: tuple[str, ...] = ("a", "b")) -> dict:
        split = MemorySplit(np.zeros((len(labels), 1)), labels)
        return Splits("toy", names, split, split, split).class_counts()

    assert counts(np.array([1, 0, 1]))["test"] == {"a": 1, "b": 2}
    assert counts(np.array([1, 0, 1]), ()) == {}
    assert counts(np.array([0, 2])) == counts(np.array([0, -1])) == {}
    assert counts(np.eye(2)) == {}


def test_many_classes_fit_a_confusion_plot() -> None:
    plot = plots.confusion(np.eye(200, dtype=int), [str(i) for i in range(200)])
    assert not plot.figure.axes[0].texts


def test_curves_of_many_epochs() -> None:
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    plot = plots.learning_curves(
        {name: [0.5] * 30 for name in names}, "accuracy"
    )
    assert len(plot.figure.axes) == 2


def test_cells_of_sentences_wrap(made) -> None:
    html = page.render(made, [])
    table = page.Table("a", "b", ["c", "d"], [["short", "word " * 20]])
    assert page.render(made, [table]).count('class="long"') == 1 + html.count(
        'class="long"'
    )


def test_text_of_a_table_is_escaped_and_its_figures_have_four_digits(
    made,
) -> None:
    table = page.Table("<i>", "&", ["{{ 1 }}"], [[0.123456], ["<script>"], [7]])
    html = page.render(made, [table])
    assert "<h2>&lt;i&gt;</h2>" in html and ">{{ 1 }}</th>" in html
    assert ">0.1235</th>" in html and ">7</th>" in html
    assert ">&lt;script&gt;</th>" in html and "<script" not in html


def test_a_release_below_a_baseline_says_so() -> None:
    rows = [
        {"name": "random", "metrics": {"ap": 0.01}},
        {"name": "logistic regression", "metrics": {"ap": 1.0}},
        {"name": "other figures", "metrics": {"auc": 1.0}},
    ]
    sentences = report.shortfalls("ap", {"ap": 0.053}, rows, [], 0.005)
    assert sentences == [
        "Worse than a simple baseline on test: ap 0.0530, logistic regression "
        "1.0000."
    ]
    for equal in (1.0, 0.99999):  # Both are printed as 1.0000.
        assert report.shortfalls("ap", {"ap": equal}, rows, [], 0.005) == []
    # A lower error is better.
    sentences = report.shortfalls("ap", {"ap": 0.5}, rows, [], 0.005, False)
    assert sentences == [
        "Worse than a simple baseline on test: ap 0.5000, random 0.0100."
    ]


def test_a_part_that_is_better_alone_is_no_baseline() -> None:
    rows = [
        {"name": "its words alone", "part": True, "metrics": {"ap": 0.8}},
        {"name": "random", "metrics": {"ap": 0.6}},
    ]
    assert report.shortfalls("ap", {"ap": 0.7}, rows, [], 0.005) == [
        "Worse than a part of it on test: ap 0.7000, its words alone 0.8000."
    ]


def test_a_class_keeps_its_slash_where_the_root_is_the_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/")
    assert portable.texts("/m/01g317", {"dataset": "/a.csv"}) == "/m/01g317"


def test_a_chosen_file_that_drops_more_on_test_says_so() -> None:
    rows = [variant("float32"), variant("int8", drop=0.02, chosen=True)]
    sentences = report.shortfalls("accuracy", {"accuracy": 0.9}, [], rows, 0.01)
    assert sentences == [
        "The chosen file, int8, drops more on test than --max_drop=0.01 "
        "allows on validation: accuracy by 0.0200."
    ]
    rows[1]["drop"] = 0.01
    assert not report.shortfalls("accuracy", {"accuracy": 0.9}, [], rows, 0.01)


def test_shortfalls_are_the_first_notes_everywhere(
    made, tmp_path, capsys
) -> None:
    split = MemorySplit(np.zeros((3, 1)), np.zeros(3, np.int64))
    splits = Splits("toy", ("a", "b"), split, split, split, ("a repair",))
    keys = ("task_metric", "higher_is_better", "metrics", "variants", "serving")
    result = report.build(
        "image_classify", Options(), splits, subject=SUBJECT, num_weights=0,
        log=fitting.Log(made["history"], 1.0, 1.0), refused=[],
        baselines=[{"name": "guessing", "metrics": {"accuracy": 0.95}}],
        **{key: made[key] for key in keys},
    )  # fmt: skip
    first, second = result["notes"]
    assert "guessing 0.9500" in first and second == "a repair"
    html = page.render(result, [])
    assert html.index("guessing 0.9500") < html.index('class="cards"')
    report.print_table(result, tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"note: {first}" in printed


def test_the_most_frequent_class_is_a_baseline() -> None:
    from common.report import metrics

    row = metrics.most_frequent(np.array([1, 1, 0]), np.array([1, 0, 0, 0]))
    assert row == {
        "name": "most frequent class", "metrics": {"accuracy": 0.25},
    }  # fmt: skip


def test_what_other_files_would_cost_is_said(made, capsys) -> None:
    assert page.trade_offs(made) == []
    made["variants"] = [
        variant("float32", valid_metric=0.92, pareto=True),
        variant("int8", gzip_bytes=450, valid_metric=0.915, pareto=True),
        variant("dynamic", gzip_bytes=460, valid_metric=0.915, pareto=False),
        variant("qat", gzip_bytes=300, chosen=True, pareto=True),
    ]
    front, better = page.trade_offs(made)
    assert front.endswith("accuracy and latency: float32, int8, qat.")
    assert better == (
        "The smallest file that is better than qat is int8: its validation "
        "accuracy is better by 0.0050, and it has 1.5 times the bytes."
    )
    report.print_table(made, Path("release"))
    shown = " ".join(capsys.readouterr().out.split())
    assert front in shown and better in shown
    assert better in page.render(made, [])
    made["higher_is_better"] = False  # Then the chosen file is the best.
    assert len(page.trade_offs(made)) == 1
