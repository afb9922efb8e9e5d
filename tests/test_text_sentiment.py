"""The app, from texts to release, on tiny data."""

import io
import json
from pathlib import Path

import compiled_models
import demo_pages
import keras
import numpy as np
import pytest
import tensorflow as tf
import tflite_metadata
from reports import unexplained

from apps.text_sentiment import predict, vocabulary
from apps.text_sentiment import train as app
from common import program
from common.mobile import litert
from common.options import InputError
from common.release import served
from common.report import report

TINY = {
    "pretrain": "unsupervised",
    "self_training": True,
    "max_tokens": 40,
    "embedding_dim": 12,
    "units": 16,
    "num_pairs": 997,
    "word_dropout": 0.0,
    "dropout": 0.05,
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 0.01,
    "sparsity": 0.5,
    "finetune_epochs": 1,
    "variants": ("float32", "int8", "prune+int8", "qat"),
    "max_drop": 1.0,
}


@pytest.fixture(scope="module")
def splits(released):
    return app.load_data(app.Config(**TINY))


def test_the_model_learns(released) -> None:
    result, _ = released
    assert result["metrics"]["test"]["accuracy"] > 0.65
    assert result["history"]["loss"][-1] < result["history"]["loss"][0]
    assert np.sum(result["metrics"]["test"]["confusion"]) == 500
    rows = {row["name"]: row["metrics"] for row in result["baselines"]}
    assert len(rows) == 4
    took = result["training"]
    seen = took["examples_per_second"] * took["seconds"] / took["epochs"]
    unlabelled = next(x for x in result["notes"] if x.startswith("unlabelled"))
    more = int(unlabelled.split()[1].replace(",", ""))
    assert more > 100  # Self-training learns these, too.
    assert seen == pytest.approx(result["dataset"]["train"] + more, rel=0.05)
    # Pairs do not see past an intensifier to the negation.
    assert 0.6 < rows["TF-IDF 1-2-grams, linear SVM"]["accuracy"] < 0.9
    assert any("with emoji" in note for note in result["notes"])


def test_the_files_tell_what_they_are(released) -> None:
    facts = tflite_metadata.check(released[1], "labels.txt", "tokenizer.json")
    assert facts["name"] == app.APP
    assert all(row["metadata_bytes"] for row in released[0]["variants"])


def test_the_newer_runtime_gives_the_same_outputs(released) -> None:
    compiled_models.check(released[1])


def test_the_release_is_whole(released) -> None:
    result, release = released
    names = {str(p.relative_to(release)) for p in release.rglob("*")}
    assert {
        "saved_model.pb", "model.keras", "mobile/model.tflite",
        "mobile/labels.txt", "mobile/vocab.txt", "mobile/tokenizer.json",
        "report/report.json", "report/report.html", "report/model_card.md",
    } <= names  # fmt: skip
    assert report.read(release) == json.loads(json.dumps(result))
    assert unexplained(result) == set()
    assert "texts of generated_reviews" in result["summary"]
    page = (release / "report" / "report.html").read_text("utf-8")
    assert "Worst mistakes" in page and "log-odds" in page


def test_files_have_no_state_and_were_measured(released, splits) -> None:
    result, release = released
    (refused,) = result["refused_variants"]
    assert (
        refused["name"] == "qat"
        and "floating-point inputs" in refused["reason"]
    )
    assert not (release / "mobile" / "README.md").exists()
    assert not any("Reset it" in note for note in result["notes"])
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "int8", "prune+int8"}
    for name, row in rows.items():
        assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in row["ops"]
        assert not row["stateful"]
        assert "WHILE" in row["ops"]
        assert row["inputs"]["token_ids"]["shape"] == [1, 40]
        runner = litert.Runner((release / row["file"]).read_bytes())
        examples = splits.test.pick(np.arange(100))
        outputs = runner(token_ids=examples.features)["probabilities"]
        if name == "float32":
            model = keras.saving.load_model(release / "model.keras")
            expected = model.predict(examples.features, verbose=0)
            np.testing.assert_allclose(outputs, expected, atol=1e-4)
    assert rows["int8"]["max_abs_error"] < 0.1
    assert abs(rows["int8"]["drop"]) < 0.01
    assert rows["prune+int8"]["gzip_bytes"] < rows["int8"]["gzip_bytes"]


def test_the_saved_model_takes_strings_and_equals_predict(
    released, splits
) -> None:
    _, release = released
    served = tf.saved_model.load(release).signatures["serving_default"]
    texts = ["", "The plot was not very good.", "😀<br />wow"]
    texts += splits.corpus.splits["test"].texts[:50]
    answer = served(text=tf.constant(texts))
    model = keras.saving.load_model(release / "model.keras", safe_mode=True)
    ids = [splits.tokenizer.padded(text) for text in texts]
    expected = model.predict(np.array(ids, np.int32), verbose=0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    names = np.array(["negative", "positive"])[expected.argmax(axis=1)]
    assert answer["label"].numpy().astype(str).tolist() == names.tolist()
    bad = served(text=tf.constant([b"\xff\xfe not text"]))
    assert np.isfinite(bad["probabilities"].numpy()).all()


def test_prediction_takes_a_text_a_file_a_table_and_standard_input(
    released, tmp_path, monkeypatch, capsys
) -> None:
    _, release = released
    classifier = predict.Classifier(served.Local(release))
    lines = tmp_path / "lines.txt"
    lines.write_text("The acting was superb!\nThe plot was dull.\n")
    table = tmp_path / "table.csv"
    table.write_text("review\nThe acting was superb!\nThe plot was dull.\n")
    for inputs in (str(lines), str(table), "-"):
        stdin = type("Stdin", (), {"buffer": io.BytesIO(lines.read_bytes())})
        monkeypatch.setattr("sys.stdin", stdin)
        output = tmp_path / "found.json"
        config = app.Config(
            mode="predict", inputs=inputs, output=str(output),
            text_column="review",
        )  # fmt: skip
        predict.predict(classifier, config)
        rows = json.loads(output.read_text())
        assert [row["text"] for row in rows] == [
            "The acting was superb!", "The plot was dull.",
        ]  # fmt: skip
    assert "superb" in capsys.readouterr().out
    phone = predict.Classifier(served.Local(release), "float32")
    texts = ["The acting was superb!", "", "The story was a waste of time."]
    probabilities, labels = phone(texts)
    expected, same = classifier(texts)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert labels == same
    with pytest.raises(InputError, match="--variant must be one of float32"):
        predict.Classifier(served.Local(release), "int4")
    assert list(predict.read("x" * 5000, "text")) == ["x" * 5000]


def test_explain_colours_the_words_and_writes_a_column(
    released, home, tmp_path
) -> None:
    _, release = released
    lines, page = tmp_path / "lines.txt", tmp_path / "why.html"
    lines.write_text("The acting was <b>not</b> superb!\nzzz <script>x\n")
    output = tmp_path / "why.json"
    program.run(
        app.Config(
            mode="explain", release=str(release), inputs=str(lines),
            page=str(page), output=str(output),
        )
    )  # fmt: skip
    first, second = json.loads(output.read_text())
    assert first["text"] == "The acting was <b>not</b> superb!"
    parts = dict(x.rsplit(":", 1) for x in first["contributions"].split())
    assert list(parts) == ["the", "acting", "was", "not", "superb", "!"]
    change = first["score"] - first["baseline_score"]
    assert sum(map(float, parts.values())) == pytest.approx(change, abs=2e-3)
    assert first["completeness_error"] < 1.1e-3
    classifier = predict.Classifier(served.Local(release))
    probabilities, labels = classifier([first["text"]])
    assert first["label"] == labels[0]
    # Of two classes the score is the logarithm of the odds.
    high, low = probabilities.max(), probabilities.min()
    assert first["score"] == pytest.approx(np.log(high / low), abs=1e-3)
    assert float(second["contributions"].split()[0].split(":")[1]) == 0
    text = page.read_text("utf-8")
    assert "&lt;b&gt;" in text and "<script>" not in text
    assert f'title="{parts["superb"]}"' in text and "not the int8" in text


@pytest.mark.parametrize(
    ("inputs", "content", "words"),
    [
        ("", None, "received nothing"),
        ("file.txt", b"", "has none"),
        ("file.txt", b"\xff\xfe", "readable UTF-8"),
        ("missing.csv", None, "must be a file"),
    ],
)
def test_predict_refuses_what_it_cannot_read(
    tmp_path, monkeypatch, inputs, content, words
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(inputs).write_bytes(content)
    with pytest.raises(InputError, match=words):
        predict.read(inputs, "text")


def test_evaluate_gives_the_reports_figures(
    released, home, monkeypatch, capsys
) -> None:
    result, release = released
    monkeypatch.chdir(home)
    program.run(app.Config(mode="evaluate", release=str(release)))
    printed = json.loads(capsys.readouterr().out)
    assert printed["accuracy"] == result["metrics"]["test"]["accuracy"]
    assert printed["examples"] == 500
    with pytest.raises(InputError, match="must be of text_sentiment"):
        vocabulary.read(home)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_a_browser_runs_the_files(released, browser, variant) -> None:
    _, release = released
    file = release / "mobile" / f"{variant}.tflite"
    tokenizer = vocabulary.read(release / "mobile")
    texts = ["", "not brilliant at all \U0001f61e", "brilliant", "so " * 99]
    ids = np.array([tokenizer.padded(text) for text in texts], np.int32)
    with demo_pages.opened(browser, release, variant) as state:
        assert state == ""
        demo_pages.check_runs(browser, file, {"token_ids": ids})
        shown = demo_pages.ask(
            browser, f'document.getElementById("text").value = "{texts[1]}";'
        )
        assert shown["difference"] < (1e-5 if variant == "float32" else 0.2)
        assert shown["phone"].count(" %") == 2
