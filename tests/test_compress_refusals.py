"""Models, data and options that apps.compress refuses, in a single line."""

import contextlib
import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812

from apps.compress import archive, npz, objective, user_model
from apps.compress import train as app
from common.options import InputError

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
    # Too large for float32: the numbers are infinite when they are fed.
    np.savez(tmp_path / "big.npz", x=X.astype(np.float64) * 1e300, y=Y)
    with pytest.raises(InputError, match="must give finite numbers"):
        app.run(config(file, dataset=str(tmp_path / "big.npz")))
    good = {f"x_{split}": X for split in ("valid", "test")}
    labels = {f"y_{split}": Y for split in ("valid", "test")}
    big = X.astype(np.float64) * 1e300
    np.savez(tmp_path / "train.npz", x=big, y=Y, **good, **labels)
    with pytest.raises(InputError, match="finite in float32"):
        app.run(config(file, dataset=str(tmp_path / "train.npz")))
    model = classifier()
    model.layers[-1].bias.assign([np.nan] * 3)
    model.save(file)
    with pytest.raises(InputError, match="must hold finite numbers"):
        app.run(config(file))


def npz_claiming(path: Path, header: bytes, size: int = 64) -> str:
    """Writes a `.npz` file whose array has the given header."""
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", start + header + bytes(size))
    return str(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            b"{'descr':'<f4','fortran_order':False,'shape':(2**40,)}\n",
            "plain arrays",
        ),
        (
            b"{'descr':'<f4','fortran_order':False,'shape':(1099511627776,)}\n",
            "claims 4,398,046,511,104 bytes and has 64",
        ),
        (b"{'descr':'<f4','fortran_order':False,'shape':(1\n", "plain arrays"),
        (b"\xff\x00{" * 9, "plain arrays"),
        (b"(" * 9000, "npz file of plain arrays"),
        (b"{'descr':'|O','fortran_order':False,'shape':(8,)}\n", "Object"),
    ],
)
def test_headers_of_arrays_are_not_believed(header, words, tmp_path) -> None:
    path = npz_claiming(tmp_path / "a.npz", header)
    with pytest.raises(InputError) as caught:
        npz._read_npz(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_zip_that_claims_more_than_the_machine_has() -> None:
    with zipfile.ZipFile(io.BytesIO(), "w") as file:
        file.writestr("x.npy", b"")
        file.infolist()[0].file_size = 2**42
        with pytest.raises(ValueError, match=r"claims 4,096\.0 GiB"):
            archive.check(file)


@pytest.mark.parametrize("seed", range(5))
def test_damaged_models_are_refused_in_a_line(file, seed, tmp_path) -> None:
    content = Path(file).read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(20):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 6):
            damaged[place] = rng.integers(256)
        (tmp_path / "b.keras").write_bytes(damaged)
        with contextlib.suppress(InputError):
            user_model._read_config(str(tmp_path / "b.keras"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"{}" + b" " * 2**26, "config.json claims 64 MiB, and 32 are"),
        (b"[" * 100_000, "whole .keras"),
        (b'{"compile_config": [1]}', "is damaged"),
        (b'{"compile_config": 7}', "is damaged"),
    ],
)
def test_configurations_are_not_believed(config, words, tmp_path) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", config)
        file.writestr("model.weights.h5", b"")
    with pytest.raises(InputError, match=words):
        user_model.load(str(path))


def test_a_member_that_is_cut_is_named(tmp_path) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(list(range(9000))))
        file.writestr("model.weights.h5", b"")
    content = bytearray(path.read_bytes())
    content[60:2000] = bytes(range(1, 98)) * 20
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a whole"):
        user_model.load(str(path))


def test_layers_that_declare_more_weights_than_the_file_holds(
    file, tmp_path
) -> None:
    path = tmp_path / "greedy.keras"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = content.replace(b'"units": 3', b'"units": 3000000000')
            copy.writestr(name, content)
    with pytest.raises(InputError, match=r"declare weights of 80,109 MiB"):
        user_model.load(str(path))
    assert user_model.load(file).model.count_params() == 21
