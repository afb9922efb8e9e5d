"""Formats of few bits, the layers that forbid them, and what files compute."""

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812

from common import variants
from common.compression import chain
from common.keras2 import bridge
from common.mobile import conversion, four_bits, litert
from common.options import InputError

RNG = np.random.default_rng(0)


def convert(model: keras.Model, name: str, inputs: np.ndarray) -> bytes:
    (entry,) = model.inputs
    return conversion.convert(
        bridge.to_tf_keras(model), variants.VARIANTS[name],
        {entry.name: inputs}, ["out"], conversion.Int8("float32", False),
    )  # fmt: skip


def outputs(content: bytes, inputs: np.ndarray) -> np.ndarray:
    runner = litert.Runner(content)
    return runner(**{next(iter(runner.inputs)): inputs})["out"]


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = L.Conv2D(16, 3, activation="relu")(image)
    x = L.DepthwiseConv2D(3)(L.Conv2D(32, 1)(x))
    x = L.Dense(64, "relu")(L.Flatten()(x))
    return keras.Model(image, L.Dense(8)(x))


def text_network(*recurrent: L.Layer) -> keras.Model:
    tokens = keras.Input((12,), dtype="int32", name="tokens")
    x = L.Embedding(50, 8)(tokens)
    for layer in recurrent:
        x = layer(x)
    return keras.Model(tokens, L.Dense(3)(x))


def test_files_of_few_bits() -> None:
    model, x = network(), RNG.random((32, 16, 16, 3), np.float32)
    expected = model(x).numpy()
    files = {
        name: convert(model, name, x)
        for name in ("float32", "int8", "int8x16", "int4")
    }
    errors = {
        name: float(np.abs(outputs(content, x) - expected).max())
        for name, content in files.items()
    }
    assert errors["float32"] < 1e-5
    # 16 bits for what is computed: the error is that of the weights alone.
    assert errors["int8x16"] < 0.5 * errors["int8"]
    assert errors["int8"] < errors["int4"] < 0.3 * np.ptp(expected)
    assert len(files["int4"]) < 0.6 * len(files["int8"])
    assert len(files["int8x16"]) < 1.1 * len(files["int8"])


def test_zeros_of_four_bits_are_counted() -> None:
    model, x = network(), RNG.random((8, 16, 16, 3), np.float32)
    kernel = model.layers[-2].kernel
    kernel.assign(np.where(RNG.random(kernel.shape) < 0.9, 0.0, kernel))
    sparsity = litert.inspect(convert(model, "int4", x)).sparsity
    assert 0.85 < sparsity < 0.95


def test_a_file_that_gets_no_smaller_is_no_int4() -> None:
    model = text_network(L.LSTM(8))
    content = convert(model, "float32", RNG.integers(0, 50, (4, 12), "int32"))
    with pytest.raises(InputError, match="must make a file smaller"):
        four_bits.quantize(content)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("int8x16", "dynamic"), ("int4", "int8"), ("prune+int4", "prune+int8")],
)
def test_recurrent_and_embedded_weights_are_refused(name, nearest) -> None:
    model = text_network(L.Bidirectional(L.LSTM(8)))
    possible, (refused,) = chain.plan(model, variants.parse([name]))
    assert [variant.name for variant in possible] == ["float32"]
    assert refused["name"] == name
    assert refused["reason"].endswith(f"Nearest: {nearest}.")


LSTM = 12 * 4 * 8 * (8 + 8)
PRODUCTS = [
    (lambda: L.Conv2D(5, 3, padding="same"), (8, 8, 4), 64 * 5 * 36),
    (lambda: L.DepthwiseConv2D(3, 2, padding="same"), (8, 8, 4), 16 * 4 * 9),
    (lambda: L.Conv2DTranspose(5, 3, 2, padding="same"), (8, 8, 4),
     64 * 9 * 4 * 5),
    (lambda: L.Conv1D(5, 3, padding="same"), (8, 4), 8 * 5 * 12),
    (lambda: L.Dense(5), (7, 4), 7 * 4 * 5),
    (lambda: L.LSTM(8), (12, 8), LSTM),
    (lambda: L.Bidirectional(L.LSTM(8)), (12, 8), 2 * LSTM),
    (lambda: L.MaxPool2D(), (8, 8, 4), 0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape", "expected"), PRODUCTS)
def test_multiplications(make, shape, expected) -> None:
    inputs = keras.Input(shape, name="x")
    model = keras.Model(inputs, make()(inputs))
    content = convert(model, "float32", RNG.random((2, *shape), np.float32))
    assert litert.inspect(content).multiplications == expected


def test_matrix_products_and_loops() -> None:
    inputs = keras.Input((6, 8), name="x")
    x = RNG.random((2, 6, 8), np.float32)
    attention = L.Attention()([inputs, inputs])
    content = convert(keras.Model(inputs, attention), "float32", x)
    assert litert.inspect(content).multiplications == 2 * 6 * 6 * 8
    loop = convert(keras.Model(inputs, L.GRU(4)(inputs)), "float32", x)
    assert litert.inspect(loop).multiplications is None


def test_a_file_that_cannot_be_made_is_refused(tmp_path, monkeypatch) -> None:
    x = RNG.random((8, 16, 16, 3), np.float32)
    twins = {(): bridge.to_tf_keras(network())}
    plan = chain.plan(network(), variants.parse(["int8", "int8x16", "int4"]))

    def fail(content: bytes) -> bytes:
        raise KeyError("no such\noperator")

    def infinite(*args: object, **kwargs: object) -> bytes:
        model = network()
        model.layers[-1].bias.assign([np.inf] * 8)
        return made(bridge.to_tf_keras(model, check=False), *args[1:], **kwargs)

    monkeypatch.setattr(four_bits, "quantize", fail)
    paths = conversion.write(
        tmp_path / "mobile", twins, plan, {"image": x}, ["out"]
    )
    assert [path.stem for path in paths] == ["float32", "int8", "int8x16"]
    assert plan.refused == [{"name": "int4", "reason": r"'no such\noperator'"}]
    made = conversion.convert
    monkeypatch.setattr(conversion, "convert", infinite)
    plan = variants.Plan([variants.VARIANTS["int8x16"]], [])
    folder = tmp_path / "again"
    assert conversion.write(folder, twins, plan, {"image": x}, ["out"]) == []
    assert "not finite" in plan.refused[0]["reason"]
