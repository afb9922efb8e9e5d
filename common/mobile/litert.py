"""LiteRT: running TFLite files as a phone does, and reading their content."""

import dataclasses
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

from common import runtime

from . import operations

SIGNATURE = "serving_default"
LATENCY_RUNS = 200

# The largest batch, and the bytes that the largest tensor may then take.
MAX_BATCH = 256
TENSOR_BYTES = 16 * 2**20
# The real outputs of a batch may differ from those of single examples by this
# part of their greatest value: products are summed in another order.
TOLERANCE = 1e-5
COMPARED = 3  # The examples of a batch that are compared.

# Operators whose state lasts from one run to the next.
STATEFUL = {"UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"}

Arrays = Mapping[str, np.ndarray]


def examples(inputs: Arrays) -> Iterable[dict[str, np.ndarray]]:
    """Yields single examples, with a batch axis of 1.

    Args:
        inputs: Inputs by name, `(num, ...)`.
    """
    for index in range(len(next(iter(inputs.values())))):
        yield {name: array[index : index + 1] for name, array in inputs.items()}


@dataclasses.dataclass(frozen=True)
class Contents:
    """Facts about a TFLite file, read from its flatbuffer.

    Attributes:
        ops: The operators' names, each once, sorted.
        sparsity: The part of all kernel weights that are zero, from 0 to 1.
        stateful: Whether the file keeps a state between calls, as a fused LSTM
            does.
        multiplications: The products of weights and inputs in a run; see
            `operations.multiplications`.
    """

    ops: tuple[str, ...]
    sparsity: float
    stateful: bool
    multiplications: int | None


def inspect(content: bytes) -> Contents:
    """Returns the facts about a TFLite file of these bytes."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    zeros, total = 0, 0
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for tensor in tensors:
        values = _weights(tensor, model.buffers)
        if values is not None:
            zeros += int(np.sum(values == 0))
            total += values.size
    return Contents(
        ops(content),
        zeros / total if total else 0.0,
        any(tensor.isVariable for tensor in tensors),
        operations.multiplications(model),
    )


def ops(content: bytes) -> tuple[str, ...]:
    """Returns the names of a file's operators, each once, sorted."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return tuple(sorted(set(operations.names(model))))


def _weights(tensor: Any, buffers: Sequence[Any]) -> np.ndarray | None:
    """Returns the values of a constant tensor of two or more axes.

    The zero point is subtracted from int8 values.

    Args:
        tensor: A tensor of the file.
        buffers: The file's buffers.

    Returns:
        The flat values, or None if the tensor is no constant, has fewer axes,
        or another type.
    """
    raw = buffers[tensor.buffer].data
    if raw is not None and tensor.type == schema.TensorType.INT4:
        low_first = np.asarray(raw).astype(np.uint8)  # Two weights a byte.
        pairs = np.stack([low_first & 15, low_first >> 4], axis=-1)
        return pairs.reshape(-1)[: math.prod(tensor.shape)]
    kinds = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
    }
    if raw is None or tensor.type not in kinds or len(tensor.shape) < 2:
        return None
    values = np.frombuffer(np.asarray(raw).tobytes(), kinds[tensor.type])
    offset = getattr(tensor.quantization, "zeroPoint", None)
    if values.dtype == np.int8 and offset is not None and len(offset) == 1:
        values = values.astype(np.int32) - int(offset[0])
    return values


def largest_tensor(content: bytes) -> int:
    """Returns the number of elements of a file's largest computed tensor."""
    model, sizes = schema.Model.GetRootAs(content, 0), [1]
    for graph_index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(graph_index)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            if not model.Buffers(tensor.Buffer()).DataLength():
                shape = (tensor.Shape(i) for i in range(tensor.ShapeLength()))
                sizes.append(math.prod(shape))
    return max(sizes)


class LoadError(RuntimeError):
    """Raised for a file that LiteRT cannot prepare to run."""


class Runner:
    """Runs a TFLite file.

    `invoke` runs one example on one thread, as a phone does. Many examples
    are run in batches on all cores, if the file can be resized and gives the
    same outputs for a sample of them (see `TOLERANCE`).

    Integer inputs and outputs are converted from and to real values with the
    scale and zero point in the file, rounded to nearest and clipped.

    Attributes:
        inputs: LiteRT's description of each input, by name.
        outputs: LiteRT's description of each output, by name.
    """

    def __init__(self, content: bytes, num_threads: int = 1) -> None:
        """Prepares the file to run.

        Args:
            content: The file's bytes.
            num_threads: The number of threads for `invoke`.

        Raises:
            LoadError: If LiteRT cannot run the file.
        """
        self._content = content
        self._interpreter, problem = _load(content, num_threads)
        if problem:
            raise LoadError(f"LiteRT cannot run the file: {problem}")
        self._is_stateful = bool(STATEFUL & set(ops(content)))
        self._batched: Any = None
        self._size = 0  # Examples per batch; 0 before it is known.
        runner = self._interpreter.get_signature_runner(SIGNATURE)
        self.inputs: dict[str, dict] = runner.get_input_details()
        self.outputs: dict[str, dict] = runner.get_output_details()

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns real outputs `(num, ...)` for real inputs `(num, ...)`."""
        quantized = {
            name: quantize(np.asarray(array), self.inputs[name])
            for name, array in inputs.items()
        }
        batchable = len(next(iter(quantized.values()))) > COMPARED
        if batchable and not self._size:
            self._size = self._batch_size(quantized)
        results = (
            self._in_batches(quantized)
            if batchable and self._size > 1
            else self._one_by_one(quantized)
        )
        return {
            name: dequantize(rows, self.outputs[name])
            for name, rows in results.items()
        }

    def _one_by_one(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the file's outputs, not dequantized, from single examples."""
        results: dict[str, list] = {name: [] for name in self.outputs}
        for example in examples(inputs):
            self.invoke(example)
            for name, detail in self.outputs.items():
                value = self._interpreter.get_tensor(detail["index"])
                results[name].append(value)
        return {name: np.concatenate(rows) for name, rows in results.items()}

    def _in_batches(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the file's outputs, not dequantized, from batches.

        The last batch is filled up with its last example: a batch of another
        size would have to be prepared anew.
        """
        results: dict[str, list] = {name: [] for name in self.outputs}
        num = len(next(iter(inputs.values())))
        for start in range(0, num, self._size):
            places = np.minimum(np.arange(start, start + self._size), num - 1)
            for name, array in inputs.items():
                index = self.inputs[name]["index"]
                self._batched.set_tensor(index, array[places])
            self._batched.invoke()
            for name, detail in self.outputs.items():
                value = self._batched.get_tensor(detail["index"])
                results[name].append(value[: num - start])
        return {name: np.concatenate(rows) for name, rows in results.items()}

    def _batch_size(self, inputs: Arrays) -> int:
        """Prepares the file for batches and returns their size.

        The size is 1 if the file cannot run in batches.
        """
        size = min(
            len(next(iter(inputs.values()))),
            MAX_BATCH,
            TENSOR_BYTES // (4 * largest_tensor(self._content)),
        )
        if self._is_stateful or size <= 1:
            return 1
        shapes = {
            self.inputs[name]["index"]: (size, *array.shape[1:])
            for name, array in inputs.items()
        }
        self._batched, problem = _load(
            self._content, len(os.sched_getaffinity(0)), shapes
        )
        if problem or not self._batches_agree(inputs, size):
            self._batched = None
            return 1
        return size

    def _batches_agree(self, inputs: Arrays, size: int) -> bool:
        """Returns whether a batch has the outputs of its single examples."""
        places = np.unique(np.linspace(0, size - 1, COMPARED).astype(int))
        expected = self._one_by_one(
            {name: array[places] for name, array in inputs.items()}
        )
        self._size = size
        try:
            actual = self._in_batches(
                {name: array[:size] for name, array in inputs.items()}
            )
        except (RuntimeError, ValueError):
            # Some files can be resized, and fail only when they run.
            return False
        return all(
            len(actual[name]) == size
            and _same(actual[name][places], expected[name])
            for name in expected
        )

    def invoke(self, inputs: Arrays) -> None:
        """Runs one example, `(1, ...)`, already in the file's dtypes."""
        if self._is_stateful:  # Each example is a sequence of its own.
            self._interpreter.reset_all_variables()
        for name, array in inputs.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)
        self._interpreter.invoke()

    def latency_ms(self, inputs: Arrays) -> dict[str, float]:
        """Returns the median and the 95th percentile of `invoke`, in ms."""
        rows = [
            {
                name: quantize(array, self.inputs[name])
                for name, array in example.items()
            }
            for example in examples(inputs)
        ]
        seconds = []
        for index in range(20 + LATENCY_RUNS):
            start = time.perf_counter()
            self.invoke(rows[index % len(rows)])
            seconds.append(time.perf_counter() - start)
        p50, p95 = np.percentile(np.array(seconds[20:]) * 1000, (50, 95))
        return {"p50": round(float(p50), 4), "p95": round(float(p95), 4)}


def _load(
    content: bytes, num_threads: int, shapes: Mapping[int, Any] | None = None
) -> tuple[Any, str]:
    """Returns an interpreter and the reason why it cannot run the file.

    Args:
        content: The file's bytes.
        num_threads: The number of threads that the interpreter may use.
        shapes: New shapes of inputs, by the input's index.

    Returns:
        The interpreter, and the reason; empty if it can run the file.
    """
    with runtime.native_stderr_hidden():  # It prints "Created ... delegate".
        interpreter = litert.Interpreter(
            model_content=content, num_threads=num_threads
        )
        for index, shape in (shapes or {}).items():
            interpreter.resize_tensor_input(index, shape)
        return interpreter, _prepare(interpreter)


def _same(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Returns whether outputs are equal; real numbers within `TOLERANCE`."""
    if actual.shape != expected.shape or actual.dtype.kind != "f":
        return np.array_equal(actual, expected)
    largest = np.max(np.abs(expected), initial=0.0)
    return bool(np.all(np.abs(actual - expected) <= TOLERANCE * largest))


def _prepare(interpreter: Any) -> str:
    """Prepares an interpreter; returns why it cannot run, else "".

    XNNPACK, for example, refuses tensors whose scales are too far apart.
    """
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def quantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns real values in the dtype and scale of a tensor.

    Args:
        array: Real values of any shape.
        detail: LiteRT's description of the tensor.
    """
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if not scale or dtype.kind == "f":
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.round(array / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns the real values, float32, of a quantized tensor.

    Args:
        array: The tensor's values; returned unchanged if it is not quantized.
        detail: LiteRT's description of the tensor.
    """
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype.kind == "f":
        return array
    return ((array.astype(np.float32) - zero_point) * scale).astype(np.float32)
