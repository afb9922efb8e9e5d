"""The LSTMs of a TFLite file: without a state that lasts from call to call.

The converter makes one operator of an LSTM, UNIDIRECTIONAL_SEQUENCE_LSTM, whose
state is in variable tensors: LiteRT's interpreter keeps them between calls, and
its newer runtimes (`CompiledModel`, LiteRT.js) refuse the file. It also clips
the cell at 10, which Keras does not. Here the operator becomes operators that
every runtime has: a short sequence is unrolled, a long one is a WHILE loop over
blocks of unrolled steps. Each call begins with the initial state.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import flatbuffer, lstm_graph, operations
from .flatbuffer import Graph

FUSED = "UNIDIRECTIONAL_SEQUENCE_LSTM"

# The operator's inputs, as in `lstm_shared.h` of LiteRT. Each set of four has
# the gates in the order input, forget, output, cell: the sigmoids come first.
KERNELS = (1, 2, 4, 3)
RECURRENT_KERNELS = (5, 6, 8, 7)
BIASES = (12, 13, 15, 14)
OUTPUT_STATE, CELL_STATE = 18, 19
HYBRID = 3  # The version of the operator with int8 weights.
# Peepholes, projection and normalization, which no Keras LSTM has.
UNUSED = (9, 10, 11, 16, 17, 20, 21, 22, 23)


def with_int8_weights(content: bytes) -> bytes:
    """Returns a file whose float LSTMs have int8 weights.

    They compute as those of the format dynamic do: the weights of each gate
    have a scale, and activations stay real numbers, so that no error adds up
    from step to step.

    Args:
        content: The bytes of the file.
    """
    model = flatbuffer.read(content)
    graph, fused = Graph(model, model.subgraphs[0]), _fused(model)
    for operator in fused:
        operator.inputs = np.array(operator.inputs)  # It is read-only.
        for place in (*KERNELS, *RECURRENT_KERNELS):
            values, _ = _values(model, operator.inputs[place])
            if values.dtype == np.float32:
                scale = max(float(np.max(np.abs(values))), 1e-12) / 127
                steps = np.round(values / scale).astype(np.int8)
                operator.inputs[place] = graph.constant(steps, [scale])
        operator.builtinOptions.asymmetricQuantizeInputs = True
        operator.opcodeIndex = graph.code(FUSED, HYBRID)
    return _written(model) if fused else content


def in_form(content: bytes, form: str) -> bytes:
    """Returns a file with its LSTMs in a form of `--mobile_lstm`."""
    return without_state(content) if form == "loop" else content


def without_state(content: bytes) -> bytes:
    """Returns a file whose float LSTMs are plain operators without a state.

    An LSTM with 8-bit activations stays as it is.

    Args:
        content: The bytes of the file.
    """
    model = flatbuffer.read(content)
    fused = _fused(model)
    for operator in fused:
        _replace(model, operator)
    return _written(model) if fused else content


def _written(model: Any) -> bytes:
    """Returns the bytes of a file without what it no longer needs."""
    flatbuffer.remove_unused(model)
    return flatbuffer.write(model)


def _fused(model: Any) -> list[Any]:
    """Returns the LSTMs of the main graph that are computed in float."""
    names, main = operations.names(model), model.subgraphs[0]
    return [
        operator
        for operator in main.operators
        if names[operator.opcodeIndex] == FUSED and _is_plain(model, operator)
    ]


def _is_plain(model: Any, operator: Any) -> bool:
    """Tells whether an operator is an LSTM as Keras has it, in float."""
    output = model.subgraphs[0].tensors[operator.outputs[0]]
    has_more = any(operator.inputs[place] >= 0 for place in UNUSED)
    return (
        output.type == flatbuffer.FLOAT32
        and not has_more
        and not operator.builtinOptions.timeMajor
        and all(
            operator.inputs[place] >= 0
            and _is_constant(model, operator.inputs[place])
            for place in (*KERNELS, *RECURRENT_KERNELS, *BIASES)
        )
    )


def _values(model: Any, index: int) -> tuple[np.ndarray, float]:
    """Returns the values of a constant of the main graph, and its scale."""
    tensor = _constant(model.subgraphs[0], index)
    dtype: np.dtype[Any] = next(
        dtype
        for dtype, number in flatbuffer.TYPES.items()
        if number == tensor.type
    )
    data = np.asarray(_data(model, index)).tobytes()
    scale = getattr(tensor.quantization, "scale", None)
    return (
        np.frombuffer(data, dtype).reshape(tensor.shape),
        1.0 if scale is None else float(scale[0]),
    )


def _constant(main: Any, index: int) -> Any:
    """Returns a constant, that of float16 before it is made float32."""
    producer = _producer(main, index)
    return main.tensors[index if producer is None else producer.inputs[0]]


def _is_constant(model: Any, index: int) -> bool:
    """Tells whether the file holds a tensor's values, as float16 or others."""
    producer = _producer(model.subgraphs[0], index)
    if producer is not None:
        name = operations.names(model)[producer.opcodeIndex]
        if name != "DEQUANTIZE":
            return False
    return _data(model, index) is not None


def _data(model: Any, index: int) -> Any:
    """Returns the bytes of a constant, None if the model computes it."""
    tensor = _constant(model.subgraphs[0], index)
    return model.buffers[tensor.buffer].data


def _producer(main: Any, index: int) -> Any:
    """Returns the operator that writes a tensor, None if there is none."""
    return next((op for op in main.operators if index in op.outputs), None)


def _replace(model: Any, operator: Any) -> None:
    """Puts plain operators in the place of a fused one."""
    graph = Graph(model, model.subgraphs[0])
    operators = graph.subgraph.operators
    weights = _weights(model, operator)
    x, output = operator.inputs[0], operator.outputs[0]
    zero = lstm_graph.zero(graph, x)
    states = [
        _initial(graph, operator.inputs[place], zero, weights.units)
        for place in (OUTPUT_STATE, CELL_STATE)
    ]
    lstm_graph.add(graph, weights, x, output, zero, states)
    place = next(at for at, other in enumerate(operators) if other is operator)
    operators[place : place + 1] = graph.operators


def _initial(graph: Graph, state: int, zero: int, units: int) -> int:
    """Returns the initial state `(batch, units)`.

    Args:
        graph: The main graph.
        state: The fused operator's state. A state that the model computes is
            written by an operator at each call.
        zero: See `lstm_graph.zero`.
        units: The number of units.
    """
    if _producer(graph.subgraph, state) is not None:
        graph.subgraph.tensors[state].isVariable = False
        return state
    return lstm_graph.zeros(graph, zero, units)


def _weights(model: Any, operator: Any) -> lstm_graph.Weights:
    """Returns the weights of a fused operator."""

    def gates(places: Sequence[int]) -> tuple[np.ndarray, Any]:
        parts = [_values(model, operator.inputs[at]) for at in places]
        values = np.concatenate([part for part, _ in parts])
        if values.dtype != np.int8:
            return values, None
        scales = [np.full(len(part), scale) for part, scale in parts]
        return values, np.concatenate(scales)

    bias = [_values(model, operator.inputs[at])[0] for at in BIASES]
    return lstm_graph.Weights(
        gates(KERNELS),
        gates(RECURRENT_KERNELS),
        np.concatenate(bias).astype(np.float32),
    )
