"""Selective quantization: the layers that cost most stay in float."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from common import litert, measurement, mixed, progress, runtime

# Validation examples on which layers are compared, before any is chosen.
SAMPLE = 128
# How many layers are tried in float: one more at first, then in strides.
STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def search(
    calibrated: mixed.Calibrated,
    layers: Sequence[str],
    how: measurement.Measurement,
    goal: float,
    name: str,
) -> tuple[bytes, dict[str, Any]]:
    """Looks for the fewest float layers with which a file meets a goal.

    A layer's cost is the mean error of the outputs when it alone is quantized.
    In the order of cost, ever more layers stay in float until the validation
    metric, measured on the whole split, is good enough.

    Args:
        calibrated: The calibrated twin.
        layers: The layers to choose among, in the model's order.
        how: Gives the validation split and the metric.
        goal: The metric to reach.
        name: The variant's, for the console.

    Returns:
        The last file tried, and what was done, ready for JSON.
    """
    groups = _groups(calibrated, layers)
    every = [layer for group in groups.values() for layer in group]
    costs = _costs(calibrated, groups, _sample(how))
    ranked = sorted(costs, key=lambda one: -costs[one])
    sign, tried = 1 if how.higher_is_better else -1, []
    content, kept, reached = b"", [], False
    for size in _steps(len(ranked)):
        kept = [layer for one in ranked[:size] for layer in groups[one]]
        content = calibrated.quantize(kept)
        outputs, targets = measurement.run(litert.Runner(content), how.valid())[
            0
        ]
        value = how.metric(outputs, targets)
        tried.append({"float_layers": size, "valid_metric": value})
        reached = sign * (goal - value) <= 1e-9
        if reached:
            break
    told = "within" if reached else "not within"
    runtime.console().print(
        f"{name}: {len(kept)} of {len(every)} layers in float, {told} "
        f"--max_drop on validation: {', '.join(kept)}"
    )
    return content, {
        "variant": name,
        "float_layers": kept,
        "reached": reached,
        "costs": {one: costs[one] for one in ranked},
        "tried": tried,
    }


def _groups(
    calibrated: mixed.Calibrated, layers: Sequence[str]
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
    calibrated: mixed.Calibrated,
    groups: dict[str, list[str]],
    inputs: dict[str, np.ndarray],
) -> dict[str, float]:
    """Returns the error of the outputs that each group makes alone."""

    def outputs(denylist: Sequence[str]) -> np.ndarray:
        runner = litert.Runner(calibrated.quantize(denylist))
        return next(iter(runner(**inputs).values()))

    every = [layer for group in groups.values() for layer in group]
    expected = outputs(every)
    return {
        first: float(
            np.mean(
                np.abs(
                    outputs([one for one in every if one not in group])
                    - expected
                )
            )
        )
        for first, group in progress.track(
            groups.items(), "comparing layers", len(groups)
        )
    }


def _steps(num_layers: int) -> Iterator[int]:
    """Yields how many layers to try in float; never all of them."""
    yield from (one for one in STEPS if one < num_layers)
