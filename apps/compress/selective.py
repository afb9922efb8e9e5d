"""Selective quantization: the layers that cost most stay in float."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import console
from common.console import track
from common.mobile import litert, measurement, partly_float

# Validation examples on which layers are compared, before any is chosen.
SAMPLE = 128
# How many layers are tried in float: one more at first, then in strides.
STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def search(
    calibrated: partly_float.Calibrated,
    layers: Sequence[str],
    how: measurement.Measurement,
    goal: float,
    name: str,
    always: Sequence[str] = (),
) -> tuple[bytes, dict[str, Any]]:
    """Looks for the fewest float layers with which a file meets a goal.

    A layer's cost is the mean error of the outputs when it alone is quantized.
    In the order of cost, ever more layers stay in float until the validation
    metric, measured on the whole split, is good enough. If nothing is, the
    last file is float in all layers.

    Args:
        calibrated: The calibrated twin.
        layers: The layers to choose among, in the model's order.
        how: Gives the validation split and the metric.
        goal: The metric to reach.
        name: The variant's, for the console.
        always: Layers that are in float whatever they cost.

    Returns:
        The last file tried, and what was done, ready for JSON.
    """
    groups = _groups(calibrated, [one for one in layers if one not in always])
    costs = _costs(calibrated, groups, _sample(how))
    ranked = sorted(costs, key=lambda one: -costs[one])
    every = [layer for group in groups.values() for layer in group]
    sign, tried = 1 if how.higher_is_better else -1, []
    content, kept, reached = b"", list(always), False
    for size in (*(one for one in STEPS if one < len(ranked)), len(ranked)):
        chosen = [layer for one in ranked[:size] for layer in groups[one]]
        kept = [*always, *chosen]
        content = calibrated.quantize(kept)
        value = _value(content, how)
        tried.append({"float_layers": len(kept), "valid_metric": value})
        reached = value is not None and sign * (goal - value) <= 1e-9
        if reached:
            break
    told = "within" if reached else "not within"
    console.get().print(
        f"{name}: {len(kept)} of {len(every) + len(always)} layers in float, "
        f"{told} --max_drop on validation: {', '.join(kept)}"
    )
    return content, {
        "variant": name,
        "float_layers": kept,
        "reached": reached,
        "costs": {one: _finite(costs[one]) for one in ranked},
        "tried": tried,
    }


def _groups(
    calibrated: partly_float.Calibrated, layers: Sequence[str]
) -> dict[str, list[str]]:
    """Returns the layers that share an operator, by the first of them."""
    groups: dict[str, list[str]] = {}
    for layer in layers:
        nodes = set(calibrated.nodes.get(layer, ()))
        first = next(
            (one for one in groups if nodes & set(calibrated.nodes[one])), None
        )
        if first:
            groups[first].append(layer)
        elif nodes:
            groups[layer] = [layer]
    return groups


def _sample(how: measurement.Measurement) -> dict[str, np.ndarray]:
    """Returns the inputs of a few validation examples."""
    inputs, _ = next(iter(how.valid()))
    return {name: array[:SAMPLE] for name, array in inputs.items()}


def _costs(
    calibrated: partly_float.Calibrated,
    groups: dict[str, list[str]],
    inputs: dict[str, np.ndarray],
) -> dict[str, float]:
    """Returns the error of the outputs that each group makes alone.

    It is infinite where LiteRT cannot run the file.
    """
    every = [layer for group in groups.values() for layer in group]
    expected = _outputs(calibrated.quantize(every), inputs)
    costs = {}
    for first, group in track(groups.items(), "comparing layers", len(groups)):
        others = [one for one in every if one not in group]
        try:
            found = _outputs(calibrated.quantize(others), inputs)
            costs[first] = float(np.mean(np.abs(found - expected)))
        except litert.LoadError:
            costs[first] = math.inf
    return costs


def _outputs(content: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Runs a file on a few examples."""
    return next(iter(litert.Runner(content)(**inputs).values()))


def _value(content: bytes, how: measurement.Measurement) -> float | None:
    """Returns the validation metric of a file, None if it cannot be run."""
    try:
        found, _ = measurement.run(litert.Runner(content), how.valid())
    except litert.LoadError:
        return None
    return how.metric(*found)


def _finite(cost: float) -> float | None:
    """Returns a number that JSON can hold."""
    return cost if math.isfinite(cost) else None
