"""The operators of an LSTM in a TFLite graph: a loop over unrolled blocks."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import operations
from .flatbuffer import Graph

# The steps in a block. Measured with 400 steps of 32 units: blocks of 10 to 40
# are equally fast, those of 80 and more slower, and larger ones take space.
STEPS = 10
UNROLLED = 20  # The longest sequence without a loop.


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights of an LSTM, those of the four gates one below the other.

    Attributes:
        kernel: `(4 * units, size)`, and scales `(4 * units,)` if it is int8.
        recurrent: `(4 * units, units)`, and its scales.
        bias: `(4 * units,) float32`.
    """

    kernel: tuple[np.ndarray, np.ndarray | None]
    recurrent: tuple[np.ndarray, np.ndarray | None]
    bias: np.ndarray

    @property
    def units(self) -> int:
        """The number of units."""
        return self.recurrent[0].shape[1]


def add(
    graph: Graph,
    weights: Weights,
    x: int,
    output: int,
    zero: int,
    states: Sequence[int],
) -> None:
    """Adds an LSTM.

    Args:
        graph: The main graph.
        weights: The LSTM's weights.
        x: The inputs, `(batch, length, size)`.
        output: The tensor of the outputs, `(batch, length, units)`.
        zero: See the function `zero`.
        states: The initial output and cell, `(batch, units)` each.
    """
    length = int(graph.subgraph.tensors[x].shape[1])
    in_blocks = length // STEPS * STEPS if length > UNROLLED else 0
    parts = []
    if in_blocks:
        blocks = _part(graph, x, 0, in_blocks)
        outputs, states = _loop(graph, weights, blocks, in_blocks, zero, states)
        parts.append(outputs)
    if in_blocks < length:
        rest = _part(graph, x, in_blocks, length)
        outputs, _ = _steps(graph, weights, rest, length - in_blocks, states)
        parts.append(outputs)
    _join(graph, parts, output)


def zero(graph: Graph, x: int) -> int:
    """Returns zeros `(batch, 1, 1)`, whatever the size of the batch.

    Args:
        graph: The main graph.
        x: A tensor with the same batch, `(batch, length, size)`.
    """
    corner = _slice(graph, x, (0, 0), (1, 1))
    return graph.add("ZEROS_LIKE", [corner], (1, 1, 1), "ZerosLikeOptions")


def _slice(
    graph: Graph, x: int, start: tuple[int, int], stop: tuple[int, int]
) -> int:
    """Returns a part of each example of `(batch, length, size)`.

    SLICE could do it too, but LiteRT does not resize it for larger batches.
    """
    bounds = [graph.ints(0, *start), graph.ints(0, *stop), graph.ints(1, 1, 1)]
    return graph.add(
        "STRIDED_SLICE", [x, *bounds],
        (1, stop[0] - start[0], stop[1] - start[1]),
        "StridedSliceOptions", beginMask=1, endMask=1,
    )  # fmt: skip


def zeros(graph: Graph, zero: int, units: int) -> int:
    """Returns zeros `(batch, units)`; see the function `zero`."""
    flat = _reshape(graph, zero, (-1, 1), (1, 1))
    return _tile(graph, flat, (1, units))


def _tile(graph: Graph, x: int, times: tuple[int, ...]) -> int:
    """Returns a tensor repeated along its axes."""
    return graph.add("TILE", [x, graph.ints(*times)], times, "TileOptions")


def _reshape(
    graph: Graph, x: int, target: tuple[int, ...], shape: tuple[int, ...]
) -> int:
    """Returns a tensor of another shape: `target` with the batch as -1."""
    return graph.add(
        "RESHAPE", [x, graph.ints(*target)], shape, "ReshapeOptions",
        newShape=np.array(target, np.int32),
    )  # fmt: skip


def _part(graph: Graph, x: int, start: int, stop: int) -> int:
    """Returns the steps from `start` to `stop` of `(batch, length, size)`."""
    _, length, size = (int(axis) for axis in graph.subgraph.tensors[x].shape)
    if stop - start == length:
        return x
    return _slice(graph, x, (start, 0), (stop, size))


def _join(graph: Graph, parts: Sequence[int], output: int) -> None:
    """Writes outputs of consecutive steps, side by side, to a tensor."""
    graph.add_to(
        [output], "CONCATENATION", parts, "ConcatenationOptions", axis=1
    )


def _loop(
    graph: Graph,
    weights: Weights,
    x: int,
    length: int,
    zero: int,
    states: Sequence[int],
) -> tuple[int, list[int]]:
    """Adds a WHILE loop over blocks of steps.

    Its variables are the block's index, the inputs in blocks, the outputs and
    the two states. The outputs move up by a block each time, and the new
    ones come last: after the last block they are in their order.

    Args:
        graph: The main graph.
        weights: The LSTM's weights.
        x: `(batch, length, size)`.
        length: A multiple of `STEPS`.
        zero: See the function `zero`.
        states: The output and the cell, `(batch, units)` each.

    Returns:
        The outputs, `(batch, length, units)`, and the last states.
    """
    size = int(graph.subgraph.tensors[x].shape[2])
    units, num_blocks = weights.units, length // STEPS
    shapes = [
        (),
        (1, num_blocks, STEPS, size),
        (1, length, units),
        (1, units),
        (1, units),
    ]
    dtypes = [np.int32, *[np.float32] * 4]
    variables = list(zip(shapes, dtypes, strict=True))
    start = [
        graph.constant(np.int32(0)),
        _reshape(graph, x, (-1, *shapes[1][1:]), shapes[1]),
        _tile(graph, zero, shapes[2]),
        *states,
    ]
    first = len(graph.model.subgraphs)
    condition = graph.new_graph(f"lstm_{first}_condition")
    inputs = [condition.tensor(*variable) for variable in variables]
    more = condition.tensor((), np.bool_)
    limit = condition.constant(np.int32(num_blocks))
    condition.add_to([more], "LESS", [inputs[0], limit], "LessOptions")
    condition.finish(inputs, [more])
    body = graph.new_graph(operations.repeated(f"lstm_{first}", num_blocks))
    inputs = [body.tensor(*variable) for variable in variables]
    body.finish(inputs, _block(body, weights, inputs))
    outputs = [graph.tensor(*variable) for variable in variables]
    graph.add_to(
        outputs, "WHILE", start, "WhileOptions",
        condSubgraphIndex=first, bodySubgraphIndex=first + 1,
    )  # fmt: skip
    return outputs[2], outputs[3:]


def _block(body: Graph, weights: Weights, inputs: Sequence[int]) -> list[int]:
    """Adds the steps of a block; returns the loop's variables after it."""
    index, x, outputs, *states = inputs
    tensors = body.subgraph.tensors
    size, length = int(tensors[x].shape[3]), int(tensors[outputs].shape[1])
    block = body.add(
        "GATHER", [x, index], (1, STEPS, size), "GatherOptions", axis=1
    )
    new, states = _steps(body, weights, block, STEPS, states)
    kept = _part(body, outputs, STEPS, length)
    joined = body.tensor((1, length, weights.units))
    _join(body, [kept, new], joined)
    following = body.tensor((), np.int32)
    one = body.constant(np.int32(1))
    body.add_to([following], "ADD", [index, one], "AddOptions")
    return [following, x, joined, *states]


def _steps(
    graph: Graph,
    weights: Weights,
    x: int,
    num_steps: int,
    states: Sequence[int],
) -> tuple[int, list[int]]:
    """Adds consecutive steps of an LSTM.

    The products of all inputs are one large operator. Hochreiter and
    Schmidhuber, Long short-term memory, 1997; Gers et al., Learning to forget,
    2000.

    Args:
        graph: A graph.
        weights: The LSTM's weights.
        x: `(batch, num_steps, size)`.
        num_steps: The number of steps.
        states: The output and the cell before, `(batch, units)` each.

    Returns:
        The outputs `(batch, num_steps, units)`, and the states after the steps.
    """
    wide = (1, 4 * weights.units)
    kernel, recurrent = (
        _floats(graph, *pair) for pair in (weights.kernel, weights.recurrent)
    )
    projected = graph.add(
        "FULLY_CONNECTED", [x, kernel, graph.constant(weights.bias)],
        (1, num_steps, wide[1]), "FullyConnectedOptions", keepNumDims=True,
    )  # fmt: skip
    steps = [graph.tensor(wide) for _ in range(num_steps)]
    graph.add_to(
        steps, "UNPACK", [projected], "UnpackOptions", axis=1, num=num_steps
    )
    output, cell = states
    outputs = []
    for step in steps:
        product = graph.add(
            "FULLY_CONNECTED", [output, recurrent, -1], wide,
            "FullyConnectedOptions",
        )  # fmt: skip
        gates = graph.add("ADD", [step, product], wide, "AddOptions")
        output, cell = _step(graph, gates, cell, weights.units)
        outputs.append(output)
    joined = graph.add(
        "PACK", outputs, (1, num_steps, weights.units), "PackOptions",
        axis=1, valuesCount=num_steps,
    )  # fmt: skip
    return joined, [output, cell]


def _step(graph: Graph, gates: int, cell: int, units: int) -> tuple[int, int]:
    """Adds the gates of a step; returns its output and cell."""
    shape = (1, units)
    axis = graph.constant(np.int32(1))
    sums = [graph.tensor(shape) for _ in range(4)]
    graph.add_to(sums, "SPLIT", [axis, gates], "SplitOptions", numSplits=4)
    enter, keep, show = (
        graph.add("LOGISTIC", [gate], shape) for gate in sums[:3]
    )
    candidate = graph.add("TANH", [sums[3]], shape)
    kept = graph.add("MUL", [keep, cell], shape, "MulOptions")
    new = graph.add("MUL", [enter, candidate], shape, "MulOptions")
    cell = graph.add("ADD", [kept, new], shape, "AddOptions")
    shown = graph.add("TANH", [cell], shape)
    return graph.add("MUL", [show, shown], shape, "MulOptions"), cell


def _floats(graph: Graph, values: np.ndarray, scales: Any) -> int:
    """Returns weights as float32, whatever the type they are kept in."""
    constant = graph.constant(values, scales)
    if values.dtype == np.float32:
        return constant
    output = graph.tensor(values.shape)
    # Version 5 has a scale for each row, version 3 has float16.
    version = 3 if scales is None else 5
    graph.add_to(
        [output], "DEQUANTIZE", [constant], "DequantizeOptions", version
    )
    return output
