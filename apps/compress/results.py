"""What this app leaves: the plan, the files, their rows and the plots."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apps.compress import npz, selective, user_data, user_model
from common import (
    compression,
    data,
    measurement,
    metrics,
    plots,
    runtime,
    tflite,
)
from common.compression import Variant
from common.config import InputError, Options

CALIBRATION_EXAMPLES = 500
# Enough to come back from 90 % sparsity, also where an epoch is short.
FINETUNE_STEPS = 1000
OUTPUT = "output"
MOST_CLASSES = 30


def plan(
    model: Any,
    twin: Any,
    wanted: Sequence[Variant],
    calibration: dict[str, np.ndarray],
    config: Any,
) -> tuple[list[Variant], list[dict[str, str]]]:
    """Separates the variants to make from those that are refused, and why."""
    denylist, known = config.denylist, list(user_model.layer_names(model))
    for name in denylist:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known[:1]
            raise InputError(
                f"--denylist must name layers of the model; received {name!r}."
                f" Did you mean {near[0]}?"
            )
    possible, refused = [], []
    for one in wanted:
        if one.techniques and not config.dataset:
            reason = (
                "it is fine-tuned after each step, which needs labels: pass "
                f"--dataset. Nearest: {one.format}."
            )
        elif one.format == "dynamic" and denylist:
            reason = (
                "its converter rounds the weights of all layers and knows no "
                "--denylist. Nearest: int8."
            )
        else:
            possible.append(one)
            continue
        refused.append({"name": one.name, "reason": reason})
    possible, more = compression.plan(model, possible, denylist, config)
    possible, loops = tflite.plan(twin, possible, calibration, [OUTPUT])
    return possible, refused + more + loops


def tell(
    model: Any, scores: Mapping[str, Mapping[str, float]], splits: data.Splits
) -> None:
    """Prints what the model is, and how good before anything is done."""
    console = runtime.console()
    console.print(
        f"{model.name}: {model.count_params():,} weights, "
        f"{len(model.layers)} layers, on {splits.name}"
    )
    for note in splits.notes:
        console.print(f"note: {note}")
    for split, values in scores.items():
        text = "  ".join(f"{name} {one:.4f}" for name, one in values.items())
        console.print(f"{split:>6}  {text}")


def finetuning(
    splits: data.Splits, feed: user_data.Feed, config: Any
) -> compression.Finetuning:
    """Returns how twins are fine-tuned, with the user's loss and data."""
    objective = feed.objective
    distill = config.distill if objective.distills else 0.0
    num_steps = data.num_steps(splits.train, config.batch_size)
    epochs = config.finetune_epochs or min(
        max(-(-FINETUNE_STEPS // num_steps), 3), 30
    )
    return compression.Finetuning(
        splits.train,
        feed.training,
        config.replace(distill=distill, finetune_epochs=epochs),
        loss=getattr(objective, "loss", None),
        soften=getattr(objective, "soften", lambda outputs: outputs),
        denylist=config.denylist,
    )


def noted(
    splits: data.Splits, selected: Sequence[Mapping[str, Any]], config: Any
) -> data.Splits:
    """Returns the splits with notes of what was left in float."""
    notes = list(splits.notes)
    if config.denylist:
        notes.append(
            f"in float in every int8 file: {', '.join(config.denylist)}"
        )
    for one in selected:
        notes.append(
            f"{one['variant']}: {len(one['float_layers'])} layers in float, "
            f"the costliest of {len(one['costs'])}, "
            f"{'within' if one['reached'] else 'still not within'} --max_drop "
            f"on validation: {', '.join(one['float_layers'])}"
        )
    return dataclasses.replace(splits, notes=tuple(notes))


def calibration(
    config: Any, model: Any, feed: user_data.Feed, splits: data.Splits
) -> dict[str, np.ndarray]:
    """Returns inputs by name for the ranges of int8."""
    split = splits.train
    if config.dataset and config.calibration:
        given = npz.load(config.calibration, model, config.seed, labelled=False)
        user_data.fit(model, given, feed.objective, config.replace(dataset=""))
        split = given.train
    few = split.sample(CALIBRATION_EXAMPLES, config.seed)
    rows = [inputs for inputs, _ in feed.batches(few)]
    return {
        name: np.concatenate([one[name] for one in rows]) for name in rows[0]
    }


def write_mobile(
    directory: Path,
    twins: dict,
    variants: Sequence[Variant],
    examples: dict[str, np.ndarray],
    splits: data.Splits,
    feed: user_data.Feed,
    options: Any,
    reference: np.ndarray,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Writes and measures the TFLite files; looks for float layers if asked.

    Returns:
        The rows of the report, and what the selective mode did.
    """
    int8 = tflite.Int8(
        "uint8" if feed.pixels else "float32", False, options.denylist
    )
    paths = tflite.write(directory, twins, variants, examples, [OUTPUT], int8)
    if splits.class_names:
        labels = "\n".join(splits.class_names) + "\n"
        (directory / "labels.txt").write_text(labels, encoding="utf-8")
    objective = feed.objective
    how = measurement.Measurement(
        valid=lambda: feed.batches(splits.valid),
        test=lambda: feed.batches(splits.test),
        reference=reference,
        metric=lambda *pair: objective.measure(*pair)[objective.name],
        higher_is_better=objective.higher_is_better,
    )
    rows = [
        {
            **measurement.measure(path, one.name, how),
            "float_layers": list(int8.denylist if one.format == "int8" else ()),
        }
        for path, one in zip(paths, variants, strict=True)
    ]
    done: list[dict[str, Any]] = []
    if options.selective:
        for one, row in list(zip(variants, rows, strict=True)):
            if _fails(one, row, rows[0], how, options):
                path, extra, what = _select(
                    directory, twins[one.techniques], one, examples, how,
                    rows[0], options,
                )  # fmt: skip
                paths.append(path)
                rows.append(extra)
                done.append(what)
    return measurement.ship(paths, rows, how, options.max_drop), done


def _fails(
    variant: Variant,
    row: dict[str, Any],
    float32: dict[str, Any],
    how: measurement.Measurement,
    options: Options,
) -> bool:
    """Tells whether a post-training int8 file drops too much."""
    sign = 1 if how.higher_is_better else -1
    drop = sign * (float32["valid_metric"] - row["valid_metric"])
    trained = "qat" in variant.techniques
    return variant.format == "int8" and not trained and drop > options.max_drop


def _select(
    directory: Path,
    twin: Any,
    variant: Variant,
    examples: dict[str, np.ndarray],
    how: measurement.Measurement,
    float32: dict[str, Any],
    options: Any,
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Writes and measures the file with the costliest layers in float."""
    calibrated = tflite.calibrate(twin, variant, examples, [OUTPUT])
    sign = 1 if how.higher_is_better else -1
    name = f"{variant.name}+selective"
    content, what = selective.search(
        calibrated,
        list(user_model.layer_names(twin)),
        how,
        float32["valid_metric"] - sign * options.max_drop,
        name,
    )
    path = directory / f"{name}.tflite"
    path.write_bytes(content)
    row = measurement.measure(path, name, how)
    return path, {**row, "float_layers": what["float_layers"]}, what


def draw(
    result: dict[str, Any],
    splits: data.Splits,
    objective: Any,
    outputs: np.ndarray,
    targets: np.ndarray,
) -> list[plots.Plot]:
    """Returns the plots of the report."""
    name = result["task_metric"]
    found = [
        plots.size_against_metric(
            result["variants"], name, result["config"]["max_drop"]
        )
    ]
    if objective.num_classes and outputs.ndim == 2:
        num = outputs.shape[1]
        names = splits.class_names or tuple(str(one) for one in range(num))
        if targets.ndim == 2:
            targets = np.argmax(targets, axis=1)
        if num <= MOST_CLASSES:
            matrix = metrics.confusion_matrix(outputs, targets.astype(int))
            found.append(plots.confusion(matrix, names))
    return found
