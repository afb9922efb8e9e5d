"""Flagfiles as options, for tests that run a published setting."""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

FOLDER = Path(__file__).resolve().parents[1] / "apps" / "flagfiles"


def read(config_class: type, name: str, **changes: Any) -> Any:
    """Returns the options of a flagfile, with `changes`, as absl reads it."""
    values = flags.FlagValues()
    words = values.read_flags_from_files([f"--flagfile={FOLDER / name}"])
    types = {f.name: type(f.default) for f in dataclasses.fields(config_class)}
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.removeprefix("--").partition("=")
        if types[key] is tuple:
            found[key] = tuple(value.split(","))
        elif types[key] is bool:
            found[key] = value.lower() not in ("false", "0")
        else:
            found[key] = types[key](value)
    return config_class(**{**found, **changes})
