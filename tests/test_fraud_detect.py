"""The app, from transactions to release, on a small simulation."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import compiled_models
import fraud_reference
import keras
import numpy as np
import pytest
import tflite_metadata
from reports import rows_of, unexplained
from sklearn import metrics

from apps.fraud_detect import predict, ranking, results
from apps.fraud_detect import train as app
from apps.fraud_detect.history import History
from apps.fraud_detect.transactions import DAY
from common import program, runtime
from common.mobile import litert
from common.options import InputError
from common.release import served
from common.report import report

TINY = {
    "epochs": 6,
    "finetune_epochs": 1,
    "units": ("16", "8"),
    "members": 2,
    "bins": 8,
    "alerts": 10.0,
    "variants": ("float32", "int8", "prune+int8", "qat"),
    "max_drop": 1.0,
    "train_days": 20,
    "top_cards": 20,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("home")
    with contextlib.chdir(path):
        yield path


@pytest.fixture(scope="module")
def table():
    return fraud_reference.simulated(
        days=62, customers=150, terminals=100, stolen=1.0, broken=0.3
    )


@pytest.fixture(scope="module")
def config(home, table) -> app.Config:
    fraud_reference.write_csv(home / "payments.csv", table)
    return app.Config(
        dataset=str(home / "payments.csv"), export_dir=str(home / "out"),
        work_dir=str(home / "runs"), **TINY,
    )  # fmt: skip


@pytest.fixture(scope="module")
def released(config: app.Config) -> tuple[dict, Path]:
    """Runs the app once; returns its report and the release."""
    runtime.start(0)
    result = app.run(config)
    return result, Path(config.export_dir) / "fraud_detect" / "1"


def test_the_model_learns(released) -> None:
    result, _ = released
    test = result["metrics"]["test"]
    assert test["auc_roc"] > 0.6
    assert test["average_precision"] > 0.1
    assert 0 < test["card_precision@20"] < 1
    assert result["history"]["loss"][1] < result["history"]["loss"][0]
    valid = result["metrics"]["valid"]
    assert valid["alerts_per_day"] == pytest.approx(10.0, abs=0.2)
    expected = 100 * (1 - test["recall"]) * _frauds(released) / 7
    expected += 5 * test["alerts_per_day"]
    assert test["cost_per_day"] == pytest.approx(expected)
    assert [row["name"] for row in result["baselines"]] == [
        "logistic regression", "random forest", "gradient boosting",
        "isolation forest", "pca reconstruction", "deviations",
    ]  # fmt: skip


def _frauds(released) -> int:
    (week, *_) = _week_rows(released)
    return week[2]


def _week_rows(released) -> list:
    page = (released[1] / "report" / "report.html").read_text("utf-8")
    rows = rows_of(page, "By week")
    return [[row[0], int(row[1]), int(row[2])] for row in rows]


def test_the_files_tell_what_they_are(released) -> None:
    facts = tflite_metadata.check(released[1], "features.txt")
    assert facts["name"] == app.APP
    assert all(row["metadata_bytes"] for row in released[0]["variants"])


def test_the_newer_runtime_gives_the_same_outputs(released) -> None:
    compiled_models.check(released[1])


def test_the_release_is_whole(released) -> None:
    result, release = released
    names = {str(p.relative_to(release)) for p in release.rglob("*")}
    assert {
        "saved_model.pb", "model.keras", "mobile/model.tflite",
        "mobile/qat.tflite", "mobile/features.txt", "report/report.json",
        "report/model_card.md", "report/precision_recall.png",
        "report/cost.png",
        "assets.extra/history.npz",
    } <= names  # fmt: skip
    assert report.read(release) == json.loads(json.dumps(result))
    assert unexplained(result) == set()
    assert "transactions of payments.csv" in result["summary"]
    page = (release / "report" / "report.html").read_text("utf-8")
    assert "The strongest alerts" in page and "terminal_risk_30d" in page


def test_every_variant_keeps_its_amounts_apart(released, config) -> None:
    """Eight bits of raw amounts would leave nothing of a risk of 0.1."""
    result, release = released
    rows = {row["name"]: row for row in result["variants"]}
    split = app.load_data(config).folds[-1].splits.test
    plain = litert.Runner((release / "mobile" / "float32.tflite").read_bytes())
    expected = plain(features=split.features[:300])["score"]
    for name in ("int8", "qat"):
        runner = litert.Runner((release / rows[name]["file"]).read_bytes())
        assert runner.inputs["features"]["dtype"] == np.float32
        score = runner(features=split.features[:300])["score"]
        assert np.corrcoef(score[:, 0], expected[:, 0])[0, 1] > 0.8
        assert rows[name]["bytes"] < rows["float32"]["bytes"]
    assert rows["float32"]["max_abs_error"] < 1e-5
    assert rows["prune+int8"]["gzip_bytes"] < rows["int8"]["gzip_bytes"]


def test_every_file_keeps_the_alert_budget(released, config) -> None:
    result, release = released
    fold = app.load_data(config).folds[-1]
    limits = json.loads((release / "mobile/thresholds.json").read_text())
    chosen = next(row for row in result["variants"] if row["chosen"])
    for row in [*result["variants"], {**chosen, "file": "mobile/model.tflite"}]:
        file = release / row["file"]
        runner = litert.Runner(file.read_bytes())
        limit = limits["files"][file.name]
        score = runner(features=fold.splits.valid.features)["score"][:, 0]
        expected = ranking.threshold(score, fold.valid.day, config.alerts)
        assert limit == row["at_threshold"]["threshold"] == expected
        score = runner(features=fold.splits.test.features)["score"][:, 0]
        figures = results.at_threshold(
            score, fold.test.fraud, fold.test.day, limit, config.costs()
        )
        assert row["at_threshold"] == {"threshold": limit, **figures}
    plain = result["variants"][0]["at_threshold"]
    for name in ("recall", "precision", "cost_per_day"):
        expected = result["metrics"]["test"][name]
        assert plain[name] == pytest.approx(expected, rel=0.05)


def test_the_saved_model_answers_without_this_project(released, config) -> None:
    result, release = released
    split = app.load_data(config).folds[-1].splits.test
    raw = split.features[np.argsort(-split.labels, kind="stable")[:6]]
    code = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
feed = json.loads(sys.argv[2])
feed = {name: tf.constant(v, tf.float32) for name, v in feed.items()}
answer = model.signatures["serving_default"](**feed)
answer = {name: v.numpy().astype(str).tolist() for name, v in answer.items()}
print(json.dumps(answer))
"""
    names = (release / "mobile" / "features.txt").read_text().split()
    feed = {name: raw[:, i].tolist() for i, name in enumerate(names)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(release), json.dumps(feed)],
        capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    answer = json.loads(done.stdout)
    model = keras.saving.load_model(release / "model.keras", safe_mode=True)
    expected = model.predict(raw, verbose=0)[:, 0]
    score = np.array(answer["score"], float)
    np.testing.assert_allclose(score, expected, atol=1e-5)
    limit = result["metrics"]["test"]["threshold"]
    assert [flag == "True" for flag in answer["is_fraud"]] == [
        value >= limit for value in score
    ]
    known = {*names, ""}
    assert {part for row in answer["reasons"] for name in row
            for part in name.split("/")} <= known  # fmt: skip


def test_evaluate_gives_the_reports_figures(released, config, capsys) -> None:
    result, release = released
    capsys.readouterr()
    program.run(app.Config(mode="evaluate", release=str(release)))
    printed = json.loads(capsys.readouterr().out)
    for name in ("average_precision", "auc_roc", "recall", "cost_per_day"):
        assert printed[name] == pytest.approx(result["metrics"]["test"][name])


def evaluate(capsys, release: Path, **changes) -> dict:
    """Returns what `--mode=evaluate` prints."""
    capsys.readouterr()
    program.run(app.Config(mode="evaluate", release=str(release), **changes))
    return json.loads(capsys.readouterr().out)


def test_evaluate_judges_all_rows_of_a_file(
    released, config, table, home, capsys
) -> None:
    """It continues the history; nothing is set aside, or left out."""
    _, release = released
    new = new_payments(table, 40)
    fraud = np.arange(40) % 8 == 0
    fraud_reference.write_csv(
        home / "later.csv", dataclasses.replace(new, fraud=fraud.astype("i1"))
    )
    printed = evaluate(capsys, release, dataset=str(home / "later.csv"))
    assert (printed["dataset"], printed["examples"]) == ("later.csv", 40)
    assert printed["split"] == "all" and "not_computed" not in printed
    # The very scores of prediction.
    output = home / "later.json"
    program.run(
        app.Config(
            mode="predict", release=str(release), output=str(output),
            inputs=str(home / "later.csv"),
        )
    )  # fmt: skip
    rows = json.loads(output.read_text())
    score = [row["score"] for row in rows]
    assert printed["auc_roc"] == pytest.approx(
        metrics.roc_auc_score(fraud, score), abs=1e-6
    )
    # Named or not, the release's own table is judged by its test split.
    named = evaluate(capsys, release, dataset=config.dataset)
    assert named == evaluate(capsys, release) and named["split"] == "test"


def test_evaluate_says_what_it_cannot_compute(
    released, table, home, capsys
) -> None:
    """A table without a fraud, of days before the history's end."""
    _, release = released
    rows = table.pick(np.flatnonzero(table.fraud == 0)[:50])
    fraud_reference.write_csv(home / "honest.csv", rows)
    printed = evaluate(capsys, release, dataset=str(home / "honest.csv"))
    assert printed["examples"] == 50
    for name in ("auc_roc", "average_precision", "recall"):
        assert printed[name] is None
        assert printed["not_computed"][name] == "there is no fraud"
    assert printed["alerts_per_day"] >= 0 and printed["cost_per_day"] >= 0
    assert any("look back no further" in note for note in printed["notes"])


def test_given_alerts_win_over_the_releases(released, capsys) -> None:
    _, release = released  # It has 10 a day; 50 is the default.
    given = frozenset({"alerts"})
    printed = evaluate(capsys, release, alerts=50.0, given=given)
    assert printed["alerts_per_day"] == pytest.approx(50, abs=1)
    assert evaluate(capsys, release)["alerts_per_day"] < 30


def test_a_release_of_sequences_is_told_from_others(config, released) -> None:
    scorer = predict.Scorer(served.Local(released[1]))
    data = app.load_data(config.replace(model="sequence"))
    with pytest.raises(InputError, match="must be the release's"):
        predict.evaluate(scorer, data, config.costs())


def new_payments(table, num: int = 5):
    """Returns payments of the day after the table."""
    rows = table.pick(slice(len(table) - num, len(table)))
    return dataclasses.replace(rows, time=rows.time + DAY, ids=rows.ids + 10**6)


@pytest.mark.parametrize("mode", ["predict", "explain"])
def test_predict_continues_the_history(
    released, config, table, home, capsys, mode
) -> None:
    _, release = released
    new = new_payments(table)
    fraud_reference.write_csv(home / "new.csv", new)
    output = home / "found.json"
    program.run(
        app.Config(
            mode=mode,
            release=str(release),
            inputs=str(home / "new.csv"),
            output=str(output),
        )
    )
    rows = json.loads(output.read_text())
    assert [row["id"] for row in rows] == [str(id) for id in new.ids]
    assert "flagged; shown: 5" in capsys.readouterr().out
    # One at a time gives the same.
    history = History.load(release / "assets.extra" / "history.npz")
    raw = np.stack(
        [
            history.add(
                int(new.time[i]),
                f"c{new.customer[i]}",
                f"t{new.terminal[i]}",
                float(new.amount[i]),
                f"n{i}",
            )
            for i in range(len(new))
        ]
    )
    score = predict.Scorer(served.Local(release))(raw)["score"]
    np.testing.assert_allclose([r["score"] for r in rows], score, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ""}, "--inputs must name a table"),
        ({"inputs": "missing.csv"}, "--inputs must be a file"),
        ({"output": "x.txt"}, r"end in \.csv or \.json"),
    ],
)
def test_predict_refuses_in_one_line(released, home, changes, words) -> None:
    options = {"inputs": str(home / "payments.csv"), "output": "", **changes}
    with pytest.raises(InputError, match=words):
        predict.predict_file(
            predict.Scorer(served.Local(released[1])),
            options["inputs"], options["output"],
            app.Config().column_names(), False,
        )  # fmt: skip


def test_predict_refuses_the_past(released, home) -> None:
    with pytest.raises(InputError, match="must not be older than the last"):
        predict.predict_file(
            predict.Scorer(served.Local(released[1])),
            str(home / "payments.csv"), "",
            app.Config().column_names(), False,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (
            "autoencoder",
            {"autoencoder_units": ("8",), "code": 3, "errors": "both"},
        ),
        # Half a minute each.
        pytest.param("hybrid", {"imbalance": "focal"}, marks=pytest.mark.large),
        pytest.param(
            "sequence",
            {"steps": 3, "imbalance": "weights", "patience": 1},
            marks=pytest.mark.large,
        ),
    ],
)
def test_the_other_models_are_released(config, home, model, changes) -> None:
    runtime.start(0)
    result = app.run(
        config.replace(
            model=model,
            variants=("int8",) if model == "autoencoder" else ("float32",),
            epochs=1,
            export_dir=str(home / model),
            baselines=False,
            **changes,
        )
    )
    assert result["baselines"] == []
    assert result["metrics"]["test"]["auc_roc"] > 0.4
    assert result["serving"]["max_abs_error"] <= 1e-5
    rows = {row["name"]: row for row in result["variants"]}
    assert rows["float32"]["max_abs_error"] < 1e-4
    scorer = predict.Scorer(served.Local(home / model / "fraud_detect" / "1"))
    assert scorer.steps == changes.get("steps", 0)
    fraud_reference.write_csv(
        home / "new.csv",
        new_payments(
            fraud_reference.simulated(days=62, customers=150, terminals=100)
        ),
    )
    predict.predict_file(
        scorer, str(home / "new.csv"), "", app.Config().column_names(), False
    )
