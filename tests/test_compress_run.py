"""apps.compress from the command line's options to the release."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L  # noqa: N812

from apps.compress import results
from apps.compress import train as app
from common import variants
from common.keras2 import bridge
from common.mobile import conversion, litert
from common.options import InputError

RNG = np.random.default_rng(0)
A = RNG.normal(size=(240, 6)).astype(np.float32)
B = RNG.integers(0, 9, (240, 5))
Y = (A[:, 0] > 0).astype(int) + (B[:, 0] > 4)


def two_inputs() -> keras.Model:
    """Returns a trained model from numbers and tokens to three classes."""
    keras.utils.set_random_seed(0)
    numbers = keras.Input((6,), name="numbers")
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    words = L.Flatten(name="flat")(L.Embedding(9, 4, name="words")(tokens))
    x = L.Concatenate(name="joined")([numbers, words])
    x = L.Dense(24, activation="relu", name="hidden")(x)
    x = L.Dropout(0.1, name="idle")(x)
    out = L.Dense(3, activation="softmax", name="out")(x)
    model = keras.Model([numbers, tokens], out, name="two")
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit([A, B], Y, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    root = tmp_path_factory.mktemp("compress")
    two_inputs().save(root / "two.keras")
    np.savez(root / "data.npz", numbers=A, tokens=B, y=Y)
    np.savez(root / "inputs.npz", numbers=A, tokens=B)
    return root


def config(folder: Path, **options: Any) -> app.Config:
    return app.Config(
        model=str(folder / "two.keras"),
        export_dir=str(folder / "releases"),
        **options,
    )


def release(folder: Path) -> Path:
    numbers = (folder / "releases" / "compress").iterdir()
    return max(numbers, key=lambda path: int(path.name))


def test_a_run_with_two_inputs(folder: Path) -> None:
    result = app.run(
        config(
            folder,
            dataset=str(folder / "data.npz"),
            variants=("float32", "int8", "prune+int8", "qat", "dynamic"),
            finetune_epochs=2,
            sparsity=0.5,
            denylist=("out",),
        )
    )
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "int8", "prune+int8"}
    refused = {row["name"]: row["reason"] for row in result["refused_variants"]}
    assert "--denylist" in refused["dynamic"]
    assert "would not hold. Nearest: int8." in refused["qat"]
    assert rows["prune+int8"]["sparsity"] >= 0.4
    assert rows["int8"]["float_layers"] == ["out"]
    path = release(folder)
    model = keras.saving.load_model(path / "model.keras", compile=False)
    expected = model.predict([A[:9], B[:9]], verbose=0)
    served = tf.saved_model.load(path).signatures["serving_default"]
    feed = {"numbers": A[:9], "tokens": B[:9].astype(np.int32)}
    answer = served(**{k: tf.constant(v) for k, v in feed.items()})
    np.testing.assert_allclose(answer["output"], expected, atol=1e-5)
    for name, limit in (("float32", 1e-5), ("int8", 0.05)):
        content = (path / "mobile" / f"{name}.tflite").read_bytes()
        outputs = litert.Runner(content)(**feed)["output"]
        np.testing.assert_allclose(outputs, expected, atol=limit)
    assert (path / "report" / "model_card.md").is_file()
    on_disk = json.loads((path / "report" / "report.json").read_text("utf-8"))
    assert on_disk["variants"] == result["variants"]
    assert (path / "mobile" / "model.tflite").is_file()


def test_without_labels_only_post_training_variants(folder: Path) -> None:
    result = app.run(config(folder, calibration=str(folder / "inputs.npz")))
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "float16", "dynamic", "int8"}
    assert result["task_metric"] == "agreement"
    assert rows["float32"]["metric"] == 1.0
    for refused in result["refused_variants"]:
        assert "needs labels" in refused["reason"]
    assert len(result["refused_variants"]) == 2


def test_a_denied_layer_stays_in_float(folder: Path) -> None:
    twin = bridge.to_tf_keras(
        keras.saving.load_model(folder / "two.keras", compile=False)
    )
    int8 = variants.parse(["int8"])[1]
    examples = {"numbers": A, "tokens": B.astype(np.int32)}
    calibrated = conversion.calibrate(twin, int8, examples, ["output"])
    assert {"hidden", "out", "words"} <= set(calibrated.nodes)

    def float_bytes(denylist: list[str]) -> int:
        return len(calibrated.quantize(denylist))

    # The layer has 26 x 24 weights, of four bytes each in place of one byte.
    assert float_bytes(["hidden"]) - float_bytes([]) >= 3 * 26 * 24 - 500
    everything = calibrated.quantize(list(calibrated.nodes))
    outputs = litert.Runner(everything)(**examples)["output"]
    np.testing.assert_allclose(outputs, twin(examples).numpy(), atol=1e-5)


def spread(model: keras.Model, factor: float) -> None:
    """Gives channels very different sizes, without a change of the outputs."""
    factors = np.geomspace(1 / factor, factor, 24).astype(np.float32)
    factors = np.random.default_rng(0).permutation(factors)
    kernel, bias = model.get_layer("hidden").get_weights()
    model.get_layer("hidden").set_weights([kernel * factors, bias * factors])
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([kernel / factors[:, None], bias])


def test_a_file_that_cannot_run_is_not_kept(folder: Path) -> None:
    model = keras.saving.load_model(folder / "two.keras", compile=False)
    spread(model, 1000.0)  # More than XNNPACK takes in one multiplication.
    model.save(folder / "wilder.keras")
    result = app.run(
        config(
            folder,
            calibration=str(folder / "inputs.npz"),
            variants=("float16", "int8"),
        ).replace(model=str(folder / "wilder.keras"))
    )
    names = [row["name"] for row in result["variants"]]
    assert names == ["float32", "float16"]
    (refused,) = result["refused_variants"]
    assert "LiteRT cannot run" in refused["reason"]
    assert not (release(folder) / "mobile" / "int8.tflite").exists()


@pytest.mark.slow
def test_the_selective_mode_finds_the_layer(folder: Path) -> None:
    model = keras.saving.load_model(folder / "two.keras", compile=False)
    # A single scale cannot represent channels of very different sizes.
    spread(model, 100.0)
    model.save(folder / "wild.keras")
    result = app.run(
        config(
            folder,
            dataset=str(folder / "data.npz"),
            loss="sparse_categorical_crossentropy",
            metric="accuracy",
            variants=("int8",),
            selective=True,
        ).replace(model=str(folder / "wild.keras"))
    )
    rows = {row["name"]: row for row in result["variants"]}
    float32, int8 = rows["float32"], rows["int8"]
    assert int8["valid_metric"] < float32["valid_metric"] - 0.01
    selective = rows["int8+selective"]
    assert selective["valid_metric"] >= float32["valid_metric"] - 0.01
    (choice,) = result["selective"]
    assert choice["reached"]
    assert choice["float_layers"] == selective["float_layers"]
    assert set(selective["float_layers"]) & {"hidden", "out"}
    costs = choice["costs"]
    assert max(costs["hidden"], costs["out"]) == max(costs.values())
    # If int8 is good enough, no layer stays in float.
    result = app.run(
        config(
            folder,
            dataset=str(folder / "data.npz"),
            variants=("int8",),
            selective=True,
            max_drop=0.5,
        )
    )
    assert result["selective"] == [] and len(result["variants"]) == 2


def test_int8_of_a_loop_is_refused_and_not_tried() -> None:
    inputs = keras.Input((5, 3), name="x")
    twin = bridge.to_tf_keras(keras.Model(inputs, L.GRU(4)(inputs)))
    names = ["dynamic", "int8", "prune+int8", "prune+cluster+qat"]
    wanted = variants.parse(names)
    x = np.zeros((1, 5, 3), np.float32)
    possible, refused = conversion.plan(twin, wanted, {"x": x}, ["y"])
    assert [variant.name for variant in possible] == ["float32", "dynamic"]
    assert [row["name"] for row in refused] == names[1:]
    assert all("WHILE" in row["reason"] for row in refused)
    assert "Nearest: prune+cluster+dynamic." in refused[2]["reason"]
    assert "Nearest: prune+dynamic." in refused[1]["reason"]


def test_a_fused_lstm_forgets_between_examples() -> None:
    inputs = keras.Input((5, 3), name="x")
    model = keras.Model(inputs, L.LSTM(4)(inputs))
    x = RNG.normal(size=(6, 5, 3)).astype(np.float32)
    content = conversion.convert(
        bridge.to_tf_keras(model), variants.parse([])[0], {"x": x}, ["y"],
        lstm="fused",
    )  # fmt: skip
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in litert.ops(content)
    outputs = litert.Runner(content)(x=x)["y"]
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--dataset must be given"),
        ({"dataset": "d", "variants": ("int7",)}, "--variants"),
    ],
)
def test_options_that_are_refused(options, words, folder) -> None:
    with pytest.raises(InputError, match=words):
        config(folder, **options)


@pytest.mark.parametrize(
    ("layer", "words"),
    [("hiden", "Did you mean hidden"), ("idle", "no operator of its own")],
)
def test_layers_that_cannot_be_denied(layer, words, folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        app.run(
            config(
                folder,
                dataset=str(folder / "data.npz"),
                denylist=(layer,),
            )
        )


@pytest.mark.parametrize("name", ["both", "last"])
def test_an_lstm_cannot_be_denied(name) -> None:
    inputs = keras.Input((5, 3), name="x")
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(inputs)
    twin = bridge.to_tf_keras(
        keras.Model(inputs, L.Dense(2, name="out")(L.LSTM(4, name="last")(x)))
    )
    assert {"both", "last"} <= conversion.lstm_layers(twin)
    assert "out" not in conversion.lstm_layers(twin)
    x = np.zeros((2, 5, 3), np.float32)
    with pytest.raises(InputError, match=f"{name} has an LSTM"):
        results._check_operators(
            twin, variants.parse(["int8"]), {"x": x}, ["y"], (name,)
        )


def test_layers_to_prune_are_checked_where_none_is_pruned(folder) -> None:
    with pytest.raises(InputError, match=r"--prune_layers.*Did you mean out"):
        app.run(
            config(
                folder,
                dataset=str(folder / "data.npz"),
                variants=("int8",),
                prune_layers=("outt",),
            )
        )


@pytest.mark.slow
def test_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "my.keras").write_bytes(b"no model")
    done = subprocess.run(
        [
            sys.executable, "-m", "apps.compress", "--model",
            str(tmp_path / "my.keras"), "--dataset=digits",
            f"--export_dir={tmp_path / 'releases'}",
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: --model=")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "releases").exists()
