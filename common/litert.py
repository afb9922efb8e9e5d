"""LiteRT: running TFLite files as a phone does, and reading what is in them."""

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epy

from common import runtime

with epy.lazy_imports():
    from ai_edge_litert import interpreter as litert
    from ai_edge_litert import schema_py_generated as schema

SIGNATURE = "serving_default"
LATENCY_RUNS = 200

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
    """

    ops: tuple[str, ...]
    sparsity: float


def inspect(content: bytes) -> Contents:
    """Reads the operators and the weights of a TFLite file."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    zeros, total = 0, 0
    for tensor in (one for graph in model.subgraphs for one in graph.tensors):
        values = _weights(tensor, model.buffers)
        if values is not None:
            zeros += int(np.sum(values == 0))
            total += values.size
    return Contents(ops(content), zeros / total if total else 0.0)


def ops(content: bytes) -> tuple[str, ...]:
    """Returns the names of a file's operators, each once, sorted."""
    names = {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    model, found = schema.Model.GetRootAs(content, 0), set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        custom = code.CustomCode()
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        found.add(custom.decode() if custom else names[builtin])
    return tuple(sorted(found))


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


class LoadError(RuntimeError):
    """Raised for a file that LiteRT cannot prepare to run."""


class Runner:
    """Runs a TFLite file, one example at a time as a phone does.

    Integer inputs and outputs are converted from and to real values with the
    scale and zero point in the file, rounded to nearest and clipped.
    """

    def __init__(self, content: bytes, num_threads: int = 1) -> None:
        with runtime.native_stderr_hidden():  # "Created ... delegate".
            self._interpreter = litert.Interpreter(
                model_content=content, num_threads=num_threads
            )
            problem = _prepare(self._interpreter)
        if problem:
            raise LoadError(f"LiteRT cannot run the file: {problem}")
        self._forgets = bool(STATEFUL & set(ops(content)))
        runner = self._interpreter.get_signature_runner(SIGNATURE)
        self.inputs: dict[str, dict] = runner.get_input_details()
        self.outputs: dict[str, dict] = runner.get_output_details()

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns real outputs `(num, ...)` for real inputs `(num, ...)`."""
        results: dict[str, list] = {name: [] for name in self.outputs}
        quantized = {
            name: quantize(np.asarray(array), self.inputs[name])
            for name, array in inputs.items()
        }
        for index in range(len(next(iter(quantized.values())))):
            self.invoke(
                {name: a[index : index + 1] for name, a in quantized.items()}
            )
            for name, detail in self.outputs.items():
                value = self._interpreter.get_tensor(detail["index"])
                results[name].append(value)
        return {
            name: dequantize(np.concatenate(rows), self.outputs[name])
            for name, rows in results.items()
        }

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
            {name: quantize(a, self.inputs[name]) for name, a in one.items()}
            for one in examples(inputs)
        ]
        seconds = []
        for index in range(20 + LATENCY_RUNS):
            start = time.perf_counter()
            self.invoke(rows[index % len(rows)])
            seconds.append(time.perf_counter() - start)
        p50, p95 = np.percentile(np.array(seconds[20:]) * 1000, (50, 95))
        return {"p50": round(float(p50), 4), "p95": round(float(p95), 4)}


def _prepare(interpreter: Any) -> str:
    """Prepares an interpreter to run; returns what is wrong, if anything.

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
