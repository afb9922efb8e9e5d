"""Selective quantization: the layers that cost most stay in float."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import console
from common.console import track
from common.mobile import litert, measurement, partly_float

# The number of validation examples on which the layers' costs are measured.
SAMPLE = 128
# The numbers of layers that are tried in float. They grow by one at first, then
# in strides.
STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def search(
    calibrated: partly_float.Calibrated,
    layers: Sequence[str],
    task: measurement.Measurement,
    goal: float,
    name: str,
    always: Sequence[str] = (),
) -> tuple[bytes, dict[str, Any]]:
    """Returns a file with few layers in float whose metric reaches a goal.

    A layer's cost is the mean error of the outputs when only this layer is
    quantized. In the order of cost, more and more layers stay in float until
    the validation metric, measured on the whole split, reaches the goal. If it
    never does, the last file has all layers in float.

    Args:
        calibrated: The calibrated twin.
        layers: The names of the layers to choose from, in the model's order.
        task: Gives the validation split and the metric.
        goal: The metric to reach.
        name: The name of the file's variant.
        always: The names of layers that stay in float whatever they cost.

    Returns:
        The last file that was tried, and an entry of `selective` in
        `report.json`.
    """
    candidates = [layer for layer in layers if layer not in always]
    groups = _groups(calibrated, candidates)
    costs = _costs(calibrated, groups, _sample(task), task.output)
    ranked = sorted(costs, key=lambda first: -costs[first])
    num_layers = sum(map(len, groups.values())) + len(always)
    sign, tried = 1 if task.higher_is_better else -1, []
    content, in_float, reached = b"", list(always), False
    for size in (*(step for step in STEPS if step < len(ranked)), len(ranked)):
        chosen = [layer for first in ranked[:size] for layer in groups[first]]
        in_float = [*always, *chosen]
        content = calibrated.quantize(in_float)
        value = _value(content, task)
        tried.append({"float_layers": len(in_float), "valid_metric": value})
        reached = value is not None and sign * (goal - value) <= 1e-9
        if reached:
            break
    console.get().print(
        f"{name}: {len(in_float)} of {num_layers} layers in float, "
        f"{'within' if reached else 'not within'} --max_drop on validation: "
        f"{', '.join(in_float)}"
    )
    return content, {
        "variant": name,
        "float_layers": in_float,
        "reached": reached,
        "costs": {first: _finite(costs[first]) for first in ranked},
        "tried": tried,
    }


def _groups(
    calibrated: partly_float.Calibrated, layers: Sequence[str]
) -> dict[str, list[str]]:
    """Returns groups of layers that share an operator, by their first layer."""
    groups: dict[str, list[str]] = {}
    for layer in layers:
        nodes = set(calibrated.nodes.get(layer, ()))
        first = next(
            (name for name in groups if nodes & set(calibrated.nodes[name])),
            None,
        )
        if first:
            groups[first].append(layer)
        elif nodes:
            groups[layer] = [layer]
    return groups


def _sample(task: measurement.Measurement) -> dict[str, np.ndarray]:
    """Returns the inputs of at most `SAMPLE` validation examples, by name."""
    inputs, _ = next(iter(task.valid()))
    return {name: array[:SAMPLE] for name, array in inputs.items()}


def _costs(
    calibrated: partly_float.Calibrated,
    groups: dict[str, list[str]],
    inputs: dict[str, np.ndarray],
    output: str,
) -> dict[str, float]:
    """Returns the costs of groups, by their first layer.

    A cost is the mean absolute error of the outputs when only the group is
    quantized; it is infinite if LiteRT cannot run that file.
    """
    layers = [layer for group in groups.values() for layer in group]
    expected = _outputs(calibrated.quantize(layers), inputs, output)
    costs = {}
    for first, group in track(groups.items(), "comparing layers", len(groups)):
        others = [layer for layer in layers if layer not in group]
        try:
            outputs = _outputs(calibrated.quantize(others), inputs, output)
            costs[first] = float(np.mean(np.abs(outputs - expected)))
        except litert.LoadError:
            costs[first] = math.inf
    return costs


def _outputs(
    content: bytes, inputs: dict[str, np.ndarray], output: str
) -> np.ndarray:
    """Returns an output of a file for a few examples; "" is the only one."""
    outputs = litert.Runner(content)(**inputs)
    return outputs[output] if output else next(iter(outputs.values()))


def _value(content: bytes, task: measurement.Measurement) -> float | None:
    """Returns the validation metric of a file, None if LiteRT cannot run it."""
    try:
        pair, _ = measurement.run(
            litert.Runner(content), task.valid(), task.output
        )
    except litert.LoadError:
        return None
    return task.metric(*pair)


def _finite(cost: float) -> float | None:
    """Returns a cost as JSON can hold it: None if it is infinite."""
    return cost if math.isfinite(cost) else None
