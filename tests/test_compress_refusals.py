"""What apps.compress refuses, each in one line."""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812

from apps.compress import __main__ as app
from apps.compress import npz, objective, user_model
from common.config import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)


def classifier() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((6,), name="features"), L.Dense(3, activation="softmax")]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


@pytest.fixture
def file(tmp_path: Path) -> str:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    classifier().save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


def config(file: str, **options: Any) -> app.Config:
    folder = Path(file).parent
    options = {"dataset": str(folder / "data.npz"), **options}
    return app.Config(
        model=file, export_dir=str(folder / "releases"), **options
    )


def test_configurations_that_are_no_model_s(tmp_path) -> None:
    for inner in ("", ', "config": 3'):
        with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
            text = f'{{"class_name": "Model", "module": "keras"{inner}}}'
            archive.writestr("config.json", text)
            archive.writestr("model.weights.h5", "")
        with pytest.raises(InputError, match="functional or Sequential"):
            user_model.load(str(tmp_path / "odd.keras"))


def test_metrics_and_losses_that_cannot_be_made(file) -> None:
    user = user_model.load(file)
    with pytest.raises(InputError, match=r"needs no arguments.*'MeanIoU'"):
        objective.build(user, "", "MeanIoU")
    gone = {"module": "keras.losses", "class_name": "Gone", "config": {}}
    for part, option in (("loss", "--loss"), ("metrics", "--metric")):
        other = dataclasses.replace(user, **{part: gone})
        with pytest.raises(InputError, match=f"{option} must .*'Gone'"):
            objective.build(other, "", "")


@pytest.mark.parametrize(
    ("member", "content", "words"),
    [("x.npy", b"junk", "arrays only; x"), ("", b"junk", "a zip of arrays")],
)
def test_files_that_are_no_npz(member, content, words, tmp_path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    if member:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)
    with pytest.raises(InputError, match=words):
        npz.load(str(path), classifier(), 0, True)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "must hold y too"),
        ({"y": Y}, "must hold x and y"),
        ({"x": X, "y": Y[:5]}, "as many labels"),
        ({"x": X[:3], "y": Y[:3]}, "8 or more"),
        ({"x": np.array([{}] * 9), "y": Y[:9]}, "plain arrays"),
        ({"x": np.array(["a"] * 9), "y": Y[:9]}, "numbers"),
        ({"x": np.full((9, 6), np.nan), "y": Y[:9]}, "NaN"),
    ],
)
def test_npz_files_that_are_refused(arrays, words, tmp_path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=words):
        npz.load(str(tmp_path / "bad.npz"), classifier(), 0, True)


def test_data_of_another_shape(file, tmp_path) -> None:
    np.savez(tmp_path / "bad.npz", x=X[:, :4], y=Y)
    with pytest.raises(InputError, match=r"\(6,\).*\(4,\)"):
        app.run(config(file, dataset=str(tmp_path / "bad.npz")))
    assert not (tmp_path / "releases").exists()


def test_splits_of_another_shape_than_train(file, tmp_path) -> None:
    for split in ("valid", "test"):
        extra = {f"x_{split}": X[:9, :4], f"y_{split}": Y[:9]}
        np.savez(tmp_path / "bad.npz", x=X, y=Y, **extra)
        with pytest.raises(InputError, match=r"\(6,\).*\(4,\)"):
            app.run(config(file, dataset=str(tmp_path / "bad.npz")))


def test_a_place_that_cannot_be_written_is_refused_first(file) -> None:
    with pytest.raises(InputError, match="--export_dir must be a directory"):
        app.run(config(file).replace(export_dir=file, model="none.keras"))


@pytest.mark.parametrize("wrong", [-1, 9])
def test_indices_that_an_embedding_does_not_have(wrong, tmp_path) -> None:
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32", name="tokens"),
            L.Embedding(9, 2),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "model.keras")
    tokens = RNG.integers(0, 9, (40, 5))
    tokens[np.argmax(Y), 0] = wrong  # In one split of the three.
    np.savez(tmp_path / "data.npz", tokens=tokens, y=Y)
    with pytest.raises(InputError, match=rf"0 to 8 .* has {wrong}\."):
        app.run(config(str(tmp_path / "model.keras")))


def test_numbers_that_are_not_finite(file, tmp_path) -> None:
    # Too large for float32: infinite once they are fed.
    np.savez(tmp_path / "big.npz", x=X.astype(np.float64) * 1e300, y=Y)
    with pytest.raises(InputError, match="must give finite numbers"):
        app.run(config(file, dataset=str(tmp_path / "big.npz")))
    good = {f"x_{one}": X for one in ("valid", "test")}
    labels = {f"y_{one}": Y for one in ("valid", "test")}
    big = X.astype(np.float64) * 1e300
    np.savez(tmp_path / "train.npz", x=big, y=Y, **good, **labels)
    with pytest.raises(InputError, match="finite in float32"):
        app.run(config(file, dataset=str(tmp_path / "train.npz")))
    model = classifier()
    model.layers[-1].bias.assign([np.nan] * 3)
    model.save(file)
    with pytest.raises(InputError, match="must give finite numbers"):
        app.run(config(file))
