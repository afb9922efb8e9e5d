"""Measuring TFLite files, and choosing the file to ship.

Files are measured on all examples of valid and of test; with
`--measure_examples`, on a random sample (see `rows`).
"""

import dataclasses
import gzip
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.console import track
from common.data.splits import Rows, Splits
from common.shared_options import Options

from . import litert, metadata, thresholds

# Medians of latency within this factor are equal: so far they differ by chance.
SAME_LATENCY = 1.1

# Returns pairs of inputs, an array or arrays by name, and targets.
Batches = Callable[[], Iterable[tuple[Any, np.ndarray]]]
Metric = Callable[[np.ndarray, np.ndarray], float]
# A split's outputs and targets, each `(num, ...)`.
Pair = tuple[np.ndarray, np.ndarray]
Decide = Callable[[litert.Runner, Pair, Pair], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The data and the metric that files are measured with.

    Attributes:
        valid: Returns the batches of the validation split, as arrays; each call
            starts anew. The file to ship is chosen on this split.
        test: Returns the batches of the test split, for reporting.
        reference: The Keras model's outputs for the test split, `(num, ...)`.
        metric: Maps outputs and targets to the task metric.
        higher_is_better: Whether a larger metric is better; if not, a rise
            counts as a drop.
        output: The name of the file's output that the metric takes; may be left
            out if the file has one output.
        decide: Maps the file, and its outputs and targets of valid and of test,
            to `threshold`, fitted on valid, and the figures of test at it.
        decided: The name of the output that the threshold is compared with.
    """

    valid: Batches
    test: Batches
    reference: np.ndarray
    metric: Metric
    higher_is_better: bool = True
    output: str = ""
    decide: Decide | None = None
    decided: str = "score"


def sampled(
    splits: Splits,
    options: Options,
    batches: Callable[..., Iterable[tuple[Any, np.ndarray]]],
    reference: np.ndarray,
    metric: Metric,
    higher_is_better: bool = True,
) -> Measurement:
    """Returns the measurement on a sample of valid and of test; see `rows`.

    Args:
        splits: The data.
        options: See `rows`.
        batches: Maps a split to its batches of inputs and targets, as arrays.
        reference: The Keras model's outputs for all of test, `(num, ...)`.
        metric: See `Measurement`.
        higher_is_better: See `Measurement`.
    """
    test_rows = rows(splits.test.num_examples, options)
    test = splits.test.choose(test_rows)
    valid = splits.valid.choose(rows(splits.valid.num_examples, options))
    return Measurement(
        valid=lambda: batches(valid),
        test=lambda: batches(test),
        reference=reference[test_rows],
        metric=metric,
        higher_is_better=higher_is_better,
    )


def rows(num_examples: int, options: Options) -> Rows:
    """Returns the examples of a split to measure on.

    Args:
        num_examples: The number of examples in the split.
        options: Gives the seed and `measure_examples`, which is 0 for all.

    Returns:
        Sorted random indices, or a slice of all examples.
    """
    num_rows = options.measure_examples
    if not 0 < num_rows < num_examples:
        return slice(None)
    generator = np.random.default_rng(options.seed)
    return np.sort(generator.choice(num_examples, num_rows, replace=False))


def measure(path: Path, name: str, measurement: Measurement) -> dict[str, Any]:
    """Measures a file on the validation and the test split.

    Args:
        path: The file.
        name: The variant's name.
        measurement: The data and the metric.

    Returns:
        A row of `variants` in `report.json`, without the keys that `choose`
        adds.

    Raises:
        litert.LoadError: If LiteRT cannot run the file.
    """
    content = path.read_bytes()
    runner, contents = litert.Runner(content), litert.inspect(content)
    result = measurement.output or next(iter(runner.outputs))
    valid, _ = run(runner, measurement.valid(), result)
    test, first = run(runner, measurement.test(), result)
    outputs = test[0]
    row = {
        "name": name,
        "file": f"{path.parent.name}/{path.name}",
        "metric": measurement.metric(*test),
        "valid_metric": measurement.metric(*valid),
        "examples": len(outputs),
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        "metadata_bytes": len(content) - len(metadata.remove(content)),
        "latency_ms": runner.latency_ms(first),
        "threads": 1,
        "ops": list(contents.ops),
        "stateful": contents.stateful,
        "multiplications": contents.multiplications,
        "inputs": {
            name: describe(detail) for name, detail in runner.inputs.items()
        },
        "output": describe(runner.outputs[result]),
        "max_abs_error": float(np.max(np.abs(outputs - measurement.reference))),
    }
    if "prune" in name.split("+"):  # In other variants zeros are chance.
        row["sparsity"] = round(contents.sparsity, 4)
    if measurement.decide:
        row["at_threshold"] = measurement.decide(runner, valid, test)
    return row


def run(
    runner: litert.Runner,
    batches: Iterable[tuple[Any, np.ndarray]],
    result: str = "",
) -> tuple[Pair, dict[str, np.ndarray]]:
    """Returns a file's outputs for a split, the targets, and the first inputs.

    Args:
        runner: The file.
        batches: Pairs of inputs and targets.
        result: The name of the output; by default the file's first output.

    Returns:
        The outputs and the targets, each `(num, ...)`; and at most
        `litert.LATENCY_RUNS` rows of the first batch's inputs, by name.
    """
    result = result or next(iter(runner.outputs))
    outputs, targets = [], []
    first: dict[str, np.ndarray] = {}
    for inputs, batch_targets in batches:
        if not isinstance(inputs, Mapping):
            inputs = {next(iter(runner.inputs)): inputs}
        outputs.append(runner(**inputs)[result])
        targets.append(batch_targets)
        first = first or {
            name: array[: litert.LATENCY_RUNS] for name, array in inputs.items()
        }
    return (np.concatenate(outputs), np.concatenate(targets)), first


def describe(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the facts about a tensor that callers of the file need."""
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
    """Returns rows with `drop`, on test, and `chosen` and `pareto`, on valid.

    The chosen file is the smallest, zipped, whose validation metric falls at
    most `max_drop` below that of float32. On the Pareto front are the files
    that no other surpasses: see `_surpasses`.

    Args:
        rows: The rows of `measure`; the first is that of float32.
        max_drop: The largest drop of the validation metric.
        higher_is_better: See `Measurement`.
    """
    first, sign = rows[0], 1 if higher_is_better else -1
    eligible = [
        row
        for row in rows
        # Metrics of the same outputs may differ in the last bit. If a metric is
        # NaN, the comparison fails, and float32 is left.
        if row is first
        or sign * (first["valid_metric"] - row["valid_metric"])
        <= max_drop + 1e-9
    ]
    best = min(eligible, key=lambda row: row["gzip_bytes"])
    return [
        {
            **row,
            "drop": sign * (first["metric"] - row["metric"]),
            "chosen": row is best,
            "pareto": not any(_surpasses(other, row, sign) for other in rows),
        }
        for row in rows
    ]


def _surpasses(
    other: Mapping[str, Any], row: Mapping[str, Any], sign: int
) -> bool:
    """Tells whether a file is smaller or better than another, and not worse.

    Args:
        other: The row of the file that may surpass.
        row: The row of the file that may be surpassed.
        sign: 1 if a larger metric is better, else -1.
    """
    gain = sign * (other["valid_metric"] - row["valid_metric"])
    saved = row["gzip_bytes"] - other["gzip_bytes"]
    slower = other["latency_ms"]["p50"] / row["latency_ms"]["p50"]
    no_worse = gain >= 0 and saved >= 0 and slower <= SAME_LATENCY
    return no_worse and (gain > 0 or saved > 0)


def measure_all(
    paths: Sequence[Path], measurement: Measurement, max_drop: float
) -> list[dict[str, Any]]:
    """Measures files, the first being float32, and copies the chosen one.

    Args:
        paths: The paths that `conversion.write` returned.
        measurement: The data and the metric.
        max_drop: See `choose`.

    Returns:
        The `variants` of `report.json`. `model.tflite` is then the chosen file.
    """
    rows = [
        measure(path, path.stem, measurement)
        for path in track(paths, "measuring", len(paths))
    ]
    return ship(paths, rows, measurement, max_drop)


def ship(
    paths: Sequence[Path],
    rows: Sequence[dict[str, Any]],
    measurement: Measurement,
    max_drop: float,
) -> list[dict[str, Any]]:
    """Chooses among measured files and copies the chosen one.

    Args:
        paths: The files.
        rows: The row that `measure` returned for each file.
        measurement: Gives `higher_is_better`, `decide` and `decided`.
        max_drop: See `choose`.

    Returns:
        The `variants` of `report.json`. `model.tflite` is then the chosen file.
    """
    rows = choose(rows, max_drop, measurement.higher_is_better)
    for path, row in zip(paths, rows, strict=True):
        if row["chosen"]:
            shutil.copyfile(path, path.with_name(thresholds.SHIPPED))
    if measurement.decide:
        thresholds.write(paths[0].parent, rows, measurement.decided)
    stateful = [row["name"] for row in rows if row["stateful"]]
    if stateful:
        text = f"# Before each call\n\n{state_note(stateful)}\n"
        (paths[0].parent / "README.md").write_text(text, encoding="utf-8")
    return rows


def state_note(names: Sequence[str]) -> str:
    """Returns a note on resetting files that keep a state between calls."""
    return (
        f"The files {', '.join(names)} keep a state between calls, that of a "
        "fused LSTM. Reset it before each call, or every answer but the first "
        "is wrong: reset_all_variables in Python, resetVariableTensors in "
        "Java, ResetVariableTensors in C++. Files made by --mobile_lstm=loop "
        "keep none."
    )
