"""Structure, refusals and converters of the Keras 2 bridge."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers as L  # noqa: N812
from keras import ops

from common.keras2 import bridge, check
from common.keras2.registry import UnsupportedLayerError, converter
from common.keras2.weights import weights_back

ROOT = Path(__file__).resolve().parents[1]


def test_import_leaves_tensorflow_alone() -> None:
    code = "import sys, common.keras2; sys.exit('tensorflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert ran.returncode == 0


def two_in_two_out() -> keras.Model:
    """A shared layer, nested models, dict inputs and outputs."""
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    shared = L.Dense(8, name="shared")
    inner = keras.Sequential([keras.Input((8,)), L.Dense(8)], name="inner")
    first, second = keras.Input((8,)), keras.Input((8,))
    pair = keras.Model(
        [first, second], inner(first) - shared(second), name="pair"
    )
    y = L.Add(name="y")([shared(a), shared(b), pair([a, inner(b)])])
    z = L.Dense(2, name="z")(y)
    return keras.Model({"a": a, "b": b}, {"y": y, "z": z}, name="both")


def test_structure_and_sharing() -> None:
    model = two_in_two_out()
    twin = bridge.to_tf_keras(model)
    assert check.compare(model, twin) <= 1e-6
    assert twin.name == "both"
    assert set(twin.input_names) == {"a", "b"}
    assert set(twin.output_names) == {"y", "z"}
    assert set(twin(check.random_inputs(model))) == {"y", "z"}
    names = [layer.name for layer in twin.layers]
    assert names.count("shared") == 1 and "pair" not in names
    assert len(twin.weights) == len(model.weights)


def test_twin_is_saved_and_loaded(tmp_path: Any) -> None:
    inputs = keras.Input((6, 4))
    x = L.Dense(4, activation="hard_silu")(inputs[:, 1:])
    model = keras.Model(inputs, ops.logsumexp(x * 2.0, axis=(1, 2)))
    bridge.to_tf_keras(model).save(tmp_path / "twin.keras")
    loaded = tf_keras.models.load_model(tmp_path / "twin.keras")
    assert check.compare(model, loaded) <= 1e-6


def test_masks_reach_and_end_where_they_do_in_keras_3() -> None:
    tokens = keras.Input((12,), dtype="int32")
    x = L.Embedding(5, 8, mask_zero=True)(tokens)
    recurrent = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    attended = L.MultiHeadAttention(2, 4)(x, recurrent)
    pooled = L.GlobalAveragePooling1D()(attended)
    with pytest.warns(UserWarning, match="destroy the mask"):
        convolved = L.Conv1D(4, 3)(x)
    ended = L.LSTM(3)(x + 1.0)
    outputs = [pooled, L.Flatten()(convolved), ended, L.GRU(2)(recurrent)]
    model = keras.Model(tokens, outputs)
    assert check.compare(model, bridge.to_tf_keras(model)) <= 1e-6


def test_trainable_flags() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(2)])
    model.layers[0].trainable = False
    twin = bridge.to_tf_keras(model)
    assert [x.trainable for x in twin.layers[1:]] == [False, True]
    model.trainable = False
    assert not bridge.to_tf_keras(model).trainable_weights


def test_adapted_normalization_survives_cloning() -> None:
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    model = keras.Sequential([keras.Input((4,)), layer, L.Dense(2)])
    twin = bridge.to_tf_keras(model)
    clone = tf_keras.models.clone_model(twin)
    clone.set_weights(twin.get_weights())
    assert check.compare(model, clone) <= 1e-6


def test_open_dimensions_and_small_images() -> None:
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            L.Conv2D(2, 50, activation=ops.gelu),
            L.GlobalMaxPooling2D(),
        ]
    )
    twin = bridge.to_tf_keras(model)
    assert twin.input_shape == (None, None, None, 3)
    assert check.compare(model, twin) <= 1e-5


def test_mixed_precision_becomes_float32() -> None:
    inputs = keras.Input((4,))
    x = L.Dense(4, dtype="mixed_float16")(inputs)
    x = ops.relu(x + L.Dense(4, dtype="mixed_float16")(x))
    twin = bridge.to_tf_keras(keras.Model(inputs, L.Dense(2)(x)))
    assert {layer.compute_dtype for layer in twin.layers} == {"float32"}


class Swoosh(L.Layer):
    """A custom layer with a weight."""

    def build(self, shape: Any) -> None:
        self.beta = self.add_weight(name="beta", shape=(shape[-1],))

    def call(self, inputs: Any) -> Any:
        return inputs * ops.sigmoid(self.beta)


class Branch(keras.Model):
    """A subclassed model."""

    def call(self, inputs: Any) -> Any:
        return inputs


def test_refusals_name_every_offender_in_one_line() -> None:
    inputs = keras.Input((4,), name="numbers")
    text = keras.Input((1,), dtype="string", name="text")
    x = L.Lambda(lambda x: x, name="anything")(Swoosh(name="swoosh")(inputs))
    y = L.Hashing(9, name="hash")(text)
    z = L.Dense(2, activation=lambda x: x, name="custom")(Branch(name="b")(x))
    w = ops.map(lambda v: v * 2, z)
    model = keras.Model([inputs, text], [z, y, w], name="wild")
    problems = bridge.unsupported_layers(model)
    assert len(problems) == 7
    with pytest.raises(UnsupportedLayerError) as error:
        bridge.to_tf_keras(model)
    message = str(error.value)
    assert "\n" not in message
    names = ["text", "swoosh", "anything", "hash", "custom", "b", "map"]
    assert all(f"'{name}'" in message for name in names)
    assert "serving signature" in message and "converter" in message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (keras.Sequential([L.Dense(2)]), "build"),
        (Branch(), "functional API"),
    ],
)
def test_models_without_a_graph_are_refused(model: Any, words: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=words):
        bridge.to_tf_keras(model)


@pytest.mark.parametrize(
    "layer",
    [
        L.Resizing(4, 4, antialias=True),
        L.RandomCrop(4, 4),
        L.CenterCrop(4, 4, data_format="channels_first"),
        L.BatchNormalization(renorm=True),
    ],
)
def test_arguments_without_an_equal_are_refused(layer: Any) -> None:
    model = keras.Sequential([keras.Input((8, 8, 8)), layer])
    assert len(bridge.unsupported_layers(model)) == 1


def test_lora_is_refused() -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(4)])
    model.layers[0].enable_lora(2)
    with pytest.raises(UnsupportedLayerError, match="LoRA"):
        bridge.to_tf_keras(model)


@tf_keras.saving.register_keras_serializable("test")
class TwinSwoosh(tf_keras.layers.Layer):
    """What stands for Swoosh."""

    def build(self, shape: Any) -> None:
        self.beta = self.add_weight(name="beta", shape=(shape[-1],))

    def call(self, inputs: Any) -> Any:
        return inputs * tf_keras.activations.sigmoid(self.beta)


@pytest.mark.parametrize("target", [Swoosh, "Swoosh"])
def test_converter(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.keras2 import registry

    monkeypatch.setattr(registry, "_USERS", {})
    converter(target)(lambda layer: TwinSwoosh(name=layer.name))
    converter(Branch)(lambda layer: lambda inputs: inputs)
    model = keras.Sequential([keras.Input((4,)), Swoosh(), L.Dense(2)])
    model.layers[0].beta.assign([1.0, 2.0, 3.0, 4.0])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Branch()(model(inputs)))
    twin = bridge.to_tf_keras(model)
    assert check.compare(model, twin) <= 1e-6


def test_weights_back_refuses_another_models_twin() -> None:
    def build(units: int) -> keras.Model:
        layer = L.Dense(units, name="dense")
        return keras.Sequential([keras.Input((4,)), layer])

    model = build(3)
    before = model.get_weights()
    with pytest.raises(ValueError, match="same shapes"):
        weights_back(bridge.to_tf_keras(build(2)), model)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_a_wrong_twin_is_noticed() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    twin = bridge.to_tf_keras(model)
    twin.set_weights([w + 1 for w in twin.get_weights()])
    with pytest.raises(ValueError, match="must equal"):
        check.compare(model, twin)
