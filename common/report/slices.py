"""Slices: figures of groups of examples, by the columns of a user's table."""

import collections
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .page import Report, Table
from .summary import figure

LEAST_EXAMPLES = 10  # Of a group on test; smaller groups are put together.
MOST_GROUPS = 20  # Of a column. Numbers that are more are cut into quarters.
MISSING = "(missing)"
QUARTERS = (0.25, 0.5, 0.75)

# The figures of the examples of a split where a mask `(num,) bool` is true.
# `intervals` has the 95 % interval of some of them.
Measure = Callable[[str, np.ndarray], Mapping[str, Any]]


def build(
    columns: Sequence[str], values: Mapping[str, np.ndarray], measure: Measure
) -> dict[str, Any]:
    """Returns the figures of all examples and of each group, by column.

    Args:
        columns: The names of the columns.
        values: The cells of each split as text, `(num, columns)` objects. The
            groups are those that are frequent enough in `test`.
        measure: See `Measure`.

    Returns:
        `all`: figures by split. `by`: for each column a row for each group,
        with its name in `group` and its figures by split. It is {} without
        columns.
    """
    if not columns:
        return {}
    masks = {name: np.ones(len(cells), bool) for name, cells in values.items()}
    by = {}
    for place, column in enumerate(columns):
        names = _named({key: cells[:, place] for key, cells in values.items()})
        by[column] = [
            {
                "group": group,
                **_figures(
                    {key: of == group for key, of in names.items()}, measure
                ),
            }
            for group in _ordered(np.concatenate(list(names.values())))
        ]
    return {"all": _figures(masks, measure), "by": by}


def _figures(
    masks: Mapping[str, np.ndarray], measure: Measure
) -> dict[str, dict[str, Any]]:
    """Returns the number and the figures of a group's examples, by split."""
    return {
        split: {
            "examples": int(mask.sum()),
            **(measure(split, mask) if mask.any() else {}),
        }
        for split, mask in masks.items()
    }


def _named(cells: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the name of each example's group, by split.

    Args:
        cells: The cells of one column by split, `(num,)` objects.
    """
    filled = {
        key: np.where(column == "", MISSING, column)
        for key, column in cells.items()
    }
    filled = _in_quarters(filled)
    counts = collections.Counter(filled["test"].tolist())
    kept = {
        name
        for name, num in counts.most_common(MOST_GROUPS)
        if num >= LEAST_EXAMPLES
    }
    rest = {name for column in filled.values() for name in column} - kept
    other = f"other ({len(rest):,} value{'s' * (len(rest) > 1)})"
    return {
        key: np.array([x if x in kept else other for x in column], object)
        for key, column in filled.items()
    }


def _in_quarters(cells: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a column of many different numbers cut at test's quartiles."""
    distinct = {x for column in cells.values() for x in column} - {MISSING}
    numbers = {text: _number(text) for text in distinct}
    test = [numbers[x] for x in cells["test"] if x in numbers]
    if len(distinct) <= MOST_GROUPS or None in numbers.values() or not test:
        return cells
    edges = np.unique(np.quantile(np.array(test, float), QUARTERS))
    ends = [f"{edge:g}" for edge in edges]
    names = [
        f"up to {ends[0]}",
        *(f"above {a}, up to {b}" for a, b in itertools.pairwise(ends)),
        f"above {ends[-1]}",
    ]
    of = {text: names[np.searchsorted(edges, float(text))] for text in distinct}
    return {
        key: np.array([of.get(x, x) for x in column], object)
        for key, column in cells.items()
    }


def _number(text: str) -> float | None:
    """Returns the finite number that a text is, if it is one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _ordered(names: Iterable[str]) -> list[str]:
    """Returns the groups in the order of numbers and letters, others last."""

    def key(name: str) -> tuple[bool, float, str]:
        words = name.replace(",", "").split()
        numbers = [x for x in map(_number, words) if x is not None]
        first = -np.inf if name.startswith("up to ") else np.inf
        is_other = name == MISSING or name.startswith("other (")
        return is_other, numbers[0] if numbers and first > 0 else first, name

    return sorted(dict.fromkeys(names), key=key)


def worst(report: Report) -> str:
    """Returns a sentence on the slice whose task metric is worst on test.

    It is "" if no slice has one.

    Args:
        report: A report with `slices`.
    """
    metric, whole = report["task_metric"], report["slices"]["all"]["test"]
    rows = [
        (f"{column}: {row['group']}", row["test"])
        for column, groups in report["slices"]["by"].items()
        for row in groups
        if row["test"].get(metric) is not None
    ]
    if not rows or whole.get(metric) is None:
        return ""
    sign = 1 if report["higher_is_better"] else -1
    name, values = min(rows, key=lambda row: sign * row[1][metric])
    low, high = values.get("intervals", {}).get(metric, (None, None))
    shown = f" (95 % interval {figure(low)} to {figure(high)})"
    within = low is not None and low <= whole[metric] <= high
    return (
        f"The worst of {len(rows)} slices is {name}, whose {metric} on "
        f"{values['examples']:,} test examples is {figure(values[metric])}"
        f"{shown if low is not None else ''}, against {figure(whole[metric])} "
        f"on all {whole['examples']:,}."
        f"{' Its interval holds that figure: it may be chance.' * within}"
    )


def tables(report: Report) -> list[Table]:
    """Returns a table for each column; () if the report has no slices."""
    slices, metric = report.get("slices"), report["task_metric"]
    if not slices:
        return []
    every = {"group": "all", **slices["all"]}
    names = [
        name
        for name in dict.fromkeys([metric, *every["test"]])
        if name not in ("examples", "intervals")
    ]
    header = ["examples", names[0], "95 % interval", *names[1:]]
    header += ["validation examples", f"validation {metric}"]
    return [
        Table(
            f"Slices by {column}",
            f"Figures on test, and {metric} on validation, of groups of "
            f"examples by their {column}. Groups of fewer than "
            f"{LEAST_EXAMPLES} test examples, and those beyond the "
            f"{MOST_GROUPS} most frequent, are put together.",
            [column, *header],
            [_cells(row, names) for row in (every, *groups)],
        )
        for column, groups in slices["by"].items()
    ]


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Returns the cells of a group, in the order of the header of `tables`."""
    test, valid = row["test"], row.get("valid", {})
    interval = test.get("intervals", {}).get(names[0], ())
    return [
        row["group"],
        test["examples"],
        test.get(names[0]),
        " to ".join(map(figure, interval)),
        *(test.get(name) for name in names[1:]),
        valid.get("examples"),
        valid.get(names[0]),
    ]
