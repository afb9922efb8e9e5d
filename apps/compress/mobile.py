"""The files for phones: written, measured, and with float layers if asked."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.console import track
from common.data.splits import Splits
from common.mobile import conversion, files, litert, measurement
from common.variants import Variant

from . import results, selective, user_data, user_model


@dataclasses.dataclass
class Mobile:
    """What was written, for the report.

    Attributes:
        rows: The files, measured.
        selected: What the selective mode did.
        refused: The files that LiteRT cannot run, which are not kept.
    """

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    selected: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    refused: list[dict[str, str]] = dataclasses.field(default_factory=list)


def write(
    directory: Path,
    written: Mobile,
    twins: Mapping[Any, Any],
    variants: Sequence[Variant],
    examples: dict[str, np.ndarray],
    splits: Splits,
    feed: user_data.Feed,
    options: Any,
    reference: np.ndarray,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, and `labels.txt`.

    Args:
        directory: The release's `mobile`; made here.
        written: Takes note of what is written.
        twins: From `compression.compress`.
        variants: What to make.
        examples: Inputs by name, for the ranges of int8.
        splits: The data.
        feed: Brings them into the model's form.
        options: Gives `max_drop`, `denylist`, `selective` and the seed.
        reference: What the Keras model gives for the test split.
    """
    int8 = conversion.Int8(
        "uint8" if feed.pixels else "float32", False, options.denylist
    )
    outputs = [results.OUTPUT]
    paths = conversion.write(
        directory, twins, variants, examples, outputs, int8
    )
    if splits.class_names:
        files.write_names(directory / files.LABELS, splits.class_names)
    how = _measurement(splits, feed, reference, options)
    kept = []
    for path, one in track(
        list(zip(paths, variants, strict=True)), "measuring", len(paths)
    ):
        row = _measure(path, one, how, int8, written)
        if row:
            written.rows.append(row)
            kept.append(path)
        if options.selective and _fails(
            one, row, written.rows[0], how, options
        ):
            twin = twins[one.techniques]
            name = f"{one.name}+selective"
            content, what = _select(
                name, twin, one, examples, how, written.rows[0], options
            )
            kept.append(directory / f"{name}.tflite")
            kept[-1].write_bytes(content)
            row = measurement.measure(kept[-1], name, how)
            row["float_layers"] = what["float_layers"]
            written.rows.append(row)
            written.selected.append(what)
    written.rows = measurement.ship(kept, written.rows, how, options.max_drop)
    return written.rows


def _measurement(
    splits: Splits,
    feed: user_data.Feed,
    reference: np.ndarray,
    options: Any,
) -> measurement.Measurement:
    """Returns what files are measured with."""
    objective = feed.objective
    return measurement.sampled(
        splits, options, feed.batches, reference,
        metric=lambda *pair: objective.measure(*pair)[objective.name],
        higher_is_better=objective.higher_is_better,
    )  # fmt: skip


def _measure(
    path: Path,
    variant: Variant,
    how: measurement.Measurement,
    int8: conversion.Int8,
    found: Mobile,
) -> dict[str, Any]:
    """Measures a file; removes and notes one that LiteRT cannot run."""
    try:
        row = measurement.measure(path, variant.name, how)
    except litert.LoadError as error:
        if variant.name == "float32":
            raise
        path.unlink()
        found.refused.append({"name": variant.name, "reason": f"{error}."})
        return {}
    denied = int8.denylist if variant.format == "int8" else ()
    return {**row, "float_layers": list(denied)}


def _fails(
    variant: Variant,
    row: Mapping[str, Any],
    float32: Mapping[str, Any],
    how: measurement.Measurement,
    options: Any,
) -> bool:
    """Tells whether a post-training int8 file cannot run, or drops too much."""
    if variant.format != "int8" or "qat" in variant.techniques:
        return False
    if not row:
        return True
    sign = 1 if how.higher_is_better else -1
    drop = sign * (float32["valid_metric"] - row["valid_metric"])
    return drop > options.max_drop


def _select(
    name: str,
    twin: Any,
    variant: Variant,
    examples: dict[str, np.ndarray],
    how: measurement.Measurement,
    float32: Mapping[str, Any],
    options: Any,
) -> tuple[bytes, dict[str, Any]]:
    """Returns the file with the costliest layers in float, and what it took."""
    sign = 1 if how.higher_is_better else -1
    return selective.search(
        conversion.calibrate(twin, variant, examples, [results.OUTPUT]),
        list(user_model.layer_names(twin)),
        how,
        goal=float32["valid_metric"] - sign * options.max_drop,
        name=name,
        always=options.denylist,
    )
