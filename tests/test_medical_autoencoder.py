"""The app, from data to release, on tiny data."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import compiled_models
import demo_pages
import keras
import numpy as np
import pytest
import tensorflow as tf
import tflite_metadata
from PIL import Image
from reports import unexplained
from test_medical_autoencoder_dicom import IDENTITY, RAMP, write

from apps.medical_autoencoder import pictures, predict, results
from apps.medical_autoencoder import train as app
from common import program
from common.mobile import litert
from common.options import InputError, as_trained
from common.release import served
from common.report import report

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "dataset": "phantoms",
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "filters": 4,
    "finetune_epochs": 1,
    "variants": ("float32", "int8", "qat"),
    "max_drop": 1.0,
    "score": "ssim_relative",
}


@pytest.fixture(scope="module")
def splits(released):
    return app.load_data(app.Config(**TINY))


@pytest.fixture(scope="module")
def saved_model(released) -> predict.Released:
    return predict.Released(served.Local(released[1]))


def test_the_model_learns(released) -> None:
    result, _ = released
    assert result["history"]["loss"][-1] < result["history"]["loss"][0]
    assert result["dataset"]["train"] == 384
    test = result["metrics"]["test"]
    assert test["auroc_low"] <= test["auroc"] <= test["auroc_high"]
    assert {"average_precision", "sensitivity", "specificity", "psnr",
            "ssim"} <= set(test)  # fmt: skip
    assert set(result["metrics"]) == {"valid", "test", "varied"}
    assert result["task_metric"] == "auroc"
    assert len(result["baselines"]) == 7
    assert all(0 < row["metrics"]["auroc"] < 1 for row in result["baselines"])


def test_the_files_tell_what_they_are(released) -> None:
    facts = tflite_metadata.check(released[1])
    assert facts["name"] == app.APP
    assert all(row["metadata_bytes"] for row in released[0]["variants"])


def test_the_newer_runtime_gives_the_same_outputs(released) -> None:
    compiled_models.check(released[1])


def test_the_release_is_whole(released) -> None:
    result, release = released
    names = {str(p.relative_to(release)) for p in release.rglob("*")}
    assert {
        "saved_model.pb", "model.keras", "mobile/model.tflite",
        "mobile/float32.tflite", "mobile/int8.tflite",
        "mobile/qat.tflite", "mobile/detector.json",
        "report/report.json", "report/report.html", "report/model_card.md",
        "report/score_histogram.png", "report/typical_normal.png",
    } <= names  # fmt: skip
    assert report.read(release) == json.loads(json.dumps(result))
    assert unexplained(result) == set()
    assert "normal images of phantoms" in result["summary"]
    page = (release / "report" / "report.html").read_text()
    assert "Not a medical device" in page


def test_the_keras_file_needs_nothing_of_this_app(
    released, splits, saved_model
) -> None:
    images = splits.test.features[:20]
    model = keras.models.load_model(released[1] / "model.keras")
    np.testing.assert_allclose(
        model(images), saved_model(images)["reconstruction"], atol=1e-5
    )


def test_files_give_image_reconstruction_heat_map_and_score(
    released, splits, saved_model
) -> None:
    result, release = released
    images = splits.test.features
    expected = saved_model(images)
    for row in result["variants"]:
        runner = litert.Runner((release / row["file"]).read_bytes())
        assert set(runner.outputs) == set(results.OUTPUTS)
        outputs = runner(image=images)
        auroc = results.auroc(outputs["anomaly_score"], splits.test.labels)
        assert row["metric"] == pytest.approx(auroc)
        assert not any("Flex" in op for op in row["ops"])
        # The head is in float also where the network is not.
        assert "AVERAGE_POOL_2D" in row["ops"]
        if row["name"] == "float32":
            for name in results.OUTPUTS:
                np.testing.assert_allclose(
                    outputs[name], expected[name], atol=1e-4
                )


def test_quantization_leaves_the_head_in_float(released, splits) -> None:
    _, release = released
    detector = json.loads((release / "mobile/detector.json").read_text())
    assert detector["score"] == "ssim_relative"
    for name in ("int8", "qat"):
        content = (release / f"mobile/{name}.tflite").read_bytes()
        outputs = litert.Runner(content)(image=splits.test.features[:20])
        # An output of eight bits would have 256 values.
        assert len(np.unique(outputs["heatmap"])) > 1000
        assert outputs["heatmap"].dtype == np.float32


def test_encoded_images_and_pixels_agree(released, splits) -> None:
    _, release = released
    images = splits.test.features[:20]
    model = tf.saved_model.load(release)
    encoded = [
        tf.io.encode_png(np.round(image * 255).astype(np.uint8)).numpy()
        for image in images
    ]
    from_bytes = model.signatures["serving_default"](
        image_bytes=tf.constant(encoded)
    )
    from_pixels = model.signatures["pixels"](image=tf.constant(images))
    assert set(from_bytes) == {
        "anomaly_score", "is_anomalous", "reconstruction", "heatmap",
    }  # fmt: skip
    for name, value in from_bytes.items():
        np.testing.assert_allclose(
            np.float32(value), np.float32(from_pixels[name]), atol=1e-4
        )
    anomalous = from_bytes["anomaly_score"].numpy() > 1
    np.testing.assert_array_equal(from_bytes["is_anomalous"].numpy(), anomalous)


def test_the_threshold_keeps_its_specificity(released) -> None:
    result, _ = released
    valid = result["metrics"]["valid"]
    assert valid["specificity"] == pytest.approx(0.9, abs=0.02)


def test_every_file_keeps_its_specificity(released, splits) -> None:
    result, release = released
    valid, test = splits.valid, splits.test
    limits = json.loads((release / "mobile/thresholds.json").read_text())
    chosen = next(row for row in result["variants"] if row["chosen"])
    for row in [*result["variants"], {**chosen, "file": "mobile/model.tflite"}]:
        file = release / row["file"]
        limit = limits["files"][file.name]
        assert limit == row["at_threshold"]["threshold"]
        runner = litert.Runner(file.read_bytes())
        score = runner(image=valid.features)["anomaly_score"]
        kept = np.mean(score[valid.labels == 0] < limit)
        assert kept == pytest.approx(0.9, abs=0.02), row["name"]
        score = runner(image=test.features)["anomaly_score"]
        kept = np.mean(score[test.labels == 0] < limit)
        assert row["at_threshold"]["specificity"] == pytest.approx(kept)
        caught = np.mean(score[test.labels == 1] >= limit)
        assert row["at_threshold"]["sensitivity"] == pytest.approx(caught)
    assert len(set(limits["files"].values())) == len(result["variants"])


def test_evaluate_gives_the_reports_figures(
    released, splits, saved_model
) -> None:
    result, release = released
    config = app.Config(**TINY)
    printed = predict.evaluate(saved_model, splits, config)
    for name in ("auroc", "average_precision", "sensitivity", "psnr", "ssim"):
        expected = result["metrics"]["test"][name]
        assert printed[name] == pytest.approx(expected, abs=1e-3), name
    phone = predict.Released(served.Local(release), "int8")
    (int8,) = (row for row in result["variants"] if row["name"] == "int8")
    printed = predict.evaluate(phone, splits, config)
    assert printed["auroc"] == pytest.approx(int8["metric"])
    for name in ("specificity", "sensitivity"):
        assert printed[name] == pytest.approx(int8["at_threshold"][name])
    limits = json.loads((release / "mobile/thresholds.json").read_text())
    answer = phone(splits.test.features)
    np.testing.assert_array_equal(
        answer["is_anomalous"],
        answer["anomaly_score"] >= limits["files"]["int8.tflite"],
    )


def test_evaluate_finds_the_data_of_training(released) -> None:
    trained = released[0]["config"]
    options = as_trained(app.Config(mode="evaluate"), trained)
    assert (options.dataset, options.score) == ("phantoms", "auto")
    given = app.Config(
        mode="evaluate", dataset="other/", normal_label="NORMAL", seed=5
    )
    options = as_trained(given, trained)
    assert (options.dataset, options.normal_label) == ("other/", "NORMAL")
    assert options.seed == 5  # A given option always wins.


@pytest.mark.parametrize("name", ["normal", "abnormal"])
def test_evaluate_judges_all_of_a_folder_that_is_named(
    released, splits, tmp_path, capsys, name
) -> None:
    """No patient is set aside, and all images may be of the same kind."""
    kind = tmp_path / "new" / name
    kind.mkdir(parents=True)
    label = int(name == "abnormal")
    images = splits.test.features[splits.test.labels == label][:6]
    for index, image in enumerate(images):
        pixels = np.round(image[..., 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(kind / f"{index}.png")
    config = app.Config(
        mode="evaluate", release=str(released[1]), dataset=str(kind.parent)
    )
    program.run(config)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["dataset"], printed["examples"]) == ("new", 6)
    assert printed["split"] == "all"
    known, unknown = ("specificity", "sensitivity")[:: -1 if label else 1]
    assert 0 <= printed[known] <= 1
    reason = f"there is no {'normal' if label else 'abnormal'} image"
    for metric in (unknown, "auroc", "average_precision"):
        assert printed[metric] is None
        assert printed["not_computed"][metric] == reason
    assert (printed["ssim"] is None) == bool(label)
    # A single folder of any other name may hold normal images.
    kind.rename(kind.with_name("healthy"))
    with pytest.raises(InputError, match="--normal_label must name one of"):
        program.run(config)
    program.run(config.replace(normal_label="healthy"))
    assert json.loads(capsys.readouterr().out)["sensitivity"] is None


@pytest.fixture(scope="module")
def scans(released, home: Path, splits) -> Path:
    """A folder with a file of each kind; the DICOM file names a patient."""
    folder = home / "scans"
    folder.mkdir()
    Image.fromarray(
        np.round(splits.test.features[0, ..., 0] * 255).astype(np.uint8)
    ).save(folder / "a.png")
    Image.fromarray(RAMP).save(folder / "b.tif")
    write(folder / "c.dcm", np.stack([RAMP] * 2), NumberOfFrames=2, **IDENTITY)
    return folder


def test_predict_writes_overlays_and_a_table(
    saved_model, scans, tmp_path, capsys, monkeypatch
) -> None:
    output = tmp_path / "scores.json"
    monkeypatch.chdir(scans.parent)
    config = app.Config(
        mode="predict", inputs=scans.name, output=str(output),
        overlays="heat",
    )  # fmt: skip
    predict.predict_files(saved_model, config)
    rows = json.loads(output.read_text())
    names = [Path(row["file"]).name for row in rows]
    assert names == ["a.png", "b.tif", "c.dcm#1", "c.dcm#2"]
    assert rows[2]["anomaly_score"] == rows[3]["anomaly_score"]
    for row, size in zip(rows, ((32, 32), (8, 8), (8, 8), (8, 8)), strict=True):
        with Image.open(row["overlay"]) as picture:
            assert picture.size == size and picture.mode == "RGB"
    printed = capsys.readouterr().out
    assert "no medical device" in printed and "c.dcm#2" in printed


def test_explain_shows_heat_maps_beside_the_pictures(
    released, scans, tmp_path, capsys, monkeypatch
) -> None:
    output, page = tmp_path / "where.json", tmp_path / "where.html"
    monkeypatch.chdir(scans.parent)
    program.run(
        app.Config(
            mode="explain", release=str(released[1]), inputs=scans.name,
            output=str(output), page=str(page), overlays=str(tmp_path / "heat"),
        )
    )  # fmt: skip
    rows = json.loads(output.read_text())
    assert len(rows) == len(list((tmp_path / "heat").iterdir())) == 4
    text = page.read_text("utf-8")
    assert text.count("data:image/png") == 8 and "c.dcm#2" in text
    assert "no medical device" in text and "not the int8 file" in text
    assert "no medical device" in capsys.readouterr().out


def test_predict_equals_the_model(released, saved_model, scans) -> None:
    frame = pictures.read(scans / "a.png", "").frames
    phone = predict.Released(served.Local(released[1]), "float32")
    expected, outputs = saved_model(frame), phone(frame)
    assert outputs["is_anomalous"] == expected["is_anomalous"]
    np.testing.assert_allclose(
        outputs["heatmap"], expected["heatmap"], atol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ""}, "received nothing"),
        ({"inputs": "none/*"}, "matches none"),
        ({"output": "table.xlsx"}, r"\.csv or \.json"),
        ({"overlays": "file/heat"}, "--overlays must be a folder"),
        ({"window": ("4",)}, "--window"),
        ({}, r"zero\.png: it is not a PNG"),
    ],
)
def test_predict_refuses_what_it_cannot_use(
    saved_model, tmp_path, monkeypatch, changes, words
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zero.png").touch()
    options = {"mode": "predict", "inputs": "in", **changes}
    with pytest.raises(InputError, match=words) as caught:
        predict.predict_files(saved_model, app.Config(**options))
    assert "\n" not in str(caught.value)


def test_predict_skips_what_cannot_be_read(
    saved_model, tmp_path, capsys
) -> None:
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "zero.dcm").touch()
    config = app.Config(
        mode="predict", inputs=str(tmp_path), on_bad_input="skip"
    )
    predict.predict_files(saved_model, config)
    printed = capsys.readouterr().out
    assert "good.png" in printed and "skipped" in printed
    (tmp_path / "good.png").unlink()
    with pytest.raises(InputError, match="no picture that can be read"):
        predict.predict_files(saved_model, config)


def test_a_release_of_another_kind_is_refused(released, tmp_path) -> None:
    with pytest.raises(InputError, match="--release must be of medical"):
        predict.Released(
            types.SimpleNamespace(has_files=True, release=tmp_path)
        )
    with pytest.raises(InputError, match="--variant must be one of float32"):
        predict.Released(served.Local(released[1]), "int4")


def test_a_bad_option_gets_one_line_at_once(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.medical_autoencoder", "--model=denoiser"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: --model=denoiser must have a --noise")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_a_browser_runs_the_files(released, browser, splits, variant) -> None:
    _, release = released
    file = release / "mobile" / f"{variant}.tflite"
    with demo_pages.opened(browser, release, variant) as state:
        assert state == ""
        images = splits.test.features[:3]
        demo_pages.check_runs(browser, file, {"image": images})
        shown = demo_pages.ask(browser, demo_pages.EXAMPLE)
        if variant == "float32":
            assert shown["difference"] < 1e-4
        assert "heat map over the input" in shown["phone"]
        assert "Anomaly score" in shown["savedModel"]
