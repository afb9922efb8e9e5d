"""Measuring TFLite files on whole splits, and choosing the one to ship."""

import dataclasses
import gzip
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import litert, progress

# Inputs, an array or several by name, and targets.
Batches = Callable[[], Iterable[tuple[Any, np.ndarray]]]
Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What files are measured with.

    Attributes:
        valid: Gives inputs and targets of the validation split, as arrays,
            anew at each call. The file to ship is chosen on it.
        test: The same of the test split, for reporting.
        reference: What the Keras model gives for the test split.
        metric: From outputs and targets to the task metric.
        higher_is_better: Whether more of the metric is better; if not, a
            rise counts as a drop.
        output: The file's output that the metric takes; may be left out where
            there is only one.
    """

    valid: Batches
    test: Batches
    reference: np.ndarray
    metric: Metric
    higher_is_better: bool = True
    output: str = ""


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
    result = how.output or next(iter(runner.outputs))
    valid, _ = run(runner, how.valid(), result)
    test, first = run(runner, how.test(), result)
    found = test[0]
    return {
        "name": name,
        "file": f"{path.parent.name}/{path.name}",
        "metric": how.metric(*test),
        "valid_metric": how.metric(*valid),
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "sparsity": round(contents.sparsity, 4),
        "latency_ms": runner.latency_ms(first),
        "threads": 1,
        "ops": list(contents.ops),
        "inputs": {name: _describe(one) for name, one in runner.inputs.items()},
        "output": _describe(runner.outputs[result]),
        "max_abs_error": float(np.max(np.abs(found - how.reference))),
    }


def run(
    runner: litert.Runner,
    batches: Iterable[tuple[Any, np.ndarray]],
    result: str = "",
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Returns a split's outputs and targets, and its first inputs.

    Args:
        runner: The file.
        batches: Inputs and targets.
        result: The output's name; by default the first.
    """
    result = result or next(iter(runner.outputs))
    outputs, targets = [], []
    first: dict[str, np.ndarray] = {}
    for inputs, truth in batches:
        if not isinstance(inputs, Mapping):
            inputs = {next(iter(runner.inputs)): inputs}
        outputs.append(runner(**inputs)[result])
        targets.append(truth)
        first = first or {
            name: array[: litert.LATENCY_RUNS] for name, array in inputs.items()
        }
    return (np.concatenate(outputs), np.concatenate(targets)), first


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
    rows: Sequence[dict[str, Any]],
    max_drop: float,
    higher_is_better: bool = True,
) -> list[dict[str, Any]]:
    """Adds `drop`, on test, and `chosen`, which validation decides.

    Args:
        rows: From `measure`; the first is float32.
        max_drop: The most that the validation metric of the chosen file, the
            smallest such, may fall below float32's.
        higher_is_better: See `Measurement`.
    """
    first, sign = rows[0], 1 if higher_is_better else -1
    able = [
        one
        for one in rows
        # Metrics of the same outputs may differ in the last bit; where they
        # are no numbers, float32 is what ships.
        if one is first
        or sign * (first["valid_metric"] - one["valid_metric"])
        <= max_drop + 1e-9
    ]
    best = min(able, key=lambda one: one["gzip_bytes"])
    return [
        {
            **one,
            "drop": sign * (first["metric"] - one["metric"]),
            "chosen": one is best,
        }
        for one in rows
    ]


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
    rows = [
        measure(path, path.stem, how)
        for path in progress.track(paths, "measuring", len(paths))
    ]
    return ship(paths, rows, how, max_drop)


def ship(
    paths: Sequence[Path],
    rows: Sequence[dict[str, Any]],
    how: Measurement,
    max_drop: float,
) -> list[dict[str, Any]]:
    """Chooses among measured files and copies the chosen one.

    Args:
        paths: The files.
        rows: What `measure` found of each.
        how: Says which way the metric is better.
        max_drop: See `choose`.

    Returns:
        The `variants` of `report.json`. `model.tflite` is then the chosen file.
    """
    rows = choose(rows, max_drop, how.higher_is_better)
    for path, row in zip(paths, rows, strict=True):
        if row["chosen"]:
            shutil.copyfile(path, path.with_name("model.tflite"))
    return rows
