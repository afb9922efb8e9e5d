"""LSTMs in TFLite files: without a state between calls, in every runtime."""

from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import compiled_model
from ai_edge_litert import interpreter as litert_interpreter
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from common import variants
from common.keras2 import bridge
from common.mobile import (
    conversion,
    flatbuffer,
    litert,
    lstm_graph,
    recurrence,
)
from common.options import InputError

RNG = np.random.default_rng(0)
FLOAT32, INT8 = variants.parse(["float32", "int8"])
UNITS, SIZE = 40, 30  # Kernels of this size become int8 in dynamic files.


def plain(length: int) -> keras.Model:
    """Returns an LSTM over a sequence of `length` steps."""
    x = keras.Input((length, SIZE), name="x")
    y = layers.LSTM(UNITS, return_sequences=True, name="y")(x)
    return randomized(keras.Model(x, y))


def several() -> keras.Model:
    """Returns LSTMs of both directions, and one with an initial state."""
    x = keras.Input((33, SIZE), name="x")
    both = layers.LSTM(UNITS, return_sequences=True)
    y = layers.Bidirectional(both)(x)
    state = [layers.Dense(UNITS)(x[:, place]) for place in (0, 1)]
    y = layers.LSTM(UNITS)(y, initial_state=state)
    return randomized(keras.Model(x, layers.Dense(3)(y)))


def randomized(model: keras.Model) -> keras.Model:
    """Returns the model with random weights, biases too."""
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.3)
    return model


def examples(model: keras.Model, num: int = 6) -> np.ndarray:
    """Returns random inputs of a model."""
    return RNG.normal(size=(num, *model.inputs[0].shape[1:])).astype("float32")


def file_of(
    twin: Any, variant: variants.Variant, x: Any, lstm: str = "loop"
) -> bytes:
    """Returns a TFLite file of a twin."""
    int8 = conversion.Int8("float32", whole=False)
    return conversion.convert(twin, variant, {"x": x}, ["y"], int8, lstm=lstm)


def interpreted(content: bytes, rows: np.ndarray) -> np.ndarray:
    """Returns the outputs of LiteRT's interpreter; no state is reset."""
    interpreter = litert_interpreter.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner()
    return np.concatenate([runner(x=row[None])["y"] for row in rows])


def compiled(content: bytes, rows: np.ndarray, shape: Any) -> np.ndarray:
    """Returns the outputs, each of `shape`, of LiteRT's CompiledModel."""
    model = compiled_model.CompiledModel.from_buffer(content)
    inputs, outputs = (
        model.create_input_buffers(0),
        model.create_output_buffers(0),
    )
    results = []
    for row in rows:
        inputs[0].write(np.ascontiguousarray(row[None]))
        model.run_by_index(0, inputs, outputs)
        values = outputs[0].read(int(np.prod(shape)), np.float32)
        results.append(values.reshape(shape))
    return np.stack(results)


@pytest.mark.parametrize("length", [1, 43])
def test_an_lstm_equals_keras_at_any_length(length) -> None:
    model = plain(length)
    x = examples(model, 20)
    content = file_of(bridge.to_tf_keras(model), FLOAT32, x)
    expected = model.predict(x, verbose=0)
    outputs = interpreted(content, x)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    loops = "WHILE" in litert.ops(content)
    assert loops == (length > lstm_graph.UNROLLED)
    runner = litert.Runner(content)
    np.testing.assert_allclose(runner(x=x)["y"], expected, atol=1e-5)
    assert runner._size == 20  # It can be resized to a batch.


@pytest.fixture(scope="module")
def several_twins() -> tuple[keras.Model, Any]:
    model = several()
    return model, bridge.to_tf_keras(model)


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_every_runtime_repeats_its_answers(name, several_twins) -> None:
    model, twin = several_twins
    x = examples(model)
    (variant,) = (v for v in variants.parse([name]) if v.name == name)
    content = file_of(twin, variant, x)
    contents = litert.inspect(content)
    assert not contents.stateful and recurrence.FUSED not in contents.ops
    outputs = interpreted(content, np.concatenate([x, x]))
    np.testing.assert_array_equal(outputs[:6], outputs[6:])
    expected = model.predict(x, verbose=0)
    parts = {"float32": 1e-5, "float16": 0.02, "dynamic": 0.1, "int8": 0.3}
    limit = parts[name] * np.abs(expected).max()
    np.testing.assert_allclose(outputs[:6], expected, atol=limit)
    again = compiled(content, np.concatenate([x, x]), expected.shape[1:])
    np.testing.assert_allclose(again, outputs, atol=1e-5)


def test_the_fused_form_keeps_its_state() -> None:
    model = plain(12)
    twin = bridge.to_tf_keras(model)
    x = examples(model)
    fused = file_of(twin, FLOAT32, x, "fused")
    contents = litert.inspect(fused)
    assert contents.stateful and recurrence.FUSED in contents.ops
    expected = model.predict(x, verbose=0)
    assert np.abs(interpreted(fused, x)[1:] - expected[1:]).max() > 0.01
    with pytest.raises(RuntimeError):
        compiled(fused, x, expected.shape[1:])
    # The runner resets it, and both forms do the same work.
    outputs = litert.Runner(fused)(x=x)["y"]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    loop = litert.inspect(recurrence.in_form(fused, "loop"))
    assert loop.multiplications == contents.multiplications


def test_weights_that_an_operator_computes_stay_where_they_are() -> None:
    model = plain(3)
    (float16,) = (v for v in variants.parse(["float16"]) if v != FLOAT32)
    twin, x = bridge.to_tf_keras(model), examples(model)
    file = flatbuffer.read(file_of(twin, float16, x, "fused"))
    for code in file.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.DEQUANTIZE:
            code.builtinCode = schema.BuiltinOperator.NEG
    content = flatbuffer.write(file)
    assert recurrence.without_state(content) == content


def test_an_initial_state_that_the_converter_loses_is_refused() -> None:
    x = keras.Input((7, SIZE), name="x")
    ones = keras.ops.repeat(keras.ops.ones_like(x[:, 0, :1]), UNITS, axis=1)
    y = layers.LSTM(UNITS)(x, initial_state=[ones, ones])
    model = randomized(keras.Model(x, y))
    twin, rows = bridge.to_tf_keras(model), {"x": examples(model)}
    with pytest.raises(InputError, match="initial state that is a constant"):
        conversion.plan(twin, [FLOAT32], rows, ["y"])
    twin, rows = bridge.to_tf_keras(plain(7)), {"x": examples(model)}
    assert conversion.plan(twin, [FLOAT32], rows, ["y"]).variants == [FLOAT32]


def test_a_cell_may_be_larger_than_ten() -> None:
    model = plain(30)
    twin = bridge.to_tf_keras(model)
    kernel, recurrent, bias = twin.get_layer("y").get_weights()
    bias = np.full_like(bias, 5.0)  # The cell counts up.
    twin.get_layer("y").set_weights([0 * kernel, 0 * recurrent, bias])
    x = examples(model, 2)
    fused = file_of(twin, FLOAT32, x, "fused")
    outputs = interpreted(recurrence.in_form(fused, "loop"), x)
    np.testing.assert_allclose(outputs, twin.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("lstm", ["loop", "fused"])
def test_an_int8_lstm_does_not_drift(lstm) -> None:
    model = plain(150)
    twin = bridge.to_tf_keras(model)
    x = examples(model, 8)
    content = file_of(twin, INT8, x, lstm)
    outputs = litert.Runner(content)(x=x)["y"]
    error = outputs - model.predict(x, verbose=0)
    assert np.abs(np.mean(error, axis=(0, 1))).max() < 0.02
    smaller = len(file_of(twin, FLOAT32, x, lstm)) - len(content)
    weights = 4 * UNITS * (UNITS + SIZE)
    assert smaller > 2.5 * weights  # Three of four bytes of each weight.
