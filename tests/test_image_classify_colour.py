"""TFLite files that take colour images around models of grey ones.

MediaPipe's ImageClassifier is asked for the same classes where MEDIAPIPE_PYTHON
names the interpreter of an environment that has it; see docs/phones.md.
"""

import csv
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
import tflite_metadata
from ai_edge_litert import schema_py_generated as schema

from apps.image_classify import colour, predict
from apps.image_classify import train as app
from common.keras2 import bridge
from common.mobile import conversion, litert
from common.options import InputError
from common.release import served
from common.variants import parse

ROOT = Path(__file__).resolve().parents[1]
IMAGES = np.random.default_rng(0).random((40, 8, 8, 3), np.float32)
IMAGES[0], IMAGES[1] = 0, 1
TINY = {
    "dataset": "digits",
    "epochs": 3,
    "learning_rate": 3e-3,
    "finetune_epochs": 1,
    "variants": ("float32", "int8", "qat"),
    "max_drop": 1.0,
    "mobile_channels": 3,
    "license": "Apache-2.0",
}
MEDIAPIPE = os.environ.get("MEDIAPIPE_PYTHON", "")


@pytest.fixture(scope="module")
def twin() -> tf_keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    x = keras.layers.Flatten()(x)
    return bridge.to_tf_keras(
        keras.Model(image, keras.layers.Dense(4, "softmax")(x))
    )


def convert(twin: tf_keras.Model, name: str) -> bytes:
    aware = name == "qat"
    if aware:
        twin = tfmot.quantization.keras.quantize_model(twin)
        grey = tf.image.rgb_to_grayscale(IMAGES)
        twin(grey, training=True)  # Measures the ranges.
    (variant,) = (v for v in parse([name]) if v.name == name)
    return conversion.convert(
        twin, variant, {"image": IMAGES}, ["probabilities"],
        wrap=lambda twin: colour.to_grey(twin, aware),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("float32", 1e-6), ("int8", 0.02), ("int4", 0.05), ("qat", 0.1)],
)
def test_a_file_makes_grey_as_tensorflow_does(twin, name, tolerance) -> None:
    content = convert(twin, name)
    runner = litert.Runner(content)
    detail = runner.inputs["image"]
    assert list(detail["shape"]) == [1, 8, 8, 3]
    tensors = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].tensors
    if name in ("int8", "qat"):  # The bytes of the image, and no float inside.
        assert detail["dtype"] == np.uint8
        assert detail["quantization"] == (pytest.approx(1 / 255), 0)
        types = {tensor.type for tensor in tensors}
        assert schema.TensorType.FLOAT32 not in types
    expected = twin(tf.image.rgb_to_grayscale(IMAGES), training=False).numpy()
    outputs = runner(image=IMAGES)["probabilities"]
    assert np.max(np.abs(outputs - expected)) < tolerance
    kernels = [t for t in tensors if list(t.shape) == [1, 1, 1, 3]]
    assert [kernel.type for kernel in kernels] == [
        # Four bits would make other colours grey than the model has learnt.
        schema.TensorType.FLOAT32
        if name in ("float32", "int4")
        else schema.TensorType.INT8
    ]


def test_only_grey_images_are_repeated() -> None:
    grey = IMAGES[..., :1]
    three = colour.with_channels(grey, 3)
    assert three.shape == IMAGES.shape
    np.testing.assert_array_equal(three, np.concatenate([grey] * 3, axis=-1))
    np.testing.assert_array_equal(colour.with_channels(grey, 1), grey)
    np.testing.assert_array_equal(colour.with_channels(IMAGES, 3), IMAGES)


@pytest.mark.parametrize("channels", [1, 2])
def test_other_numbers_of_channels_are_refused(channels: int) -> None:
    with pytest.raises(InputError, match="--mobile_channels must be 0"):
        app.Config(mobile_channels=channels)


@pytest.fixture(scope="module")
def photos(home: Path) -> Path:
    """Gives a folder of digits in coloured ink."""
    images = app.load_data(app.Config(**TINY)).test.features[:60]
    inks = np.array([[1, 1, 1], [1, 0.9, 0.5], [0.5, 1, 0.9], [0.9, 0.6, 1]])
    folder = home / "photos"
    folder.mkdir()
    for index, image in enumerate(images):
        pixels = (image * inks[index % len(inks)]).astype(np.uint8)
        content = tf.io.encode_png(pixels).numpy()
        (folder / f"{index:03d}.png").write_bytes(content)
    return folder


def predicted(release: Path, photos: Path, name: str) -> Path:
    """Gives the table that `predict` writes with a TFLite file."""
    output = photos.parent / f"{name or 'saved_model'}.csv"
    config = app.Config(mode="predict", inputs=str(photos), output=str(output))
    model = served.Local(release)
    predict.predict_files(predict.Classifier(model, name), config)
    return output


@pytest.mark.slow
def test_a_release_has_files_of_colour_images(released, photos) -> None:
    result, release = released
    for row in result["variants"]:
        assert row["inputs"]["image"]["shape"] == [1, 8, 8, 3], row["name"]
        assert row["metric"] > 0.5, row["name"]
        assert row["metadata_bytes"] < 1100, row["name"]
    assert result["variants"][0]["max_abs_error"] < 2e-3
    facts = tflite_metadata.check(release, "labels.txt")
    assert facts["license"] == "Apache-2.0"
    assert facts["inputs"][0]["colours"] == 1  # RGB
    labels = []
    for name in ("", "float32"):
        with predicted(release, photos, name).open() as file:
            labels.append([row["label"] for row in csv.DictReader(file)])
    assert labels[0] == labels[1]


@pytest.mark.skipif(
    not MEDIAPIPE, reason="needs MEDIAPIPE_PYTHON: see docs/phones.md"
)
@pytest.mark.parametrize("name", ["float32", "int8", "qat", "model"])
def test_mediapipe_names_the_classes_of_predict(released, photos, name) -> None:
    _, release = released
    done = subprocess.run(
        [
            MEDIAPIPE, str(ROOT / "benchmarks" / "mediapipe_check.py"),
            f"--model={release / 'mobile' / f'{name}.tflite'}",
            f"--predicted={predicted(release, photos, name)}",
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "60 of 60 classes are equal" in done.stdout
