"""The app on DICOM files without labels, and as a denoiser."""

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_medical_autoencoder_dicom import IDENTITY, SECRETS, write

from apps.medical_autoencoder import predict
from apps.medical_autoencoder import train as app
from common import program, runtime
from common.release import served
from common.training import fitting


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory) -> tuple[dict, Path, str]:
    """A run on DICOM files that name a patient, all of them normal."""
    home = tmp_path_factory.mktemp("hospital")
    (home / "data").mkdir()
    rng = np.random.default_rng(0)
    for index in range(24):
        pixels = rng.integers(0, 1000, (16, 16)).astype(np.uint16)
        patient = {**IDENTITY, "PatientID": f"ID-987654321-{index}"}
        write(home / "data" / f"{index}.dcm", pixels, **patient)
    console = io.StringIO()
    runtime.start(0)
    with (
        contextlib.chdir(home),
        contextlib.redirect_stdout(console),
        contextlib.redirect_stderr(console),
    ):
        result = app.run(
            app.Config(
                dataset="data", model="variational", filters=2, epochs=1,
                variants=("float32",),
            )
        )  # fmt: skip
        predict.predict_files(
            predict.Released(
                served.Local(home / "saved_models/medical_autoencoder/1")
            ),
            app.Config(mode="predict", inputs="data", overlays="heat",
                       output="scores.csv"),
        )  # fmt: skip
        program.run(
            app.Config(mode="explain", inputs="data", page="where.html")
        )
    return result, home, console.getvalue()


def test_without_abnormal_images_it_says_what_is_unknown(unlabelled) -> None:
    result, _, printed = unlabelled
    assert result["task_metric"] == "ssim"
    assert "cannot be known" in printed
    test = result["metrics"]["test"]
    assert "specificity" in test
    assert not {"auroc", "sensitivity", "average_precision"} & set(test)
    assert result["baselines"] == []
    for row in result["variants"]:
        assert set(row["at_threshold"]) == {"threshold", "specificity"}


def test_nobody_is_named(unlabelled) -> None:
    _, home, printed = unlabelled
    assert "data/1.dcm" in printed  # A file's name is the user's own.
    written = [
        path for path in home.rglob("*")
        if path.is_file() and (home / "data") not in path.parents
    ]  # fmt: skip
    assert len(written) > 40
    for path in written:
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content += b"".join(map(archive.read, archive.namelist()))
        for secret in SECRETS:
            assert secret.encode() not in content, (secret, path)
            assert secret not in str(path.relative_to(home))
    assert not [secret for secret in SECRETS if secret in printed]


@pytest.mark.slow
def test_a_denoiser_is_released_without_scores(tmp_path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(30):
        grey = Image.fromarray(np.full((16, 16), 5 * index + 40, np.uint8))
        grey.save(images / f"{index}.png")
    options = app.Config(
        dataset=str(images), model="denoiser", noise="gaussian", filters=4,
        loss="mae", epochs=30, batch_size=4, learning_rate=3e-3,
        variants=("float32", "int8"), max_drop=30.0,
        export_dir=str(tmp_path / "out"),
        work_dir=str(tmp_path / "work"),
    )  # fmt: skip
    result = app.run(options)
    assert result["task_metric"] == "psnr"
    test = result["metrics"]["test"]
    assert test["psnr_gain"] > 3
    assert test["psnr_low"] <= test["psnr"] <= test["psnr_high"]
    names = [row["name"].split(",")[0] for row in result["baselines"]]
    assert names == ["noisy input", "median", "non-local means"]
    model = predict.Released(
        served.Local(tmp_path / "out/medical_autoencoder/1")
    )
    assert set(model(np.zeros((1, 16, 16, 1), "f4"))) == {"reconstruction"}
    evaluated = predict.evaluate(model, app.load_data(options), options)
    assert evaluated["psnr"] == pytest.approx(test["psnr"], abs=0.05)
    predict.predict_files(
        model,
        app.Config(mode="predict", inputs=str(images / "1.png"),
                   overlays=str(tmp_path / "clean")),
    )  # fmt: skip
    (picture,) = (tmp_path / "clean").iterdir()
    with Image.open(picture) as opened:
        assert opened.size == (16, 16) and opened.mode == "L"


def test_patience_reaches_training(tmp_path, monkeypatch) -> None:
    received = {}

    def fit(model, splits, options, **named) -> None:
        received.update(named, patience=options.patience)
        raise InterruptedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "fit", fit)
    with pytest.raises(InterruptedError):
        app.run(app.Config(dataset="phantoms", patience=3, variants=()))
    assert received["patience"] == 3 and received["mode"] == "min"
