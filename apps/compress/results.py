"""What this app leaves: the plan, the files, their rows and the plots."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common import console
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import pipelines
from common.data.splits import Splits, for_calibration
from common.keras2.registry import twin_name
from common.mobile import conversion
from common.options import InputError
from common.report import metrics, plots
from common.variants import Variant

from . import npz, user_data, user_model

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
    denylist = config.denylist
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
        elif "qat" in one.techniques and denylist:
            reason = (
                "TFLite's converter quantizes a layer between quantized ones "
                "even if it was trained in float, so a --denylist would not "
                f"hold. Nearest: {'+'.join((*one.techniques[:-1], 'int8'))}."
            )
        else:
            possible.append(one)
            continue
        refused.append({"name": one.name, "reason": reason})
    possible, more = chain.plan(model, possible, config)
    possible, loops = conversion.plan(twin, possible, calibration, [OUTPUT])
    if denylist:
        _check_operators(twin, possible, calibration, denylist)
    return possible, refused + more + loops


def _check_operators(
    twin: Any,
    variants: Sequence[Variant],
    calibration: dict[str, np.ndarray],
    denylist: tuple[str, ...],
) -> None:
    """Raises `InputError` if a layer has no operator to leave in float."""
    int8 = [one for one in variants if one.format == "int8"]
    if not int8:
        return
    few = {name: array[:2] for name, array in calibration.items()}
    nodes = conversion.calibrate(twin, int8[0], few, [OUTPUT]).nodes
    for name in denylist:
        if name not in nodes:
            raise InputError(
                f"--denylist: {name} has no operator of its own in the file: "
                "it is part of another layer's or does nothing. Those that "
                f"have: {', '.join(nodes)}."
            )


def tell(
    model: Any, scores: Mapping[str, Mapping[str, float]], splits: Splits
) -> None:
    """Prints what the model is, and how good before anything is done."""
    terminal = console.get()
    terminal.print(
        f"{model.name}: {model.count_params():,} weights, "
        f"{len(model.layers)} layers, on {splits.name}"
    )
    for note in splits.notes:
        terminal.print(f"note: {note}")
    for split, values in scores.items():
        text = "  ".join(f"{name} {one:.4f}" for name, one in values.items())
        terminal.print(f"{split:>6}  {text}")


def resolve(config: Any, model: Any, splits: Splits, objective: Any) -> Any:
    """Returns the options with what follows from model and data filled in."""
    _check_names("--denylist", config.denylist, user_model.layer_names(model))
    outer = (layer.name for layer in model.layers)
    _check_names("--prune_layers", config.prune_layers, outer)
    num_steps = pipelines.num_steps(splits.train, config.batch_size)
    epochs = min(max(-(-FINETUNE_STEPS // num_steps), 3), 30)
    return config.replace(
        denylist=tuple(twin_name(name) for name in config.denylist),
        prune_layers=tuple(twin_name(name) for name in config.prune_layers),
        distill=config.distill if objective.distills else 0.0,
        finetune_epochs=config.finetune_epochs or epochs,
    )


def _check_names(
    option: str, names: Sequence[str], layers: Iterable[str]
) -> None:
    """Raises `InputError` if an option names a layer that is none."""
    known = list(layers)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known[:1]
            raise InputError(
                f"{option} must name layers of the model; received {name!r}."
                f" Did you mean {near[0]}?"
            )


def finetuning(splits: Splits, feed: user_data.Feed, config: Any) -> Finetuning:
    """Returns how twins are fine-tuned, with the user's loss and data."""
    objective = feed.objective
    return Finetuning(
        splits.train,
        feed.training,
        config,
        loss=getattr(objective, "loss", None),
        soften=getattr(objective, "soften", lambda outputs: outputs),
    )


def trivial(
    objective: Any,
    shape: Sequence[int | None],
    valid: np.ndarray,
    test: np.ndarray,
) -> list[dict[str, Any]]:
    """Returns the row of the most frequent class, where accuracy is judged.

    Args:
        objective: What the model is judged by.
        shape: Of the model's output.
        valid: Targets, which give the class.
        test: Targets, to be judged.
    """
    if "accuracy" not in objective.name or len(shape) != 2:
        return []
    if not objective.num_classes:
        return []
    classes = [
        np.argmax(one, axis=1) if one.shape[1:] == shape[1:] else one.ravel()
        for one in (valid, test)
    ]
    row = metrics.most_frequent(*classes)
    figure = row["metrics"]["accuracy"]
    return [{**row, "metrics": {objective.name: figure}}]


def _float_notes(
    selected: Sequence[Mapping[str, Any]], denylist: Sequence[str]
) -> list[str]:
    """Returns notes of what was left in float."""
    notes = []
    if denylist:
        notes.append(f"in float in every int8 file: {', '.join(denylist)}")
    for one in selected:
        notes.append(
            f"{one['variant']}: {len(one['float_layers'])} layers in float, "
            f"the costliest of {len(one['costs'])}, "
            f"{'within' if one['reached'] else 'still not within'} --max_drop "
            f"on validation: {', '.join(one['float_layers'])}"
        )
    return notes


def calibration(
    config: Any, model: Any, feed: user_data.Feed, splits: Splits
) -> dict[str, np.ndarray]:
    """Returns inputs by name for the ranges of int8."""
    split = splits.train
    if config.dataset and config.calibration:
        given = npz.load(config.calibration, model, config.seed, labelled=False)
        user_data.fit(model, given, feed.objective, config.replace(dataset=""))
        split = given.train
    few = for_calibration(split, CALIBRATION_EXAMPLES, config.seed)
    rows = [inputs for inputs, _ in feed.batches(few)]
    found = {
        name: np.concatenate([one[name] for one in rows]) for name in rows[0]
    }
    for name, array in found.items():
        # TFLite's calibrator would end the process without a word.
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise InputError(
                f"the data must be finite in float32 after --scale and "
                f"--offset; those of the model's input {name!r} are not."
            )
    return found


def draw(
    result: dict[str, Any],
    selected: Sequence[Mapping[str, Any]],
    splits: Splits,
    objective: Any,
    outputs: np.ndarray,
    targets: np.ndarray,
) -> list[plots.Plot]:
    """Returns the report's plots, and adds what the selective mode did."""
    result["selective"] = list(selected)
    result["notes"] += _float_notes(selected, result["config"]["denylist"])
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
