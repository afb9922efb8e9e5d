"""Slices: groups by the columns of a table, and what is shown of them."""

import numpy as np
import pytest
from reports import report_of_toys

from apps.fraud_detect import data, slicing
from apps.fraud_detect.folds import Judged
from apps.fraud_detect.settings import Costs, DataOptions
from apps.text_sentiment import corpus, results
from apps.text_sentiment.config import Config
from common.data import slice_columns
from common.options import InputError
from common.report import card, page, report, slices

COSTS = Costs(alerts=10, top=100, miss=100, alert=5)


def cells(*columns: list[str]) -> np.ndarray:
    return np.array(list(zip(*columns, strict=True)), object)


def counted(split: str, mask: np.ndarray) -> dict[str, float]:
    """Returns a figure that tells which examples were measured."""
    return {"accuracy": float(np.flatnonzero(mask).sum())}


def groups_of(test: list[str], valid: list[str] = ()) -> dict[str, tuple]:
    """Returns the numbers of test and validation examples by group."""
    built = slices.build(
        ("x",), {"valid": cells(list(valid)) if valid else np.empty((0, 1)),
                 "test": cells(test)}, counted,
    )  # fmt: skip
    return {
        row["group"]: (row["test"]["examples"], row["valid"]["examples"])
        for row in built["by"]["x"]
    }


def test_groups_are_measured_apart_on_each_split() -> None:
    test = cells(["a", "b"] * 10, ["u"] * 20)
    valid = cells(["b"] * 3, ["u", "u", "v"])
    built = slices.build(("x", "y"), {"valid": valid, "test": test}, counted)
    assert built["all"]["test"] == {"examples": 20, "accuracy": 190.0}
    first, second = built["by"]["x"]
    assert first == {
        "group": "a", "valid": {"examples": 0},
        "test": {"examples": 10, "accuracy": 90.0},
    }  # fmt: skip
    assert second["valid"] == {"examples": 3, "accuracy": 3.0}
    assert [row["group"] for row in built["by"]["y"]] == [
        "u", "other (1 value)",
    ]  # fmt: skip
    assert slices.build((), {"test": np.empty((3, 0))}, counted) == {}


def test_small_groups_are_put_together() -> None:
    test = ["b"] * 10 + ["a"] * 9 + [""] * 12 + ["c"]
    assert groups_of(test, ["a", "b", "d"]) == {
        "b": (10, 1), "(missing)": (12, 0), "other (3 values)": (10, 2),
    }  # fmt: skip
    many = [f"{i % 30}x" for i in range(20 * 30)] + ["7x"]
    named = groups_of(many)
    assert len(named) == slices.MOST_GROUPS + 1 and named["7x"] == (21, 0)
    assert list(named)[-1] == "other (10 values)"


def test_many_numbers_are_cut_into_quarters_in_order() -> None:
    numbers = [str(i) for i in range(100)]
    assert groups_of([*numbers, *[""] * 10], ["-5", "1e9"]) == {
        "up to 24.75": (25, 1),
        "above 24.75, up to 49.5": (25, 0),
        "above 49.5, up to 74.25": (25, 0),
        "above 74.25": (25, 1),
        "(missing)": (10, 0),
    }
    stars = ["10", "9", "2"] * 10  # Few numbers are groups, in their order.
    assert list(groups_of(stars)) == ["2", "9", "10"]
    assert list(groups_of([*numbers, "nan"])) == ["other (101 values)"]


def test_a_column_that_a_table_lacks_is_one_line(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,region\nx,a,n\n")
    wanted = r"--slice_by must be columns of --dataset; there is no 'regoin' "
    with pytest.raises(
        InputError, match=wanted + "among 'text, label, region'"
    ):
        slice_columns.check(("region", "regoin"), path)
    with pytest.raises(InputError, match="--slice_by needs a --dataset"):
        slice_columns.check_table(("region",), "imdb_reviews")
    for read in (corpus.load, corpus.load_for_evaluation):
        source = corpus.Source(
            str(path), "", "text", "label", "", "", "fail", 0,
            slice_by=("regoin",),
        )  # fmt: skip
        more = () if read is corpus.load else (("a", "b"), "dataset")
        with pytest.raises(InputError, match=wanted):
            read(source, *more)


def test_texts_keep_their_groups(tmp_path) -> None:
    """Through rows that are left out, and the split at random."""
    lines = [f"text {i},{'ab'[i % 2]},{i}" for i in range(40)]
    lines[3] = "text 3,,3"  # It has no label.
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["text,label,number", *lines]) + "\n")
    source = corpus.Source(
        str(path), "", "text", "label", "", "", "fail", 0,
        slice_by=("number", "label"),
    )  # fmt: skip
    for split in corpus.load(source).splits.values():
        for text, label, (number, written) in zip(
            split.texts, split.labels, split.groups, strict=True
        ):
            assert text == f"text {number}" and "ab"[label] == written


def test_text_figures_of_slices_have_intervals() -> None:
    labels = np.array([0, 1] * 20)
    right = np.eye(2)[labels]
    right[:10] = right[:10, ::-1]  # The first ten are wrong.
    texts = corpus.Texts(["x"] * 40, labels, cells(["n"] * 10 + ["s"] * 30))
    judged = corpus.Corpus("x", ("a", "b"), {"test": texts})
    built = results.by_slice({"test": right}, judged, ("region",))
    north, south = (row["test"] for row in built["by"]["region"])
    assert (north["accuracy"], south["accuracy"]) == (0, 1)
    assert south["intervals"]["accuracy"][0] == pytest.approx(0.886, abs=1e-3)
    assert north["intervals"]["accuracy"][1] == pytest.approx(0.278, abs=1e-3)
    assert results.by_slice({"test": right}, judged, ()) == {}


def test_fraud_figures_of_slices_have_intervals() -> None:
    rng = np.random.default_rng(0)
    fraud = (rng.random(400) < 0.2).astype(int)
    fraud[300:] = 0  # A group without a fraud.
    score = fraud + rng.normal(0, 0.5, 400)
    judged = Judged(
        fraud, np.arange(400), np.arange(400) % 7, np.arange(400),
        cells(["n"] * 300 + ["s"] * 100),
    )  # fmt: skip
    built = slicing.build(
        {"test": score}, {"test": judged}, 0.5, COSTS, ("region",)
    )
    north, south = (row["test"] for row in built["by"]["region"])
    assert north["frauds"] == fraud.sum() and south["frauds"] == 0
    low, high = north["intervals"]["average_precision"]
    assert low < north["average_precision"] < high
    assert "average_precision" not in south and "recall" not in south
    assert south["alerts_per_day"] == np.sum(score[300:] >= 0.5) / 7


@pytest.fixture
def table(tmp_path):
    """A table of ready-made features, of which two may be slices."""
    path = tmp_path / "t.csv"
    lines = [
        f"{i * 3600},{i % 9},{'north' if i % 4 else 'south'},{i},{i % 5 == 0:d}"
        for i in reversed(range(100))
    ]
    path.write_text("\n".join(["Time,V1,region,note,Class", *lines]) + "\n")
    return str(path)


def test_a_slice_of_fraud_is_a_feature_only_as_before(table) -> None:
    def load(**changes):
        return data.load(table, DataOptions(**changes).plan(0))

    plain, both = load(), load(slice_by=("region",))
    assert both.names == plain.names == ("V1", "region", "note")
    said = "Of --slice_by these are features too: region."
    assert any(said in note for note in both.folds[0].splits.notes)
    only = load(slice_by=("region", "note"), ignore_columns=("region", "note"))
    assert only.names == ("V1",)
    assert not any("slice" in note for note in only.folds[0].splits.notes)
    (whole,) = data.load_for_evaluation(
        table, DataOptions(slice_by=("note",)).plan(0), only.own, None
    ).folds
    numbers = whole.test.groups[:, 0].tolist()
    assert numbers == [str(i) for i in range(100)]
    # In the order of time, as the labels are.
    test = only.folds[0].test
    assert test.groups[:2].tolist() == [["south", "80"], ["north", "81"]]
    assert test.fraud[:2].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"no 'x' among 'Time, V1, region"):
        load(slice_by=("x",))
    with pytest.raises(InputError, match="--slice_by needs a --dataset"):
        data.load(data.SIMULATED, DataOptions(slice_by=("x",)).plan(0))


def test_transactions_keep_their_groups(tmp_path) -> None:
    lines = [
        f"{i},2018-04-{i // 10 + 1:02} 10:0{i % 10}:00,c{i % 7},t{i % 5},"
        f"{i}.5,{i % 6 == 0:d},{'north' if i % 4 else 'south'}"
        for i in reversed(range(290))
    ]
    header = (
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    )
    path = tmp_path / "t.csv"
    path.write_text("\n".join([f"{header},region", *lines]) + "\n")
    options = DataOptions(
        slice_by=("region", "TERMINAL_ID"), delay=1, test_days=3
    )
    loaded = data.load(str(path), options.plan(0))
    (fold,) = loaded.folds
    # All rows judge a release.
    (whole,) = data.load_for_evaluation(
        str(path), options.plan(0), loaded.own, loaded.history
    ).folds
    assert len(whole.test.ids) == 290
    for judged in (fold.valid, fold.test, whole.test):
        assert len(judged.ids)
        for number, (region, terminal) in zip(
            judged.ids, judged.groups, strict=True
        ):
            assert region == ("north" if number % 4 else "south")
            assert terminal == f"t{number % 5}"


def made(**changes) -> report.Report:
    """Returns a report of toys with slices."""
    result = report_of_toys()

    def row(group: str, accuracy: float, low: float, high: float) -> dict:
        test = {"examples": 50, "accuracy": accuracy, "macro_f1": 0.5}
        test["intervals"] = {"accuracy": [low, high]}
        return {"group": group, "valid": {"examples": 0}, "test": test}

    result["slices"] = {
        "all": {"test": {"examples": 99, "accuracy": 0.9}},
        "by": {
            "site": [
                row("<b>", 0.8, 0.7, 0.85),
                row("other (2 values)", 1, 1, 1),
            ],
            "device": [row("a|b", 0.85, 0.8, 0.95)],
        },
    }
    result |= changes
    result["worst_slice"] = slices.worst(result)
    return result


def test_the_worst_slice_is_said_with_its_interval() -> None:
    assert made()["worst_slice"] == (
        "The worst of 3 slices is site: <b>, whose accuracy on 50 test "
        "examples is 0.8000 (95 % interval 0.7000 to 0.8500), against 0.9000 "
        "on all 99."
    )
    lower_is_better = made(higher_is_better=False)["worst_slice"]
    assert "is site: other (2 values), whose" in lower_is_better
    one = made()
    del one["slices"]["by"]["site"]
    assert slices.worst(one).endswith("that figure: it may be chance.")
    one["slices"]["by"]["device"][0]["test"] = {"examples": 3}
    assert slices.worst(one) == ""


def test_slices_are_in_report_page_and_card(tmp_path, capsys) -> None:
    result = made()
    report.write(tmp_path / "report", result, [])
    html = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert (
        "<dt>Worst slice</dt><dd>The worst of 3 slices is site: &lt;b&gt;"
        in html
    )
    assert html.index("Worst slice") < html.index("In short")
    assert "<h2>Slices by site</h2>" in html
    text = (tmp_path / "report" / card.NAME).read_text("utf-8")
    assert text == card.render(report.read(tmp_path))
    assert "- The worst of 3 slices is site: &lt;b&gt;" in text
    row = r"| a\|b | 50 | 0.8500 | 0.8000 to 0.9500 |"
    assert row in text.split("### Slices by device")[1]
    assert "| all | 99 | 0.9000 |" in text
    report.print_table(result, tmp_path)
    assert "note: The worst of 3 slices" in capsys.readouterr().out
    assert "Slices" not in page.render(report_of_toys(), [])


def test_naming_slices_changes_no_training() -> None:
    plain, sliced = (
        Config(dataset="a.csv"),
        Config(dataset="a.csv", slice_by=("region",)),
    )
    assert plain.digest() == sliced.digest()
