from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from common.keras2 import bridge
from common.mobile import conversion, litert, measurement
from common.mobile.measurement import Measurement
from common.shared_options import Options
from common.variants import Plan, parse

CALIBRATION = {
    "image": np.random.default_rng(0).random((50, 8, 8, 1), np.float32)
}
IMAGES = np.random.default_rng(1).random((7, 8, 8, 1), np.float32)


@pytest.fixture(scope="module")
def twin() -> tf_keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    x = keras.layers.Flatten()(x)
    output = keras.layers.Dense(4, "softmax", name="p")(x)
    return bridge.to_tf_keras(keras.Model(image, output))


@pytest.fixture(scope="module")
def files(twin) -> dict[str, bytes]:
    return {
        variant.name: conversion.convert(
            twin, variant, CALIBRATION, ["probabilities"]
        )
        for variant in parse(["float16", "dynamic", "int8"])
    }


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("float32", 1e-6), ("float16", 2e-3), ("dynamic", 2e-2), ("int8", 2e-2)],
)
def test_a_file_gives_what_the_model_gives(
    twin, files, name, tolerance
) -> None:
    outputs = litert.Runner(files[name])(image=IMAGES)["probabilities"]
    assert outputs.shape == (7, 4) and outputs.dtype == np.float32
    expected = twin(IMAGES, training=False).numpy()
    assert np.max(np.abs(outputs - expected)) < tolerance


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_batches_give_what_examples_alone_give(files, name, monkeypatch):
    images = np.random.default_rng(2).random((600, 8, 8, 1), np.float32)
    alone = litert.Runner(files[name])
    expected = np.concatenate(
        [alone(image=image[None])["probabilities"] for image in images]
    )
    invoke, calls = litert.Runner.invoke, []
    monkeypatch.setattr(
        litert.Runner,
        "invoke",
        lambda *args: (calls.append(1), invoke(*args)),
    )
    batched = litert.Runner(files[name])
    for part in (images, images[:7], images[:1]):
        outputs = batched(image=part)["probabilities"]
        atol = np.max(expected) * litert.TOLERANCE
        np.testing.assert_allclose(outputs, expected[: len(part)], 0, atol)
    assert len(calls) <= litert.COMPARED + 1


def test_a_file_that_mixes_a_batch_is_run_one_by_one() -> None:
    x = keras.Input((6,), name="x")
    model = bridge.to_tf_keras(keras.Model(x, keras.layers.Dense(3)(x)))

    def centred(twin):
        def serve(x):
            y = twin(x, training=False)
            return {"y": y - tf.reduce_max(y, axis=0, keepdims=True) / 2}

        return serve

    rows = np.random.default_rng(0).random((9, 6), np.float32)
    content = conversion.convert(
        model, parse([])[0], {"x": rows[:1]}, ["y"], wrap=centred
    )
    outputs = litert.Runner(content)(x=rows)["y"]
    np.testing.assert_allclose(outputs, model(rows).numpy() / 2, atol=1e-6)


def test_formats_differ_in_size_and_types(files) -> None:
    sizes = [len(files[n]) for n in ("float32", "float16", "dynamic")]
    assert sizes == sorted(sizes, reverse=True)
    runner = litert.Runner(files["int8"])
    for detail in (runner.inputs["image"], runner.outputs["probabilities"]):
        assert detail["dtype"] == np.uint8
    # The bytes of an image are the file's input, unchanged.
    scale, zero_point = runner.inputs["image"]["quantization"]
    assert scale == pytest.approx(1 / 255, rel=0.01) and zero_point == 0


def test_a_file_can_compute_more_than_the_twin(twin) -> None:
    content = conversion.convert(
        twin, parse(["float32"])[0], CALIBRATION, ["doubled", "first"],
        wrap=lambda twin: lambda image: {
            "doubled": 2.0 * twin(image), "first": image[:, 0, 0, 0],
        },
    )  # fmt: skip
    outputs = litert.Runner(content)(image=IMAGES)
    assert set(outputs) == {"doubled", "first"}
    np.testing.assert_allclose(outputs["first"], IMAGES[:, 0, 0, 0])
    np.testing.assert_allclose(outputs["doubled"], 2 * twin(IMAGES), atol=1e-5)


def test_contents_are_read_from_the_file(twin, files) -> None:
    contents = litert.inspect(files["float32"])
    assert not contents.stateful
    assert {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"} <= set(contents.ops)
    assert contents.sparsity == 0.0
    sparse = tf_keras.models.clone_model(twin)
    sparse.set_weights(
        [
            w * (np.arange(w.size).reshape(w.shape) % 4 == 0)
            for w in twin.get_weights()
        ]
    )
    for name in ("float32", "float16", "dynamic", "int8"):
        (variant,) = [v for v in parse([name]) if v.name == name]
        content = conversion.convert(sparse, variant, CALIBRATION, ["p"])
        assert litert.inspect(content).sparsity == pytest.approx(0.75, abs=0.02)


def test_integers_are_rounded_and_clipped() -> None:
    detail = {"quantization": (0.1, 3), "dtype": np.int8}
    values = np.array([0.0, 0.14, 0.16, -99.0, 99.0], np.float32)
    steps = litert.quantize(values, detail)
    assert steps.tolist() == [3, 4, 5, -128, 127]
    back = litert.dequantize(steps[:3], detail)
    np.testing.assert_allclose(back, [0.0, 0.1, 0.2], atol=1e-6)
    plain = {"quantization": (0.0, 0), "dtype": np.int32}
    assert litert.quantize(np.array([7]), plain).tolist() == [7]


def test_a_random_part_of_a_split_can_be_measured() -> None:
    options = Options(measure_examples=100, seed=3)
    rows = measurement.rows(5000, options)
    assert len(set(rows)) == 100 and list(rows) == sorted(rows)
    assert rows.max() > 4000 and rows.min() < 1000
    assert list(rows) == list(measurement.rows(5000, options))
    assert list(rows) != list(measurement.rows(5000, options.replace(seed=4)))
    for num, limit in ((100, 100), (50, 100), (50, 0)):
        part = measurement.rows(num, options.replace(measure_examples=limit))
        assert len(np.arange(num)[part]) == num


def row(name, valid, gzip_bytes, metric=0.9, p50=1.0):
    return {
        "name": name, "valid_metric": valid, "metric": metric,
        "gzip_bytes": gzip_bytes, "latency_ms": {"p50": p50},
    }  # fmt: skip


def test_the_smallest_within_the_drop_is_chosen_on_validation() -> None:
    rows = measurement.choose(
        [
            row("float32", 0.95, 100),
            row("int8", 0.945, 30),
            row("qat", 0.944, 20),
            # The metric on test is good enough, but test does not decide.
            row("tiny", 0.90, 5, metric=0.99),
        ],
        0.005,
    )
    assert [row["name"] for row in rows if row["chosen"]] == ["int8"]
    assert rows[3]["drop"] == pytest.approx(-0.09)


def test_files_that_no_other_surpasses_are_on_the_front() -> None:
    rows = [
        row("float32", 0.95, 100),
        row("float16", 0.95, 90, p50=1.2),  # Smaller, but slower.
        row("int8", 0.94, 30, p50=0.5),
        row("worse", 0.93, 30, p50=0.46),  # Its latency is the same.
        row("same", 0.94, 30, p50=0.5),
    ]
    chosen = measurement.choose(rows, 0.02)
    front = [row["name"] for row in chosen if row["pareto"]]
    assert front == ["float32", "float16", "int8", "same"]
    # Where less is better, the worst of these figures is the best.
    chosen = measurement.choose(rows, 0.02, higher_is_better=False)
    front = [row["name"] for row in chosen if row["pareto"]]
    assert front == ["worse"]


def test_files_are_measured_and_the_chosen_one_copied(
    twin, files, tmp_path: Path
) -> None:
    directory = tmp_path / "mobile"
    paths = conversion.write(
        directory,
        {(): twin},
        Plan(parse(["int8"]), []),
        CALIBRATION,
        ["probabilities"],
    )
    labels = np.array([0, 1, 2, 3, 0, 1, 2])
    sample = Measurement(
        valid=lambda: [(IMAGES[:3], labels[:3])],
        test=lambda: [(IMAGES[:4], labels[:4]), (IMAGES[4:], labels[4:])],
        reference=twin(IMAGES).numpy(),
        metric=lambda outputs, truth: float(
            np.mean(outputs.argmax(1) == truth)
        ),
    )
    rows = measurement.measure_all(paths, sample, max_drop=1.0)
    assert [row["file"] for row in rows] == [
        "mobile/float32.tflite", "mobile/int8.tflite",
    ]  # fmt: skip
    for path, row in zip(paths, rows, strict=True):
        assert row["bytes"] == path.stat().st_size > row["gzip_bytes"] > 0
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"]
    assert rows[0]["max_abs_error"] < 1e-6 < rows[1]["max_abs_error"] < 0.02
    assert (directory / "model.tflite").read_bytes() == paths[1].read_bytes()
