"""A release of texts with a rare class: weights and probabilities."""

import contextlib
import csv
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.text_sentiment import predict, weighting
from apps.text_sentiment import train as app
from common import program, runtime
from common.options import InputError
from common.release import served
from common.report import metrics
from common.serving import embedded

WORDS = {"bad": ("awful", "poor"), "good": ("superb", "lovely")}
TINY = {
    "max_tokens": 8, "embedding_dim": 8, "units": 8, "num_pairs": 101,
    "vectors": False, "epochs": 3, "batch_size": 16, "learning_rate": 0.01,
    "vocabulary_size": 40, "word_dropout": 0.0, "dropout": 0.0,
    "variants": ("float32", "dynamic"), "finetune_epochs": 1,
    "max_drop": 1.0, "dataset": "reviews.csv", "test_file": "test.csv",
    "class_weights": "balanced",
}  # fmt: skip


def test_weighted_targets_have_the_gradient_of_weighted_examples() -> None:
    rng = np.random.default_rng(0)
    logits = tf.Variable(rng.normal(size=(6, 3)).astype("f4"))
    weights = np.array([0.5, 1.0, 4.0], "f4")
    classes = rng.integers(0, 3, 6)
    targets = weighting.weighted(weights)(np.eye(3, dtype="f4")[classes])

    @tf.function  # As in training: the loss then looks for the logits.
    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            outputs = tf.nn.softmax(logits)
            one = tf.reduce_sum(weighting.cross_entropy(targets, outputs))
            plain = keras.losses.CategoricalCrossentropy(reduction=None)
            two = plain(np.eye(3, dtype="f4")[classes], outputs)
            two = tf.reduce_sum(two * weights[classes])
        return one, tape.gradient(one, logits), two, tape.gradient(two, logits)

    one, its, two, other = gradients()
    assert float(one) == pytest.approx(float(two), rel=1e-5)
    np.testing.assert_allclose(its, other, atol=1e-5)
    assert weighting.weighted(None)(targets) is targets
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    weighted = metrics.log_loss(probabilities, np.array([0, 1]), [3.0, 1.0])
    assert weighted == pytest.approx(-(3 * np.log(0.9) + np.log(0.6)) / 4)


def imbalanced(num: int, seed: int = 0) -> str:
    """Returns reviews, a twentieth of them bad, and a word that is noise."""
    rng, lines = np.random.default_rng(seed), ["text,label"]
    for index in range(num):
        bad = index % 20 == 0
        # The words tell the classes apart in three of four texts only.
        right = rng.random() < 0.75
        word = rng.choice(WORDS["bad" if bad == right else "good"])
        lines.append(
            f"It was {word},{'No' if bad else ('Yes', 'Y')[index % 2]}"
        )
    return "\n".join([*lines, "No label,", ""])


@pytest.fixture(scope="module")
def trained(home):
    """Gives reports with and without weights, a release, what was printed."""
    with contextlib.chdir(home):
        (home / "reviews.csv").write_text(imbalanced(800))
        (home / "test.csv").write_text(imbalanced(400, seed=1))
        runtime.start(0)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            weighted = app.run(app.Config(**TINY))
        changes = {"class_weights": "none", "variants": ("float32",)}
        plain = app.run(app.Config(**TINY | changes))
        yield weighted, plain, home / "saved_models/text_sentiment/1", printed


@pytest.mark.slow
def test_class_weights_find_more_of_the_rare_class(trained) -> None:
    weighted, plain, release, _ = trained
    recall = {
        key: result["metrics"]["test"]["per_class"]["recall"][0]
        for key, result in (("weighted", weighted), ("plain", plain))
    }
    assert recall["plain"] < 0.3 and recall["weighted"] > 0.5
    assert weighted["metrics"]["test"]["per_class"]["class"] == ["No", "Y"]
    note = next(x for x in weighted["notes"] if x.startswith("weights of"))
    assert note == "weights of training texts: No 10, Y 0.526"
    assert not any(x.startswith("weights of") for x in plain["notes"])
    model = keras.saving.load_model(release / "model.keras", safe_mode=True)
    assert model.compiled and model.loss == "categorical_crossentropy"


@pytest.mark.slow
def test_the_console_says_what_was_read_before_training(trained) -> None:
    lines = trained[3].getvalue().splitlines()
    assert lines[0] == "reviews.csv: 720 train, 80 valid, 400 test"
    assert lines[1] == "classes (train): No (36), Y (684)"
    said = "\n".join(lines)
    assert "read 801 rows of reviews.csv: the texts are in column text" in said
    assert "the target is column label" in said
    assert "left out 1 rows without a label" in said
    assert "read as class Y: 'Y' (400 rows), 'Yes' (360 rows)" in said
    assert lines.index("note: left out 1 rows without a label") < next(
        i for i, line in enumerate(lines) if "epoch" in line.lower()
    )


TEXTS = ["It was awful", "It was superb", "=lovely"]


def written(classifier: predict.Classifier, output: Path) -> list[dict]:
    """Returns the rows that are written for `TEXTS`."""
    lines = output.parent / "lines.txt"
    lines.write_text("\n".join(TEXTS))
    config = app.Config(mode="predict", inputs=str(lines), output=str(output))
    predict.predict(classifier, config)
    if output.suffix == ".json":
        return json.loads(output.read_text())
    with output.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check(rows: list[dict], tolerance: float, release: Path) -> None:
    """Checks the probabilities against the SavedModel's."""
    answer = served.Local(release)(text=[text.encode() for text in TEXTS])
    for row, expected in zip(rows, answer["probabilities"], strict=True):
        both = row["probabilities"]
        assert list(both) == ["No", "Y"]
        np.testing.assert_allclose(
            list(both.values()), expected, atol=tolerance
        )
        assert row["probability"] == max(both.values())
        assert row["label"] == max(both, key=both.get)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["", "float32", "dynamic"])
def test_every_file_gives_the_probabilities_of_all_classes(
    variant, trained, tmp_path: Path, capsys
) -> None:
    release = trained[2]
    classifier = predict.Classifier(served.Local(release), variant)
    rows = written(classifier, tmp_path / "labels.json")
    check(rows, 0.3 if "dynamic" in variant else 1e-4, release)
    assert "probabilities" not in capsys.readouterr().out
    cells = written(classifier, tmp_path / "labels.csv")
    assert list(cells[0]) == [
        "text", "label", "probability", "probabilities.No", "probabilities.Y",
    ]  # fmt: skip
    for row, cell in zip(rows, cells, strict=True):
        assert float(cell["probabilities.No"]) == row["probabilities"]["No"]
    assert cells[2]["text"] == "'=lovely"


@pytest.mark.slow
@pytest.mark.parametrize("copy", [True, False])
def test_a_server_gives_the_probabilities_of_all_classes(
    copy, trained, tmp_path: Path
) -> None:
    release = trained[2]
    exported = release.parents[1]
    with embedded.serving(exported, tell=lambda line: None) as server:
        config = app.Config(
            mode="predict", server=f"http://localhost:{server.rest_port}/versions/1",
            export_dir=str(exported if copy else tmp_path),
        )  # fmt: skip
        client = served.connect(config, app.APP)
        assert client.has_files == copy
        rows = written(predict.Classifier(client), tmp_path / "labels.json")
    check(rows, 1e-4, release)


def test_a_release_that_cannot_name_its_classes_numbers_them() -> None:
    class Earlier:
        has_files = False

        def inputs(self, signature: str):
            raise InputError(f"no signature {signature}")

    assert predict.Classifier(Earlier()).names(3) == ("0", "1", "2")


@pytest.mark.slow
def test_a_fresh_file_is_judged_by_what_its_labels_mean(
    trained, tmp_path: Path, capsys
) -> None:
    fresh = tmp_path / "fresh.csv"
    fresh.write_text(
        "text,label\nIt was awful,false\nIt was superb,TRUE\nIt was,\n"
        "It was lovely, yes\n"
    )
    config = app.Config(
        mode="evaluate", release=str(trained[2]), dataset=str(fresh)
    )
    capsys.readouterr()
    program.run(config)
    printed = json.loads(capsys.readouterr().out)
    assert printed["examples"] == 3 and printed["accuracy"] == 1.0
    assert "left out 1 rows without a label" in printed["notes"]
    assert any("class No: 'false'" in note for note in printed["notes"])
    fresh.write_text("text,label\nIt was awful,maybe\nIt was superb,yes\n")
    with pytest.raises(InputError, match=r"row 1 of .* has 'maybe'"):
        program.run(config)
    program.run(config.replace(on_bad_input="skip"))
    printed = json.loads(capsys.readouterr().out)
    assert printed["examples"] == 1
    assert "left out 1 rows of other classes" in printed["notes"]
