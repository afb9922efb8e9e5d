"""Names of variants, and which variants a model can take."""

import time

import keras
import numpy as np
import pytest

from common import variants
from common.compression import chain, patterns
from common.keras2 import bridge
from common.options import InputError
from common.shared_options import Options
from common.training import trials


def test_names_stand_for_steps_and_a_format() -> None:
    parsed = variants.parse(["prune+cluster+qat", "prune+int8", "prune+int8"])
    assert [variant.name for variant in parsed] == [
        "float32", "prune+cluster+qat", "prune+int8",
    ]  # fmt: skip
    assert parsed[1].techniques == ("prune", "cluster", "qat")
    assert (parsed[1].format, parsed[2].format) == ("int8", "int8")


@pytest.mark.parametrize(
    "name",
    [
        "int7",
        "prune",
        "qat+int8",
        "cluster+prune+int8",
        "prune+lowrank+int8",
        "",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--variants must be"):
        variants.parse([name])


def test_shared_steps_are_done_once() -> None:
    names = ["prune+int8", "prune+float16", "prune+cluster+qat"]
    techniques = [variant.techniques for variant in variants.parse(names)]
    assert variants.prefixes(techniques) == [
        ("prune",), ("prune", "cluster"), ("prune", "cluster", "qat"),
    ]  # fmt: skip


def test_quantization_of_an_lstm_is_refused_with_a_reason() -> None:
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]
    )
    wanted = variants.parse(["dynamic", "prune+int8", "prune+qat"])
    possible, refused = chain.plan(model, wanted)
    assert [variant.name for variant in possible] == [
        "float32", "dynamic", "prune+int8",
    ]  # fmt: skip
    (refusal,) = refused
    assert refusal["name"] == "prune+qat"
    assert "lstm" in refusal["reason"].lower()
    assert refusal["reason"].endswith("Nearest: prune+int8.")


def test_a_trial_of_a_file_that_cannot_be_made_ends_before_training() -> None:
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]
    )
    with (
        trials.judged(trials.Trial(with_files=True)),
        pytest.raises(InputError, match=r"--variant must be .* qat: .*LSTM"),
    ):
        chain.plan(model, variants.parse(["qat"]))


def test_clustering_nothing_is_refused_and_the_rest_is_made() -> None:
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    wanted = variants.parse(["int8", "prune+cluster+int8"])
    possible, refused = chain.plan(small, wanted)
    assert [variant.name for variant in possible] == ["float32", "int8"]
    assert "can cluster none of" in refused[0]["reason"]
    assert refused[0]["reason"].endswith("Nearest: prune+int8.")


def deep(num_blocks: int) -> keras.Model:
    """Returns a residual network of blocks that repeat."""
    x = inputs = keras.Input((8, 8, 4), name="x")
    for _ in range(num_blocks):
        y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        y = keras.layers.BatchNormalization()(y)
        y = keras.layers.ReLU()(y)
        y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(y)
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def test_only_one_layer_of_each_pattern_is_tried() -> None:
    sizes = []
    for num_blocks in (4, 8):
        twin = bridge.to_tf_keras(deep(num_blocks), check=False)
        part = patterns.examples(twin, lambda layer: None)
        sizes.append(len(part.layers))
        for layer in part.layers:
            if layer.weights:
                expected = twin.get_layer(layer.name).get_weights()
                for value, weight in zip(
                    layer.get_weights(), expected, strict=True
                ):
                    np.testing.assert_array_equal(value, weight)
    assert sizes[0] == sizes[1] < 20


def test_a_refusal_is_that_of_the_whole_model() -> None:
    """The last of many blocks is refused, by its name."""
    model = deep(3)
    x = keras.layers.Reshape((1, 3))(model.output)
    model = keras.Model(model.input, keras.layers.LSTM(2, name="last")(x))
    (_, refused) = chain.plan(model, variants.parse(["cluster+int8", "qat"]))
    (refusal,) = refused
    assert "last (LSTM)" in refusal["reason"]


def test_normalization_that_is_not_folded_stays_in_float() -> None:
    """TF-MOT folds no layer whose outputs another layer takes too."""
    inputs = keras.Input((8, 8, 4), name="x")
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    y = keras.layers.BatchNormalization(name="norm")(x)
    shared = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)
    z = keras.layers.BatchNormalization(name="behind")(shared(shared(y)))
    model = keras.Model(inputs, keras.layers.Add()([x, z]))
    possible, refused = chain.plan(model, variants.parse(["qat"]), Options())
    assert not refused
    assert [variant.name for variant in possible] == ["float32", "qat"]


@pytest.mark.by_hand
def test_the_plan_of_a_network_of_50_layers_takes_seconds() -> None:
    model = keras.applications.ResNet50(weights=None)
    names = [
        "prune+int8", "cluster+int8", "qat", "prune+cluster+int8",
        "prune+cluster+qat",
    ]  # fmt: skip
    start = time.process_time()
    plan = chain.plan(model, variants.parse(names))
    assert time.process_time() - start < 5  # On a machine that is not busy.
    assert not plan.refused
