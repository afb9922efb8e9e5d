"""JSON as in its standard, which knows no NaN and no infinity."""

import json
import math
from typing import Any


def finite(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """Returns a copy with None for each number that is not finite.

    Args:
        value: A value that `json.dumps` accepts.
        path: The place of the value in the document, such as `metrics.test`.

    Returns:
        The copy, and a sentence for each number that was replaced.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None, [f"{path} is null: its value is {float(value)}."]
    if isinstance(value, dict):
        copies = {
            key: finite(item, f"{path}.{key}" if path else str(key))
            for key, item in value.items()
        }
        notes = [note for _, notes in copies.values() for note in notes]
        return {key: copy for key, (copy, _) in copies.items()}, notes
    if isinstance(value, (list, tuple)):
        pairs = [finite(item, f"{path}[{i}]") for i, item in enumerate(value)]
        notes = [note for _, notes in pairs for note in notes]
        return [copy for copy, _ in pairs], notes
    return value, []


def dumps(value: Any) -> str:
    """Returns strict JSON; a number that is not finite becomes null."""
    return json.dumps(finite(value)[0], indent=1, allow_nan=False)
