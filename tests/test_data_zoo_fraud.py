"""Tables as the public has them, end to end: trained, served, predicted."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import demo_pages
import fraud_schemas
import numpy as np
import pytest
from pyarrow import csv

from apps.fraud_detect import predict
from apps.fraud_detect import train as app
from common import runtime
from common.release import served
from common.serving import embedded

TINY = {
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 4e-3,
    "units": ("32",),
    "bins": 8,
    "alerts": 20.0,
    "delay": 3,
    "test_days": 5,
    "variants": ("float32", "int8"),
}


SCHEMAS = [
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("cards", "orders")
    else name
    for name in fraud_schemas.WRITERS
]


@pytest.fixture(scope="module", params=SCHEMAS)
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, app.Config, dict]]:
    """Trains on a schema, once; gives its name, the options and the report."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    with contextlib.chdir(folder):
        fraud_schemas.WRITERS[name](folder / "table.csv", 4_000)
        config = app.Config(
            dataset="table.csv", **TINY, **fraud_schemas.OPTIONS[name]
        )
        runtime.start(0)
        yield name, config, app.run(config)


def scorer_of(config: app.Config) -> predict.Scorer:
    release = Path(config.export_dir) / "fraud_detect" / "1"
    return predict.Scorer(served.Local(release))


def test_the_model_learns_and_says_where_a_baseline_wins(released) -> None:
    name, _, result = released
    test = result["metrics"]["test"]
    assert test["auc_roc"] > 0.62, name
    best = max(
        row["metrics"]["average_precision"] for row in result["baselines"]
    )
    worse = "Worse than a simple baseline on test"
    is_said = any(note.startswith(worse) for note in result["notes"])
    assert is_said == (best > test["average_precision"])
    # Every file was measured, with gaps and categories.
    assert {row["name"] for row in result["variants"]} == {"float32", "int8"}
    assert result["variants"][0]["max_abs_error"] < 1e-4


def test_what_was_read_is_said(released) -> None:
    name, _, result = released
    notes = " ".join(result["notes"])
    words = {
        "paysim": ["customers whose fraud is known"],
        "cards": ["Missing cells", "V1 ", "V28 ", "in the order of time"],
        "claims": ["Category 9 ", "no column of times"],
        "orders": ["device ", "There is no column TERMINAL_ID"],
    }[name]
    assert [word for word in words if word not in notes] == []


def test_features_are_the_tables_own_columns_too(released) -> None:
    name, config, _ = released
    features = scorer_of(config).names
    expected = {
        "paysim": {"type", "oldbalanceOrg", "terminal_count_1d", "night"},
        "cards": {"V1", "V28", "Amount"},
        "claims": {"Category_0", "Monthly_Premium"},
        "orders": {"device", "ship_city", "signed_up", "customer_mean_7d"},
    }[name]
    assert expected <= set(features)
    left_out = {
        "paysim": {"isFraud", "isFlaggedFraud", "step", "nameOrig"},
        "cards": {"Class", "Time"},
        "claims": {"Policy_Number", "Fraud_Reported"},
        "orders": {"order_id", "label", "terminal_count_1d"},
    }[name]
    assert not left_out & set(features)


def test_evaluation_on_the_same_data_gives_the_reports_figures(
    released,
) -> None:
    _, config, result = released
    again = predict.evaluate(
        scorer_of(config), app.load_data(config), config.costs()
    )
    test = result["metrics"]["test"]
    for key in ("average_precision", "auc_roc", "recall"):
        assert again[key] == pytest.approx(test[key], abs=1e-5)


def test_a_new_file_with_new_values_is_scored(
    released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its labels are not known; it has gaps and values that training lacked."""
    name, config, _ = released
    rows = Path(config.dataset).read_text().splitlines()
    newest = [line.replace('"Wien"', '"Rom"') for line in rows[-5:]]
    # Not older than the history's last transaction.
    last = newest[-1].split(",")[:2]
    newest = [
        ",".join([cell.replace("o-", "n-"), *rest])
        for cell, *rest in (line.split(",") for line in newest)
    ]
    if name == "orders":
        newest = [
            line.replace(line.split(",")[1], last[1], 1) for line in newest
        ]
    if name == "paysim":
        newest = [",".join([last[0], *line.split(",")[1:]]) for line in newest]
    path = tmp_path / "new.csv"
    path.write_text("\n".join([rows[0], *newest]) + "\n")
    output = tmp_path / "scores.json"
    predict.predict_file(
        scorer_of(config), str(path), str(output), config.column_names(), False
    )
    scores = json.loads(output.read_text())
    assert len(scores) == 5 and all(0 <= row["score"] <= 1 for row in scores)
    assert "of 5 flagged" in capsys.readouterr().out
    if name == "orders":
        assert {row["id"][:2] for row in scores} == {"n-"}


def test_a_server_takes_the_raw_columns(released) -> None:
    """Strings and gaps as in the file, by the columns' own names, over REST."""
    name, config, _ = released
    if name in ("paysim", "orders"):
        scorer = scorer_of(config)
        example = Path("saved_models/fraud_detect/1/assets.extra/example.json")
        instances = json.loads(example.read_text())["instances"]
        assert set(instances[0]) == set(scorer.names)
    else:
        table = csv.read_csv(config.dataset).slice(0, 20)
        own = scorer_of(config).own
        instances = [
            {
                column.feature: (cell or "")
                if column.kind == "category"
                else (float("nan") if cell is None else number(cell))
                for column in own
                for cell in [row[column.name]]
            }
            for row in table.to_pylist()
        ]
    with embedded.serving(
        Path(config.export_dir), tell=lambda line: None
    ) as server:
        request = urllib.request.Request(
            f"http://localhost:{server.rest_port}/v1/models/fraud_detect:predict",
            json.dumps({"instances": instances}).encode(),
        )
        with urllib.request.urlopen(request) as answer:
            served_rows = json.load(answer)["predictions"]
    scores = [row["score"] for row in served_rows]
    assert np.isfinite(scores).all()
    if name in ("paysim", "orders"):
        return
    predict.predict_file(
        scorer_of(config),
        config.dataset,
        "all.json",
        config.column_names(),
        False,
    )
    expected = {
        row["id"]: row["score"]
        for row in json.loads(Path("all.json").read_text())
    }
    local = [expected[str(i)] for i in range(20)]
    np.testing.assert_allclose(scores, local, atol=2e-6)


def number(cell: object) -> float:
    """Returns a cell's number, as a client would send it."""
    return float(str(cell).replace("$", "").replace(",", ""))


@pytest.mark.slow
def test_a_browser_runs_the_files(released, browser) -> None:
    name, config, _ = released
    release = Path(config.export_dir) / "fraud_detect" / "1"
    scorer = scorer_of(config)
    features = np.random.default_rng(0).integers(0, 3, (5, len(scorer.names)))
    rows = {"features": features.astype(np.float32)}
    for variant in config.variants:
        file = release / "mobile" / f"{variant}.tflite"
        with demo_pages.opened(browser, release, variant) as state:
            assert state == ""
            demo_pages.check_runs(browser, file, rows)
            # In every category: a missing one, one of no table, a known one.
            for place in range(3):
                shown = demo_pages.ask(
                    browser,
                    'document.querySelectorAll("select").forEach('
                    f"(box) => {{ box.selectedIndex = {place}; }});",
                )
                limit = 1e-5 if variant == "float32" else 0.1
                assert shown["difference"] < limit, name
                assert "flagged" in shown["phone"]
                assert "Score" in shown["savedModel"]
