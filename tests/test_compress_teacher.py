"""apps.compress trains a model on a larger one before it compresses it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812

from apps.compress import train as app
from common.options import InputError
from common.report import report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)


def network(units: int, outputs: int, activation: str | None, loss: str):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,), name="x"),
            L.Dense(units, "relu", name="hidden"),
            L.Dense(outputs, activation, name="out"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    root = tmp_path_factory.mktemp("teacher")
    sparse = "sparse_categorical_crossentropy"
    big = network(64, 3, "softmax", sparse)
    big.fit(X, Y, epochs=30, verbose=0)
    big.save(root / "big.keras")
    network(8, 3, "softmax", sparse).save(root / "small.keras")
    network(8, 4, "softmax", sparse).save(root / "four.keras")
    network(8, 1, None, "mean_squared_error").save(root / "numbers.keras")
    pair = network(8, 1, "sigmoid", "binary_crossentropy")
    pair.save(root / "pair.keras")
    pair.fit(X, Y == 1, epochs=20, verbose=0)
    pair.save(root / "big_pair.keras")
    np.savez(root / "data.npz", x=X, y=Y)
    np.savez(root / "pair.npz", x=X, y=(Y == 1).astype(int))
    return root


def config(folder: Path, home: Path, **options: Any) -> app.Config:
    return app.Config(
        **{
            "model": str(folder / "small.keras"),
            "teacher": str(folder / "big.keras"),
            "dataset": str(folder / "data.npz"),
            "export_dir": str(home / "releases"),
            "work_dir": str(home / "runs"),
            "epochs": 20,
            "batch_size": 32,
            "learning_rate": 0.01,
            "variants": ("float32",),
            **options,
        }
    )


def test_the_model_learns_from_its_teacher(folder, tmp_path) -> None:
    result = app.run(config(folder, tmp_path, teacher_weight=0.9))
    release = tmp_path / "releases" / "compress" / "1"
    taught = result["teacher"]
    assert taught["metrics"]["valid"]["accuracy"] > 0.8
    assert (taught["weights"], taught["student_weights"]) == (643, 83)
    assert result["training"]["epochs"] == 20
    assert report.read(release)["teacher"]["name"] == "big.keras"
    # The untrained model is right in a third of the examples.
    assert result["metrics"]["test"]["accuracy"] > 0.7
    # The labels play a part too.
    other = app.run(config(folder, tmp_path, teacher_weight=0.1))
    assert other["history"]["loss"] != result["history"]["loss"]


def test_binary_outputs_have_teachers(folder, tmp_path) -> None:
    result = app.run(
        config(
            folder, tmp_path, model=str(folder / "pair.keras"),
            teacher=str(folder / "big_pair.keras"),
            dataset=str(folder / "pair.npz"),
        )
    )  # fmt: skip
    assert result["teacher"]["metrics"]["valid"]["accuracy"] > 0.8
    assert result["metrics"]["test"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "four.keras"}, r"output .*\(None, 3\); .*\(None, 4\)"),
        ({"teacher": "none.keras"}, "--teacher must be a file; there is no"),
        (
            {"model": "numbers.keras", "teacher": "numbers.keras"},
            "--teacher needs a model with one output and a loss of "
            "cross-entropy",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    folder, tmp_path, options, message
) -> None:
    paths = {name: str(folder / value) for name, value in options.items()}
    with pytest.raises(InputError, match=message):
        app.run(config(folder, tmp_path, **paths))


def test_options_of_training_need_a_teacher(folder, tmp_path) -> None:
    with pytest.raises(InputError, match="--epochs needs --teacher"):
        config(folder, tmp_path, teacher="")
    with pytest.raises(InputError, match="--teacher needs --dataset"):
        config(folder, tmp_path, dataset="", calibration="x.npz")


def test_only_one_model_that_scales_bytes_is_refused(folder, tmp_path) -> None:
    image = keras.Input((4, 4, 1), name="image")

    def classifier(x: Any) -> keras.Model:
        out = L.Dense(2, "softmax", name="out")(L.Flatten()(x))
        model = keras.Model(image, out)
        model.compile(loss="sparse_categorical_crossentropy")
        return model

    classifier(image).save(tmp_path / "scaled.keras")
    classifier(L.Rescaling(1 / 255)(image)).save(tmp_path / "bytes.keras")
    np.savez(
        tmp_path / "bytes.npz",
        x=RNG.integers(0, 256, (60, 4, 4, 1), dtype=np.uint8),
        y=np.arange(60) % 2,
    )
    options = config(
        tmp_path, tmp_path, model=str(tmp_path / "scaled.keras"),
        teacher=str(tmp_path / "bytes.keras"), metric="accuracy",
        dataset=str(tmp_path / "bytes.npz"),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"only .*bytes\.keras scales them"):
        app.run(options)
