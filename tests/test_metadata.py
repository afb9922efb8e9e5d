import gzip
import re

import keras
import numpy as np
import pytest
import tf_keras
import tflite_metadata
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as schema

from common.keras2 import bridge
from common.mobile import conversion, litert, metadata
from common.variants import VARIANTS, parse

IMAGES = np.random.default_rng(0).random((20, 8, 8, 3), np.float32)
LABELS = b"cat\ndog\n"
FACTS = metadata.Facts(
    "pets",
    "Tells cats from dogs.",
    {
        "image": metadata.Tensor(
            "A photo.", normalization=metadata.Normalization(mean=0, std=255)
        )
    },
    {"probabilities": metadata.Tensor("Of each class.", names="labels.txt")},
    "Apache-2.0",
)


def twin_of(channels: int) -> tf_keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, channels), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    x = keras.layers.Flatten()(x)
    return bridge.to_tf_keras(
        keras.Model(image, keras.layers.Dense(2, "softmax")(x))
    )


@pytest.fixture(scope="module")
def bare() -> dict[str, bytes]:
    """Gives files without metadata, by variant."""
    twin = twin_of(3)
    return {
        variant.name: conversion.convert(
            twin, variant, {"image": IMAGES}, ["probabilities"]
        )
        for variant in parse(["float32", "int8"])
    }


@pytest.fixture(scope="module")
def full(bare) -> dict[str, bytes]:
    """Gives the same files with metadata."""
    return {
        name: metadata.add(content, FACTS, {"labels.txt": LABELS})
        for name, content in bare.items()
    }


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_file_says_what_it_is(full, name) -> None:
    facts = tflite_metadata.read(full[name])
    version = facts.pop("version")
    assert re.fullmatch("[0-9a-f]{8}", version)
    (image,) = facts.pop("inputs")
    numbers = {"mean": [0.0], "std": [255.0]}  # In int8, of the tensor.
    assert image == {
        "name": "image", "description": "A photo.", "files": [],
        "content": 2, "colours": 1,  # ImageProperties, RGB
        **(numbers if name == "float32" else {}),
    }  # fmt: skip
    assert facts == {
        "name": "pets", "description": "Tells cats from dogs.",
        "license": "Apache-2.0", "files": [], "min_parser_version": "1.0.0",
        "outputs": [{
            "name": "probabilities", "description": "Of each class.",
            "files": [("labels.txt", 2)],  # TENSOR_AXIS_LABELS
        }],
    }  # fmt: skip
    assert tflite_metadata.packed(full[name]) == {"labels.txt": LABELS}


def test_grey_images_and_other_channels_are_told_apart() -> None:
    for channels, colours in ((1, 2), (4, 0)):
        content = conversion.convert(
            twin_of(channels),
            VARIANTS["float32"],
            {"image": IMAGES[..., :1].repeat(channels, axis=-1)},
            ["probabilities"],
        )
        content = metadata.add(content, FACTS, {"labels.txt": LABELS})
        (image,) = tflite_metadata.read(content)["inputs"]
        assert (image["content"], image["colours"]) == (2, colours)


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_the_model_is_the_same_as_before(bare, full, name) -> None:
    outputs = [
        litert.Runner(content)(image=IMAGES)["probabilities"]
        for content in (bare[name], full[name])
    ]
    np.testing.assert_array_equal(*outputs)
    signatures, metadata_names = [], []
    for content in (bare[name], full[name]):
        opened = interpreter.Interpreter(model_content=content)
        signatures.append(opened.get_signature_list())
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        metadata_names.append([entry.name for entry in model.metadata])
    assert signatures[0] == signatures[1]
    assert metadata_names[1] == [*metadata_names[0], b"TFLITE_METADATA"]
    rest = metadata.remove(full[name])
    assert rest.startswith(bare[name])
    assert not any(rest[len(bare[name]) :])
    assert metadata.remove(bare[name]) == bare[name]


def test_weights_stay_aligned(bare, full) -> None:
    places = []
    for content in (bare["float32"], full["float32"]):
        model = schema.Model.GetRootAs(content, 0)
        fields = [model.Buffers(i)._tab for i in range(model.BuffersLength())]
        places.append(
            [
                field.Vector(field.Offset(4)) % 16
                for field in fields
                if field.Offset(4)
            ]
        )
    assert places[1][: len(places[0])] == places[0]


def test_metadata_are_small_and_the_same_each_time(bare, full) -> None:
    for name, content in bare.items():
        again = metadata.add(content, FACTS, {"labels.txt": LABELS})
        assert again == full[name]
        assert len(again) - len(content) < 1000
        zipped = [len(gzip.compress(data, 9)) for data in (content, again)]
        assert zipped[1] - zipped[0] < 550


def test_the_version_is_that_of_the_model(bare, full) -> None:
    other = metadata.Facts("x", "y", {}, {})
    versions = [
        tflite_metadata.read(content)["version"]
        for content in (
            full["float32"],
            metadata.add(bare["float32"], other, {}),
            full["int8"],
        )
    ]
    assert versions[0] == versions[1] != versions[2]


def test_what_is_not_known_is_left_out(bare) -> None:
    content = metadata.add(
        bare["float32"], metadata.Facts("x", "y", {}, {}, files=("a.json",)),
        {"a.json": b"{}"},
    )  # fmt: skip
    facts = tflite_metadata.read(content)
    assert facts["inputs"] == [
        {"name": "image", "description": "", "files": []}
    ]
    assert (facts["license"], facts["files"]) == ("", ["a.json"])
    assert tflite_metadata.packed(content) == {"a.json": b"{}"}
    # A file with neither labels nor others has an archive without entries.
    content = metadata.add(
        bare["float32"], metadata.Facts("x", "y", {}, {}), {}
    )
    assert tflite_metadata.packed(content) == {}
    assert metadata.remove(content).startswith(bare["float32"])


def test_files_beside_the_model_are_packed(bare, tmp_path) -> None:
    (tmp_path / "labels.txt").write_bytes(LABELS)
    path = tmp_path / "float32.tflite"
    path.write_bytes(bare["float32"])
    metadata.write([path], FACTS)
    content = path.read_bytes()
    assert tflite_metadata.packed(content) == {"labels.txt": LABELS}
