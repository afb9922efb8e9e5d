"""TFLite (LiteRT) files: conversion, running, and measuring what ships.

Files are converted from a tf_keras twin, from a concrete function with batch
size 1, and hold built-in operators only: one that needs TensorFlow's own
("Flex") is a failed export, for no Python or stock phone runtime runs it.
"""

import dataclasses
import gzip
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy

from common import litert, progress, runtime
from common.compression import Variant
from common.config import InputError

with epy.lazy_imports():
    import tensorflow as tf

Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
Metric = Callable[[np.ndarray, np.ndarray], float]


def convert(
    twin: Any,
    variant: Variant,
    calibration: litert.Arrays,
    outputs: Sequence[str],
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
            converter.representative_dataset = lambda: litert.examples(
                calibration
            )
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


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What files are measured with.

    Attributes:
        valid: Gives inputs and targets of the validation split, as arrays,
            anew at each call. The file to ship is chosen on it.
        test: The same of the test split, for reporting.
        reference: What the Keras model gives for the test split.
        metric: From outputs and targets to the task metric.
    """

    valid: Batches
    test: Batches
    reference: np.ndarray
    metric: Metric


def measure(path: Path, name: str, how: Measurement) -> dict[str, Any]:
    """Measures a file on whole splits.

    Args:
        path: The file.
        name: The variant's name.
        how: The data and the metric.

    Returns:
        A row of `variants` in `report.json`, but for what `choose` adds.
    """
    content = path.read_bytes()
    runner, contents = litert.Runner(content), litert.inspect(content)
    (source,), (result,) = runner.inputs, runner.outputs
    valid, _ = _run(runner, how.valid())
    test, first = _run(runner, how.test())
    found = test[0]
    return {
        "name": name,
        "file": f"{path.parent.name}/{path.name}",
        "metric": how.metric(*test),
        "valid_metric": how.metric(*valid),
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "sparsity": round(contents.sparsity, 4),
        "latency_ms": runner.latency_ms({source: first[: litert.LATENCY_RUNS]}),
        "threads": 1,
        "ops": list(contents.ops),
        "input": _describe(runner.inputs[source]),
        "output": _describe(runner.outputs[result]),
        "max_abs_error": float(np.max(np.abs(found - how.reference))),
    }


def _run(
    runner: litert.Runner, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Returns a split's outputs and targets, and its first inputs."""
    (source,), (result,) = runner.inputs, runner.outputs
    rows = [
        (
            runner(**{source: inputs})[result],
            targets,
            inputs[: litert.LATENCY_RUNS],
        )
        for inputs, targets in batches
    ]
    outputs, targets, inputs = zip(*rows, strict=True)
    return (np.concatenate(outputs), np.concatenate(targets)), inputs[0]


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
    """Adds `drop`, on test, and `chosen`, which validation decides.

    Args:
        rows: From `measure`; the first is float32.
        max_drop: The most that the validation metric of the chosen file, the
            smallest such, may fall below float32's.
    """
    first = rows[0]
    able = [
        one
        for one in rows
        # Metrics of the same outputs may differ in the last bit.
        if first["valid_metric"] - one["valid_metric"] <= max_drop + 1e-9
    ]
    best = min(able, key=lambda one: one["gzip_bytes"])
    return [
        {**one, "drop": first["metric"] - one["metric"], "chosen": one is best}
        for one in rows
    ]


def write(
    directory: Path,
    twins: Mapping[Any, Any],
    variants: Sequence[Variant],
    calibration: litert.Arrays,
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
    for one in progress.track(variants, "converting", len(variants)):
        content = convert(twins[one.techniques], one, calibration, outputs)
        paths.append(directory / f"{one.name}.tflite")
        paths[-1].write_bytes(content)
    return paths


def measure_all(
    paths: Sequence[Path], how: Measurement, max_drop: float
) -> list[dict[str, Any]]:
    """Measures files, the first being float32, and copies the chosen one.

    Args:
        paths: From `write`.
        how: See `measure`.
        max_drop: See `choose`.

    Returns:
        The `variants` of `report.json`. `model.tflite` is then the chosen file.
    """
    rows = choose(
        [
            measure(path, path.stem, how)
            for path in progress.track(paths, "measuring", len(paths))
        ],
        max_drop,
    )
    for path, row in zip(paths, rows, strict=True):
        if row["chosen"]:
            shutil.copyfile(path, path.with_name("model.tflite"))
    return rows
