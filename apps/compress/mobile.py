"""The TFLite files of a release: they are written, measured and chosen."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.console import track
from common.data.splits import Split, Splits
from common.mobile import conversion, files, litert, measurement, metadata
from common.variants import VARIANTS, Plan, Techniques, Variant

from . import selective, user_data, user_model
from .config import Config
from .outputs import Objectives


@dataclasses.dataclass
class Mobile:
    """The entries of the report on TFLite files.

    Attributes:
        rows: A row of measurements for each file; see `measurement.measure`.
        selected: For each file of the selective mode, what `selective.search`
            returned.
        refused: Names and reasons of variants that are not made, or whose file
            was removed because LiteRT cannot run it.
    """

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    selected: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    refused: list[dict[str, str]] = dataclasses.field(default_factory=list)


def write(
    directory: Path,
    written: Mobile,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    examples: dict[str, np.ndarray],
    splits: Splits,
    feed: user_data.Feed,
    options: Config,
    reference: Any,
    outputs: Sequence[str],
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files; writes `labels.txt`.

    Args:
        directory: The release's folder `mobile`, which is made here.
        written: The entries of the report, which are added here.
        twins: The compressed models, from `chain.compress`.
        plan: The files to make.
        examples: Inputs by name, for the ranges of int8.
        splits: The data.
        feed: Brings the data into the form that the model takes.
        options: Give `max_drop`, `denylist`, `selective`, `mobile_lstm`,
            `measure_examples` and the seed.
        reference: The Keras model's outputs for the test split.
        outputs: The names of the outputs.

    Returns:
        The entry `variants` of `report.json`.
    """
    int8 = conversion.Int8(
        "uint8" if feed.pixels else "float32", False, options.denylist
    )
    paths = conversion.write(
        directory, twins, plan, examples, outputs, int8,
        lstm=options.mobile_lstm,
    )  # fmt: skip
    if splits.class_names:
        files.write_names(directory / files.LABELS, splits.class_names)
    facts = facts_of(options, feed, outputs, splits.class_names, reference)
    metadata.write(paths, facts)
    task = _task(splits, feed, reference, options)
    kept = []
    for path in track(paths, "measuring", len(paths)):
        variant = VARIANTS[path.stem]
        row = _measure(path, variant, task, int8, written)
        if row and len(outputs) > 1:
            row["outputs"] = _measure_outputs(path, splits, feed, options)
        if row:
            written.rows.append(row)
            kept.append(path)
        if options.selective and _fails(
            variant, row, written.rows[0], task, options.max_drop
        ):
            twin = twins[variant.techniques]
            path = directory / f"{variant.name}+selective.tflite"
            _write_selective(
                path, twin, variant, examples, task, written, options, outputs,
                facts,
            )  # fmt: skip
            if len(outputs) > 1:
                written.rows[-1]["outputs"] = _measure_outputs(
                    path, splits, feed, options
                )
            kept.append(path)
    written.rows = measurement.ship(kept, written.rows, task, options.max_drop)
    return written.rows


def facts_of(
    options: Config,
    feed: user_data.Feed,
    outputs: Sequence[str],
    class_names: Sequence[str],
    reference: Any,
) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves.

    Args:
        options: Give the model's name and the licence.
        feed: Says which inputs are images, and how bytes are scaled.
        outputs: The names of the outputs.
        class_names: The classes; empty if the model has none.
        reference: The outputs for the test split. Their last axis says whether
            an output has a number for each class.
    """
    images = metadata.Tensor(
        normalization=metadata.Normalization(
            mean=-feed.offset / feed.scale, std=1 / feed.scale
        )
    )
    if len(outputs) == 1:
        reference = {outputs[0]: reference}
    labelled = {
        name: metadata.Tensor(names=files.LABELS)
        for name, array in reference.items()
        if class_names and array.shape[-1] == len(class_names)
    }
    return metadata.Facts(
        Path(options.model).stem,
        "A Keras model, compressed for phones.",
        {
            name: images
            for name, (shape, _) in feed.specs.items()
            if feed.pixels and len(shape) == 3
        },
        labelled,
        options.license,
        # The classes of a single probability name no axis.
        (files.LABELS,) if class_names and not labelled else (),
    )


def _task(
    splits: Splits,
    feed: user_data.Feed,
    reference: Any,
    options: Config,
) -> measurement.Measurement:
    """Returns the data and the metric that files are measured with."""
    objective = feed.objective
    if isinstance(objective, Objectives):
        return _task_of(objective, splits, feed, reference, options)
    return measurement.sampled(
        splits, options, feed.batches, reference,
        metric=lambda *pair: objective.measure(*pair)[objective.name],
        higher_is_better=objective.higher_is_better,
    )  # fmt: skip


def _task_of(
    objectives: Objectives,
    splits: Splits,
    feed: user_data.Feed,
    reference: Mapping[str, np.ndarray],
    options: Config,
) -> measurement.Measurement:
    """Returns the data and the metric of the task output of several."""
    name = objectives.task
    part = objectives.parts[name]

    def batches(split: Split) -> Iterator[tuple[Any, np.ndarray]]:
        for inputs, targets in feed.batches(split):
            yield inputs, targets[name]

    task = measurement.sampled(
        splits, options, batches, reference[name],
        metric=lambda *pair: part.measure(*pair)[part.name],
        higher_is_better=objectives.higher_is_better,
    )  # fmt: skip
    return dataclasses.replace(task, output=name)


def _measure_outputs(
    path: Path, splits: Splits, feed: user_data.Feed, options: Config
) -> dict[str, float]:
    """Returns the metrics of all outputs of a file on the test split."""
    rows = measurement.rows(splits.test.num_examples, options)
    runner, pairs = litert.Runner(path.read_bytes()), []
    for inputs, targets in feed.batches(splits.test.choose(rows)):
        pairs.append((runner(**inputs), targets))
    outputs, targets = tf.nest.map_structure(
        lambda *parts: np.concatenate(parts), *pairs
    )
    return feed.objective.measure(outputs, targets)


def _measure(
    path: Path,
    variant: Variant,
    task: measurement.Measurement,
    int8: conversion.Int8,
    written: Mobile,
) -> dict[str, Any]:
    """Returns the row of a file, {} if LiteRT cannot run it.

    Such a file is removed and added to `written.refused`; float32 must run.
    """
    try:
        row = measurement.measure(path, variant.name, task)
    except litert.LoadError as error:
        if variant.name == "float32":
            raise
        path.unlink()
        written.refused.append({"name": variant.name, "reason": f"{error}."})
        return {}
    denied = int8.denylist if variant.format == "int8" else ()
    return {**row, "float_layers": list(denied)}


def _fails(
    variant: Variant,
    row: Mapping[str, Any],
    float32: Mapping[str, Any],
    task: measurement.Measurement,
    max_drop: float,
) -> bool:
    """Tells whether a post-training int8 file cannot run or loses too much.

    Args:
        variant: The file's variant.
        row: The file's measurements, {} if LiteRT cannot run it.
        float32: The measurements of the float32 file.
        task: Says whether a higher metric is better.
        max_drop: The most that the validation metric may worsen.
    """
    if variant.format != "int8" or "qat" in variant.techniques:
        return False
    if not row:
        return True
    sign = 1 if task.higher_is_better else -1
    drop = sign * (float32["valid_metric"] - row["valid_metric"])
    return drop > max_drop


def _write_selective(
    path: Path,
    twin: Any,
    variant: Variant,
    examples: dict[str, np.ndarray],
    task: measurement.Measurement,
    written: Mobile,
    options: Config,
    outputs: Sequence[str],
    facts: metadata.Facts,
) -> None:
    """Writes and measures an int8 file with its costliest layers in float."""
    sign = 1 if task.higher_is_better else -1
    content, choice = selective.search(
        conversion.calibrate(
            twin, variant, examples, outputs, options.mobile_lstm
        ),
        list(user_model.layer_names(twin)),
        task,
        goal=written.rows[0]["valid_metric"] - sign * options.max_drop,
        name=path.stem,
        always=options.denylist,
    )
    path.write_bytes(content)
    metadata.write([path], facts)
    row = measurement.measure(path, path.stem, task)
    row["float_layers"] = choice["float_layers"]
    written.rows.append(row)
    written.selected.append(choice)
