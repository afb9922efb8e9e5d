"""The app, from data to release, on tiny data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import compiled_models
import demo_pages
import keras
import numpy as np
import pytest
import tensorflow as tf
import tflite_metadata
from reports import unexplained

from apps.image_classify import predict
from apps.image_classify import train as app
from common import program
from common.data import images
from common.mobile import litert
from common.options import InputError
from common.release import served, verification, warmup
from common.report import report
from common.serving import embedded

TINY = {
    "dataset": "digits",
    "model": "small_cnn",
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "finetune_epochs": 1,
    "variants": ("float32", "int8", "prune+int8"),
    "max_drop": 1.0,
}


def test_the_model_learns(released) -> None:
    result, _ = released
    assert result["metrics"]["test"]["accuracy"] > 0.5
    assert result["history"]["loss"][1] < result["history"]["loss"][0]
    assert result["dataset"]["test"] == 360
    matrix = np.array(result["metrics"]["test"]["confusion"])
    assert matrix.sum() == 360


def test_the_files_tell_what_they_are(released) -> None:
    facts = tflite_metadata.check(released[1], "labels.txt")
    assert facts["name"] == app.APP
    assert all(row["metadata_bytes"] for row in released[0]["variants"])


def test_the_newer_runtime_gives_the_same_outputs(released) -> None:
    compiled_models.check(released[1])


def test_the_release_is_whole(released) -> None:
    result, release = released
    names = {str(p.relative_to(release)) for p in release.rglob("*")}
    assert {
        "saved_model.pb", "fingerprint.pb", "variables/variables.index",
        "model.keras", "mobile/model.tflite", "mobile/float32.tflite",
        "mobile/prune+int8.tflite", "mobile/labels.txt", "report/report.json",
        "report/report.html", "report/model_card.md",
        "report/worst_mistakes.png",
    } <= names  # fmt: skip
    assert report.read(release) == json.loads(json.dumps(result))
    assert unexplained(result) == set()
    assert "1,293 images" in result["summary"]
    assert not list(release.parent.glob(".*"))
    assert (release / "mobile" / "labels.txt").read_text().split() == [
        str(digit) for digit in range(10)
    ]


def test_every_variant_was_measured_on_its_file(released) -> None:
    result, release = released
    rows = {row["name"]: row for row in result["variants"]}
    test = app.load_data(app.Config(**TINY)).test
    for name, row in rows.items():
        content = (release / row["file"]).read_bytes()
        outputs = litert.Runner(content)(image=test.features / np.float32(255))
        accuracy = np.mean(outputs["probabilities"].argmax(1) == test.labels)
        assert row["metric"] == pytest.approx(accuracy), name
        assert row["bytes"] == len(content)
        assert not any("Flex" in op for op in row["ops"])
    assert rows["prune+int8"]["sparsity"] == pytest.approx(0.9, abs=0.02)
    assert rows["prune+int8"]["gzip_bytes"] < rows["int8"]["gzip_bytes"] / 2
    assert rows["prune+int8"]["chosen"]
    assert rows["float32"]["max_abs_error"] < 1e-5


def test_the_saved_model_answers_without_this_project(released, home) -> None:
    _, release = released
    test = app.load_data(app.Config(**TINY)).test
    images = home / "images"
    images.mkdir(exist_ok=True)
    for index, image in enumerate(test.features[:5]):
        path = images / f"{index}.png"
        path.write_bytes(tf.io.encode_png(image).numpy())
    code = """
import json, sys, pathlib, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
contents = [p.read_bytes() for p in sorted(pathlib.Path(sys.argv[2]).iterdir())]
answer = model.signatures["serving_default"](image_bytes=tf.constant(contents))
print(json.dumps([answer["probabilities"].numpy().tolist(),
                  answer["label"].numpy().astype(str).tolist(),
                  answer["label_id"].numpy().tolist()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(release), str(images)],
        cwd=home, capture_output=True, check=True,
    )  # fmt: skip
    probabilities, names, ids = json.loads(done.stdout)
    model = keras.saving.load_model(release / "model.keras", safe_mode=True)
    expected = model.predict(test.features[:5] / np.float32(255), verbose=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert ids == expected.argmax(1).tolist()
    assert names == [str(label_id) for label_id in ids]


def test_prediction_from_every_form_agrees(released, home, capsys) -> None:
    _, release = released
    test = app.load_data(app.Config(**TINY)).test
    images = test.features[:20]
    contents = [tf.io.encode_png(image).numpy() for image in images]
    saved_model = predict.Classifier(served.Local(release))
    phone = predict.Classifier(served.Local(release), "float32")
    expected = saved_model.encoded(contents)
    np.testing.assert_allclose(phone.encoded(contents), expected, atol=1e-5)
    np.testing.assert_allclose(saved_model.pixels(images), expected, atol=1e-6)
    with pytest.raises(InputError, match="--variant must be one of float32"):
        predict.Classifier(served.Local(release), "int4")


def test_predict_writes_a_table(released, home, capsys) -> None:
    _, release = released
    output = home / "labels.json"
    config = app.Config(
        mode="predict", inputs=str(home / "images"), output=str(output),
    )  # fmt: skip
    classifier = predict.Classifier(served.Local(release))
    predict.predict_files(classifier, config)
    rows = json.loads(output.read_text())
    assert [Path(row["file"]).name for row in rows] == [
        f"{index}.png" for index in range(5)
    ]
    assert rows[0]["label"] in capsys.readouterr().out
    assert not list(home.glob(".partial*"))


def test_explain_writes_a_page_a_table_and_pictures(released, home) -> None:
    _, release = released
    options = {"mode": "explain", "release": str(release)}
    program.run(
        app.Config(
            **options, inputs=str(home / "images"), page=str(home / "why.html"),
            output=str(home / "why.json"), overlays=str(home / "why"),
        )
    )  # fmt: skip
    rows = json.loads((home / "why.json").read_text())
    page = (home / "why.html").read_text("utf-8")
    classifier = predict.Classifier(served.Local(release))
    assert len(rows) == 5
    for row in rows:
        assert row["completeness_error"] < 1.1e-3
        assert abs(row["score"] - row["baseline_score"]) > 0.01
        assert row["file"] in page
        (answer,) = classifier.encoded([Path(row["file"]).read_bytes()])
        assert row["label"] == classifier.class_names[answer.argmax()]
        assert row["probability"] == pytest.approx(answer.max(), abs=1e-5)
        for name in ("integrated_gradients", "grad_cam"):
            png = tf.io.decode_png(Path(row[name]).read_bytes())
            assert png.shape == (224, 224, 3)
    assert page.count("data:image/png") == 15 and "not the int8" in page
    assert len(list((home / "why").iterdir())) == 10
    (home / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png: it"):
        program.run(app.Config(**options, inputs=str(home / "bad.png")))
    (home / "bad.png").unlink()


def test_predict_refuses_what_it_cannot_read(released, tmp_path) -> None:
    _, release = released
    classifier = predict.Classifier(served.Local(release))

    def files(**changes) -> None:
        config = app.Config(mode="predict", inputs=str(tmp_path), **changes)
        predict.predict_files(classifier, config)

    with pytest.raises(InputError, match="matches none"):
        files()
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png: it"):
        files()
    with pytest.raises(InputError, match="no image that can be decoded"):
        files(on_bad_input="skip")
    with pytest.raises(InputError, match=r"end in \.csv or \.json"):
        files(output="table.xlsx")


def test_evaluate_gives_the_reports_figures(released) -> None:
    result, release = released
    splits = app.load_data(app.Config(**TINY))
    saved_model = predict.Classifier(served.Local(release))
    evaluated = predict.evaluate(saved_model, splits)
    assert evaluated["accuracy"] == result["metrics"]["test"]["accuracy"]
    phone = predict.Classifier(served.Local(release), "int8")
    evaluated = predict.evaluate(phone, splits)
    (int8,) = (row for row in result["variants"] if row["name"] == "int8")
    assert evaluated["accuracy"] == pytest.approx(int8["metric"])


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_server_gives_the_same_predictions(released, home, kind) -> None:
    _, release = released
    tables = {}
    with embedded.serving(release.parents[1], tell=lambda line: None) as server:
        port = server.rest_port if kind == "http" else server.grpc_port
        for name, url in (("local", ""), (kind, f"{kind}://127.0.0.1:{port}")):
            output = home / f"{name}.json"
            program.run(
                app.Config(
                    mode="predict", inputs=str(home / "images"), server=url,
                    output=str(output), export_dir=str(release.parents[1]),
                )
            )  # fmt: skip
            tables[name] = json.loads(output.read_text())
        with pytest.raises(InputError, match="--variant is a file"):
            program.run(
                app.Config(mode="predict", variant="int8", server=url)
            )  # fmt: skip
    assert tables["local"] == tables[kind] and len(tables[kind]) == 5


def test_the_release_is_verified(released) -> None:
    result, release = released
    checks = list(verification.verify(release))
    assert all(check.passed for check in checks), checks
    assert len(list(warmup.read(release))) == 18
    (path,) = (release / row["file"] for row in result["variants"][:1])
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    failed = [
        check.what for check in verification.verify(release) if not check.passed
    ]
    path.write_bytes(content)
    assert "mobile/float32.tflite was changed" in failed
    assert f"mobile/float32.tflite has {len(content):,} bytes" in failed


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb", "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets.extra/tf_serving_warmup_requests", "report/report.json",
    ],
)  # fmt: skip
def test_a_damaged_release_fails_its_checks(released, tmp_path, name) -> None:
    copy = shutil.copytree(released[1], tmp_path / "1")
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    *_, last = verification.verify(copy)
    assert not last.passed and "can be read" in last.what


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_a_browser_runs_the_files(released, browser, variant) -> None:
    _, release = released
    file = release / "mobile" / f"{variant}.tflite"
    test = app.load_data(app.Config(**TINY)).test
    with demo_pages.opened(browser, release, variant) as state:
        assert state == ""
        batch = test.features[:5] / np.float32(255)
        demo_pages.check_runs(browser, file, {"image": batch})
        shown = demo_pages.ask(browser, demo_pages.EXAMPLE)
        assert shown["difference"] < (1e-5 if variant == "float32" else 0.2)
        assert shown["phone"].count(" %") == 10
        # A picture of another size, half transparent, is dropped.
        picture = np.random.default_rng(0).integers(0, 256, (23, 17, 4))
        content = tf.io.encode_png(picture.astype(np.uint8)).numpy()
        expected = images.fit(images.decode(content, 1), (8, 8)).numpy()
        demo_pages.ask(browser, demo_pages.drop(content))
        values = browser.run(demo_pages.VALUES)["image"]
        actual = 255 * np.array(values).reshape(8, 8, 1)
        assert np.abs(actual - expected).max() < 1.01
