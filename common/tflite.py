"""TFLite (LiteRT) files: conversion, running, and measuring what ships.

Files are converted from a tf_keras twin, from a concrete function with batch
size 1, and hold built-in operators only: one that needs TensorFlow's own
("Flex") is a failed export, for no Python or stock phone runtime runs it.
"""

import dataclasses
import gzip
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.progress
from etils import epy

from common import runtime
from common.compression import Variant
from common.config import InputError

with epy.lazy_imports():
    import tensorflow as tf
    from ai_edge_litert import interpreter as litert
    from ai_edge_litert import schema_py_generated as schema

SIGNATURE = "serving_default"
LATENCY_RUNS = 200

Arrays = Mapping[str, np.ndarray]
Metric = Callable[[np.ndarray, np.ndarray], float]


def convert(
    twin: Any, variant: Variant, calibration: Arrays, outputs: Sequence[str]
) -> bytes:
    """Converts a twin to the bytes of a TFLite file.

    The signature `serving_default` has the twin's input names and `outputs`.
    An `int8` file takes and gives uint8: for pixels, the bytes of the image.

    Args:
        twin: A functional tf_keras model.
        variant: Gives the format; after QAT the ranges come from training.
        calibration: Inputs by name, `(num, ...)`, for the ranges of `int8`.
        outputs: A name for each output of the twin.

    Raises:
        InputError: If the model needs operators that TFLite does not have.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [_concrete(twin, outputs)], twin
    )
    if variant.format != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant.format == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant.format == "int8":
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        if "qat" not in variant.techniques:
            converter.representative_dataset = lambda: _examples(calibration)
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            ]
    try:
        with runtime.native_stderr_hidden():
            return converter.convert()
    except Exception as error:
        # The converter's own class is private; its first line says which ops.
        if "custom op" in str(error) or "Flex" in str(error):
            raise InputError(
                f"--variants: {variant.name} needs operators that TFLite does "
                f"not have: {str(error).strip().splitlines()[0]}"
            ) from None
        raise


def _concrete(twin: Any, outputs: Sequence[str]) -> Any:
    """Returns the twin as a function of named inputs, batch size 1."""
    specs = {
        one.name.split(":")[0]: tf.TensorSpec(
            (1, *one.shape[1:]), one.dtype, one.name.split(":")[0]
        )
        for one in twin.inputs
    }
    names = list(specs)

    def serve(**inputs: Any) -> dict[str, Any]:
        values = [inputs[name] for name in names]
        result = twin(values[0] if len(values) == 1 else values, training=False)
        return dict(zip(outputs, tf.nest.flatten(result), strict=True))

    return tf.function(serve).get_concrete_function(**specs)


def _examples(calibration: Arrays) -> Iterable[dict[str, np.ndarray]]:
    """Yields the calibration examples one at a time."""
    for index in range(len(next(iter(calibration.values())))):
        yield {
            name: array[index : index + 1]
            for name, array in calibration.items()
        }


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
    names = {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    ops, zeros, total = set(), 0, 0
    for code in model.operatorCodes:
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = code.customCode
        ops.add(custom.decode() if custom else names[builtin])
    for tensor in (one for graph in model.subgraphs for one in graph.tensors):
        values = _weights(tensor, model.buffers)
        if values is not None:
            zeros += int(np.sum(values == 0))
            total += values.size
    return Contents(tuple(sorted(ops)), zeros / total if total else 0.0)


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
            self._interpreter.allocate_tensors()
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
        for name, array in inputs.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)
        self._interpreter.invoke()

    def latency_ms(self, inputs: Arrays) -> dict[str, float]:
        """Returns the median and the 95th percentile of `invoke`, in ms."""
        rows = [
            {name: quantize(a, self.inputs[name]) for name, a in one.items()}
            for one in _examples(inputs)
        ]
        seconds = []
        for index in range(20 + LATENCY_RUNS):
            start = time.perf_counter()
            self.invoke(rows[index % len(rows)])
            seconds.append(time.perf_counter() - start)
        p50, p95 = np.percentile(np.array(seconds[20:]) * 1000, (50, 95))
        return {"p50": round(float(p50), 4), "p95": round(float(p95), 4)}


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


def measure(
    path: Path,
    name: str,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    reference: np.ndarray,
    metric: Metric,
) -> dict[str, Any]:
    """Measures a file on a whole split, as `report.json` has it.

    Args:
        path: The file, beside the report's folder in a release.
        name: The variant's name.
        batches: Inputs and targets of the split, as NumPy arrays.
        reference: What the Keras model gives for the split.
        metric: From outputs and targets to the task metric.

    Returns:
        A row of `variants`, but for `drop` and `chosen`; see `choose`.
    """
    content = path.read_bytes()
    runner, contents = Runner(content), inspect(content)
    (source,), (result,) = runner.inputs, runner.outputs
    outputs, targets, first = [], [], None
    for inputs, target in batches:
        first = inputs if first is None else first
        outputs.append(runner(**{source: inputs})[result])
        targets.append(target)
    found, truth = np.concatenate(outputs), np.concatenate(targets)
    return {
        "name": name,
        "file": f"{path.parent.name}/{path.name}",
        "metric": metric(found, truth),
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "sparsity": round(contents.sparsity, 4),
        "latency_ms": runner.latency_ms({source: first[:LATENCY_RUNS]}),
        "threads": 1,
        "ops": list(contents.ops),
        "input": _describe(runner.inputs[source]),
        "output": _describe(runner.outputs[result]),
        "max_abs_error": float(np.max(np.abs(found - reference))),
    }


def _describe(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a phone's programmer needs to know of a tensor."""
    scale, zero_point = detail["quantization"]
    return {
        "shape": [int(size) for size in detail["shape"]],
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def choose(
    rows: Sequence[dict[str, Any]], max_drop: float
) -> list[dict[str, Any]]:
    """Adds `drop` and `chosen`: the smallest file that drops little enough.

    Args:
        rows: From `measure`; the first is float32.
        max_drop: The most that the metric may fall below float32's.
    """
    rows = [{**one, "drop": rows[0]["metric"] - one["metric"]} for one in rows]
    # Metrics of the same file differ in the last bit from sum to sum.
    able = [one for one in rows if one["drop"] <= max_drop + 1e-9]
    best = min(able, key=lambda one: one["gzip_bytes"])
    return [{**one, "chosen": one is best} for one in rows]


def write(
    directory: Path,
    twins: Mapping[Any, Any],
    variants: Sequence[Variant],
    calibration: Arrays,
    outputs: Sequence[str],
) -> list[Path]:
    """Converts every variant to `<directory>/<variant>.tflite`.

    Args:
        directory: The release's `mobile`; made here.
        twins: From `compression.compress`.
        variants: What to make.
        calibration: See `convert`.
        outputs: See `convert`.
    """
    directory.mkdir()
    paths = []
    for one in _progress(variants, "converting"):
        content = convert(twins[one.techniques], one, calibration, outputs)
        paths.append(directory / f"{one.name}.tflite")
        paths[-1].write_bytes(content)
    return paths


def measure_all(
    paths: Sequence[Path],
    batches: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]],
    reference: np.ndarray,
    metric: Metric,
    max_drop: float,
) -> list[dict[str, Any]]:
    """Measures files, the first being float32; copies the chosen one.

    Args:
        paths: From `write`.
        batches: Gives the inputs and targets of the test split anew.
        reference: See `measure`.
        metric: See `measure`.
        max_drop: See `choose`.

    Returns:
        The `variants` of `report.json`. `model.tflite` is then the chosen file.
    """
    rows = choose(
        [
            measure(path, path.stem, batches(), reference, metric)
            for path in _progress(paths, "measuring")
        ],
        max_drop,
    )
    for path, row in zip(paths, rows, strict=True):
        if row["chosen"]:
            shutil.copyfile(path, path.with_name("model.tflite"))
    return rows


def _progress(rows: Sequence[Any], description: str) -> Iterable[Any]:
    """Yields `rows` behind a bar that leaves no trace."""
    return rich.progress.track(
        rows,
        description=description,
        transient=True,
        disable=not rich.get_console().is_terminal,
    )
