"""The options, variants, notes and plots that follow from model and data."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common import console
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import pipelines
from common.data.splits import Splits, for_calibration
from common.mobile import conversion
from common.options import InputError
from common.report import metrics, plots
from common.variants import Plan, Variant

from . import npz, raw_examples, user_data, user_model
from .config import Config
from .objective import Agreement, Objective
from .outputs import Objectives

CALIBRATION_EXAMPLES = 500
# Enough to recover from 90 % sparsity, even if an epoch has few steps.
FINETUNE_STEPS = 1000
MOST_CLASSES = 30  # The most that a confusion matrix is plotted for.


def plan(
    model: keras.Model,
    twin: Any,
    variants: Sequence[Variant],
    calibration: dict[str, np.ndarray],
    outputs: Sequence[str],
    config: Config,
) -> Plan:
    """Separates the variants that can be made from those that are refused.

    Args:
        model: The user's model.
        twin: The same model in Keras 2.
        variants: The variants that the options name, and float32.
        calibration: Inputs by name, for the ranges of int8.
        outputs: The names of the outputs.
        config: Gives `dataset`, `denylist` and the options of compression.

    Raises:
        InputError: If a layer of `denylist` cannot stay in float.
    """
    possible, refused = [], []
    for variant in variants:
        reason = _refusal(variant, config)
        if reason:
            refused.append({"name": variant.name, "reason": reason})
        else:
            possible.append(variant)
    possible, unsupported = chain.plan(model, possible, config)
    possible, loops = conversion.plan(twin, possible, calibration, outputs)
    if config.denylist:
        _check_operators(twin, possible, calibration, outputs, config.denylist)
    return Plan(possible, refused + unsupported + loops)


def _refusal(variant: Variant, config: Config) -> str:
    """Returns why the options forbid a variant, "" if they allow it."""
    techniques = variant.techniques
    if techniques and not config.dataset:
        return (
            "it is fine-tuned after each step, which needs labels: pass "
            f"--dataset. Nearest: {variant.format}."
        )
    if variant.format in ("dynamic", "int8x16", "int4") and config.denylist:
        return (
            "its converter rounds the weights of all layers and has no "
            "--denylist. Nearest: int8."
        )
    if "qat" in techniques and config.denylist:
        return (
            "TFLite's converter quantizes a layer between quantized ones "
            "even if it was trained in float, so a --denylist would not "
            f"hold. Nearest: {'+'.join((*techniques[:-1], 'int8'))}."
        )
    return ""


def _check_operators(
    twin: Any,
    variants: Sequence[Variant],
    calibration: dict[str, np.ndarray],
    outputs: Sequence[str],
    denylist: tuple[str, ...],
) -> None:
    """Raises `InputError` if a layer cannot stay in float."""
    int8 = [variant for variant in variants if variant.format == "int8"]
    if not int8:
        return
    for name in sorted(conversion.lstm_layers(twin) & set(denylist)):
        raise InputError(
            f"--denylist: {name} has an LSTM. In int8 files its activations "
            "are float and its weights int8, whatever is named. Leave it out, "
            "or make float16."
        )
    examples = {name: array[:2] for name, array in calibration.items()}
    nodes = conversion.calibrate(twin, int8[0], examples, outputs).nodes
    for name in denylist:
        if name not in nodes:
            raise InputError(
                f"--denylist: {name} has no operator of its own in the file: "
                "it is part of another layer's operator or does nothing. "
                f"Layers with an operator: {', '.join(nodes)}."
            )


def print_summary(
    model: keras.Model,
    scores: Mapping[str, Mapping[str, float]],
    splits: Splits,
) -> None:
    """Prints the model's size and its metrics before compression.

    Args:
        model: The user's model.
        scores: The metrics by split and by name.
        splits: The data.
    """
    terminal = console.get()
    terminal.print(
        f"{model.name}: {model.count_params():,} weights, "
        f"{len(model.layers)} layers, on {splits.name}"
    )
    for note in splits.notes:
        terminal.print(f"note: {note}")
    for split, values in scores.items():
        text = "  ".join(f"{name} {v:.4f}" for name, v in values.items())
        terminal.print(f"{split:>6}  {text}")


def resolve(
    config: Config,
    model: keras.Model,
    splits: Splits,
    objective: Objective | Agreement | Objectives,
) -> Config:
    """Returns the options with those set that depend on model and data.

    Args:
        config: The options of the command line.
        model: The user's model.
        splits: The data.
        objective: Says whether targets may be mixed with outputs.

    Raises:
        InputError: If an option names a layer that the model does not have.
    """
    known = [*user_model.layer_names(model)]
    _check_names("--denylist", config.denylist, known)
    _check_names("--prune_layers", config.prune_layers, known)
    num_steps = pipelines.num_steps(splits.train, config.batch_size)
    epochs = min(max(-(-FINETUNE_STEPS // num_steps), 3), 30)
    return config.replace(
        denylist=user_model.twin_names(model, config.denylist),
        prune_layers=user_model.twin_names(model, config.prune_layers),
        distill=config.distill if objective.distills else 0.0,
        finetune_epochs=config.finetune_epochs or epochs,
    )


def _check_names(
    option: str, names: Sequence[str], layers: Iterable[str]
) -> None:
    """Raises `InputError` if an option names a layer that does not exist."""
    known = list(layers)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known[:1]
            raise InputError(
                f"{option} must name layers of the model; received {name!r}."
                f" Did you mean {near[0]}?"
            )


def finetuning(
    splits: Splits, feed: user_data.Feed, config: Config
) -> Finetuning:
    """Returns the settings of fine-tuning, with the user's loss and data."""
    objective = feed.objective
    return Finetuning(
        splits.train,
        feed.training,
        config,
        loss=getattr(objective, "loss", None),
        soften=getattr(objective, "soften", lambda outputs: outputs),
        loss_weights=getattr(objective, "loss_weights", None),
    )


def trivial(
    objective: Objective | Agreement | Objectives,
    shape: Sequence[Any],
    valid: Any,
    test: Any,
) -> list[dict[str, Any]]:
    """Returns the baseline that always predicts the most frequent class.

    Args:
        objective: The loss and the metrics that the model is judged with.
        shape: The shape of the model's output, batch axis included.
        valid: Targets, which decide the class.
        test: Targets, which the baseline is judged on.

    Returns:
        The row of `baselines` in the report; none if the task metric is no
        accuracy of a single label.
    """
    if "accuracy" not in objective.name or len(shape) != 2:
        return []
    if not objective.num_classes:
        return []
    classes = [
        np.argmax(targets, axis=1)
        if targets.shape[1:] == shape[1:]
        else targets.ravel()
        for targets in (valid, test)
    ]
    row = metrics.most_frequent(*classes)
    accuracy = row["metrics"]["accuracy"]
    return [{**row, "metrics": {objective.name: accuracy}}]


def _float_notes(
    selected: Sequence[Mapping[str, Any]], denylist: Sequence[str]
) -> list[str]:
    """Returns notes on the layers that stayed in float."""
    notes = []
    if denylist:
        notes.append(f"in float in every int8 file: {', '.join(denylist)}")
    for choice in selected:
        layers = choice["float_layers"]
        notes.append(
            f"{choice['variant']}: {len(layers)} layers in float, "
            f"the costliest of {len(choice['costs'])}, "
            f"{'within' if choice['reached'] else 'still not within'} "
            f"--max_drop on validation: {', '.join(layers)}"
        )
    return notes


def calibration(
    config: Config,
    user: user_model.UserModel,
    feed: user_data.Feed,
    splits: Splits,
) -> dict[str, np.ndarray]:
    """Returns inputs by name, for the ranges of int8.

    Args:
        config: Gives `calibration`, a file of such inputs, and the seed.
        user: The user's model.
        feed: Brings the data into the form that the model takes.
        splits: The data; without `calibration` the inputs are of train.

    Raises:
        InputError: If the inputs do not fit the model or are not finite.
    """
    split = splits.train
    if config.dataset and config.calibration:
        unlabelled = npz.load(
            config.calibration, user.raw, config.seed, labelled=False,
            outputs=tuple(getattr(feed.objective, "parts", ())),
        )  # fmt: skip
        unlabelled = raw_examples.numbers(user.front, unlabelled)
        user_data.fit(
            user.model, unlabelled, feed.objective, config.replace(dataset="")
        )
        split = unlabelled.train
    sample = for_calibration(split, CALIBRATION_EXAMPLES, config.seed)
    batches = [batch for batch, _ in feed.batches(sample)]
    arrays = {
        name: np.concatenate([batch[name] for batch in batches])
        for name in batches[0]
    }
    for name, array in arrays.items():
        # TFLite's calibrator would end the process without a message.
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise InputError(
                f"the data must be finite in float32 after --scale and "
                f"--offset; those of the model's input {name!r} are not."
            )
    return arrays


def draw(
    result: dict[str, Any],
    selected: Sequence[Mapping[str, Any]],
    splits: Splits,
    objective: Objective | Agreement | Objectives,
    outputs: Any,
    targets: Any,
) -> list[plots.Plot]:
    """Returns the plots of the report.

    Args:
        result: The report, to which `selective` and notes are added.
        selected: See `mobile.Mobile`.
        splits: The data.
        objective: The loss and the metrics that the model is judged with.
        outputs: The model's outputs for the test split, `(num, ...) float32`,
            or such arrays by name.
        targets: Their targets, `(num, ...)`, likewise.
    """
    result["selective"] = list(selected)
    result["notes"] += _float_notes(selected, result["config"]["denylist"])
    name = result["task_metric"]
    shown = [
        plots.size_against_metric(
            result["variants"], name, result["config"]["max_drop"]
        )
    ]
    if objective.num_classes and outputs.ndim == 2:
        num_classes = outputs.shape[1]
        names = splits.class_names or tuple(map(str, range(num_classes)))
        if targets.ndim == 2:
            targets = np.argmax(targets, axis=1)
        if num_classes <= MOST_CLASSES:
            matrix = metrics.confusion_matrix(outputs, targets.astype(int))
            shown.append(plots.confusion(matrix, names))
    return shown
