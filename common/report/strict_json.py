"""JSON as its standard has it: no NaN, no infinity."""

import json
import math
from typing import Any


def finite(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """Returns a copy with None for what is no finite number, and why.

    Args:
        value: What `json.dumps` takes.
        path: Where it is in what is written.

    Returns:
        The copy, and a sentence for each number that was replaced.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None, [f"{path} is null: its value is {float(value)}."]
    if isinstance(value, dict):
        items = [
            (key, *finite(one, f"{path}.{key}" if path else str(key)))
            for key, one in value.items()
        ]
        notes = [note for _, _, some in items for note in some]
        return {key: one for key, one, _ in items}, notes
    if isinstance(value, (list, tuple)):
        pairs = [finite(one, f"{path}[{i}]") for i, one in enumerate(value)]
        return [one for one, _ in pairs], [n for _, some in pairs for n in some]
    return value, []


def dumps(value: Any) -> str:
    """Returns strict JSON, null for what is no finite number."""
    return json.dumps(finite(value)[0], indent=1, allow_nan=False)
