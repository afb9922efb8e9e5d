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

SIGNATURE = "serving_default"
LATENCY_RUNS = 200

# Examples at a time, where the file allows it, and what the largest tensor may
# then take.
MOST_AT_A_TIME = 256
TENSOR_BYTES = 16 * 2**20
# In batches and one at a time, real outputs may differ by this part of their
# greatest value: the sums of a product are added up in another order.
TOLERANCE = 1e-5
COMPARED = 3

# Operators that remember what the run before them left.
STATEFUL = {"UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"}

Arrays = Mapping[str, np.ndarray]


def examples(inputs: Arrays) -> Iterable[dict[str, np.ndarray]]:
    """Yields examples one at a time, with their batch axis."""
    for index in range(len(next(iter(inputs.values())))):
        yield {name: array[index : index + 1] for name, array in inputs.items()}


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a TFLite file, read from its flatbuffer.

    Attributes:
        ops: The operators' names, each once, sorted.
        sparsity: The part of all kernel weights that are zero.
        stateful: Whether a call finds what the call before it left, as a fused
            LSTM does.
    """

    ops: tuple[str, ...]
    sparsity: float
    stateful: bool


def inspect(content: bytes) -> Contents:
    """Reads the operators and the weights of a TFLite file."""
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
    )


def ops(content: bytes) -> tuple[str, ...]:
    """Returns the names of a file's operators, each once, sorted."""
    names = {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    model, operators = schema.Model.GetRootAs(content, 0), set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        custom = code.CustomCode()
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        operators.add(custom.decode() if custom else names[builtin])
    return tuple(sorted(operators))


def _weights(tensor: Any, buffers: Sequence[Any]) -> np.ndarray | None:
    """Returns a constant of two or more axes, its zero point taken off."""
    raw = buffers[tensor.buffer].data
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
    """Returns the number of elements of the largest computed tensor."""
    model, sizes = schema.Model.GetRootAs(content, 0), [1]
    for place in range(model.SubgraphsLength()):
        graph = model.Subgraphs(place)
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

    `invoke` takes one example on one thread, as a phone does. Many examples
    are run in batches on all cores, where the file can be resized and gives
    the same outputs for a sample of them (see `TOLERANCE`).

    Integer inputs and outputs are converted from and to real values with the
    scale and zero point in the file, rounded to nearest and clipped.
    """

    def __init__(self, content: bytes, num_threads: int = 1) -> None:
        self._content = content
        self._interpreter, problem = _load(content, num_threads)
        if problem:
            raise LoadError(f"LiteRT cannot run the file: {problem}")
        self._forgets = bool(STATEFUL & set(ops(content)))
        self._batched: Any = None
        self._size = 0  # Examples at a time; 0: not known yet.
        runner = self._interpreter.get_signature_runner(SIGNATURE)
        self.inputs: dict[str, dict] = runner.get_input_details()
        self.outputs: dict[str, dict] = runner.get_output_details()

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns real outputs `(num, ...)` for real inputs `(num, ...)`."""
        quantized = {
            name: quantize(np.asarray(array), self.inputs[name])
            for name, array in inputs.items()
        }
        many = len(next(iter(quantized.values()))) > COMPARED
        if many and not self._size:
            self._size = self._most_at_a_time(quantized)
        results = (
            self._in_batches(quantized)
            if many and self._size > 1
            else self._one_by_one(quantized)
        )
        return {
            name: dequantize(rows, self.outputs[name])
            for name, rows in results.items()
        }

    def _one_by_one(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs as the file gives them."""
        results: dict[str, list] = {name: [] for name in self.outputs}
        for example in examples(inputs):
            self.invoke(example)
            for name, detail in self.outputs.items():
                value = self._interpreter.get_tensor(detail["index"])
                results[name].append(value)
        return {name: np.concatenate(rows) for name, rows in results.items()}

    def _in_batches(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs as the file gives them; the last batch is filled.

        It is filled with its last example: another size would be prepared anew.
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

    def _most_at_a_time(self, inputs: Arrays) -> int:
        """Prepares the file for batches; returns their size, 1 if it cannot."""
        size = min(
            len(next(iter(inputs.values()))),
            MOST_AT_A_TIME,
            TENSOR_BYTES // (4 * largest_tensor(self._content)),
        )
        if self._forgets or size <= 1:
            return 1
        shapes = {
            self.inputs[name]["index"]: (size, *array.shape[1:])
            for name, array in inputs.items()
        }
        self._batched, problem = _load(
            self._content, len(os.sched_getaffinity(0)), shapes
        )
        if problem or not self._gives_the_same(inputs, size):
            self._batched = None
            return 1
        return size

    def _gives_the_same(self, inputs: Arrays, size: int) -> bool:
        """Tells whether a batch's outputs are those of its examples alone."""
        places = np.unique(np.linspace(0, size - 1, COMPARED).astype(int))
        expected = self._one_by_one(
            {name: array[places] for name, array in inputs.items()}
        )
        self._size = size
        try:
            actual = self._in_batches(
                {name: array[:size] for name, array in inputs.items()}
            )
        except (RuntimeError, ValueError):  # Some fail when they run only.
            return False
        return all(
            len(actual[name]) == size
            and _same(actual[name][places], expected[name])
            for name in expected
        )

    def invoke(self, inputs: Arrays) -> None:
        """Runs one example that is already as the file takes it."""
        if self._forgets:  # Each example is a sequence of its own.
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
    """Returns an interpreter, and why it cannot run, "" if it can.

    Args:
        content: The file.
        num_threads: The number of threads that it may use.
        shapes: New shapes of inputs, by the input's index.
    """
    with runtime.native_stderr_hidden():  # "Created ... delegate".
        interpreter = litert.Interpreter(
            model_content=content, num_threads=num_threads
        )
        for index, shape in (shapes or {}).items():
            interpreter.resize_tensor_input(index, shape)
        return interpreter, _prepare(interpreter)


def _same(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Tells whether outputs are equal; real numbers within `TOLERANCE`."""
    if actual.shape != expected.shape or actual.dtype.kind != "f":
        return np.array_equal(actual, expected)
    most = np.max(np.abs(expected), initial=0.0)
    return bool(np.all(np.abs(actual - expected) <= TOLERANCE * most))


def _prepare(interpreter: Any) -> str:
    """Prepares an interpreter to run; returns why it cannot, "" if it can.

    XNNPACK, for one, takes no tensors whose scales are too far apart.
    """
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def quantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns real values as the tensor that `detail` describes takes them."""
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if not scale or dtype.kind == "f":
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.round(array / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns the real values of a tensor that `detail` describes."""
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype.kind == "f":
        return array
    return ((array.astype(np.float32) - zero_point) * scale).astype(np.float32)
