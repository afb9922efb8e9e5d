"""The operators of a TFLite file: their names, and what they cost."""

import math
import re
from typing import Any

from ai_edge_litert import schema_py_generated as schema

NAMES = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}


def names(model: Any) -> list[str]:
    """Returns the names of the operators that a file lists.

    Args:
        model: The file, as `schema.ModelT`.
    """
    return [
        code.customCode.decode()
        if code.customCode
        else NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in model.operatorCodes
    ]


def multiplications(model: Any) -> int | None:
    """Returns the multiplications of weights and inputs in a run of a file.

    Those of dense layers, convolutions, matrix products and LSTMs are counted,
    which are nearly all. Zeros count too: no kernel of LiteRT skips them.

    Args:
        model: The file, as `schema.ModelT`.

    Returns:
        The number, or None for a file with a loop that may run any number of
        times.
    """
    listed, total = names(model), 0
    for graph in model.subgraphs:
        times = 1 if graph is model.subgraphs[0] else _times(graph)
        if times is None:
            return None
        for operator in graph.operators or ():
            name = listed[operator.opcodeIndex]
            total += times * _multiplications(name, operator, graph.tensors)
    return total


def repeated(name: str, times: int) -> str:
    """Returns the name of a graph that a loop runs a known number of times."""
    return f"{name}_block_x{times}"


def _times(graph: Any) -> int | None:
    """Returns how often a loop runs a graph, None if that is not known."""
    name = (graph.name or b"").decode(errors="replace")
    if re.fullmatch(r"lstm_\d+_condition", name):
        return 1
    match = re.fullmatch(r"lstm_\d+_block_x(\d+)", name)
    return int(match[1]) if match else None


def _sizes(tensor: Any) -> list[int]:
    """Returns the sizes of a tensor's axes; a scalar has none."""
    return [] if tensor.shape is None else [int(size) for size in tensor.shape]


def _multiplications(name: str, operator: Any, tensors: Any) -> int:
    """Returns the multiplications of an operator; 0 for most kinds."""
    inputs = [
        _sizes(tensors[index]) if index >= 0 else []
        for index in operator.inputs
    ]
    output = _sizes(tensors[operator.outputs[0]])
    if name in ("CONV_2D", "FULLY_CONNECTED"):  # Kernels: (units, ...).
        return math.prod(output) * math.prod(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":  # (1, height, width, channels).
        return math.prod(output) * math.prod(inputs[1][1:3])
    if name == "TRANSPOSE_CONV":  # The kernel meets each pixel of the input.
        return math.prod(inputs[2][1:3]) * math.prod(inputs[1])
    if name == "BATCH_MATMUL":
        adjoint = operator.builtinOptions.adjX
        return math.prod(output) * inputs[0][-2 if adjoint else -1]
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        time_major = operator.builtinOptions.timeMajor
        steps = inputs[0][0 if time_major else 1]
        return steps * sum(
            math.prod(kernel) for kernel in inputs[1:9] if kernel
        )
    return 0
