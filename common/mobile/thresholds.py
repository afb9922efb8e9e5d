"""The thresholds of a release's TFLite files, `mobile/thresholds.json`.

Compression changes scores. Each file therefore has a threshold of its own,
fitted to that file's scores of the validation split.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import files

FILE = "thresholds.json"
SHIPPED = "model.tflite"


def write(
    directory: Path, rows: Sequence[Mapping[str, Any]], output: str
) -> None:
    """Writes the threshold of each file, and of the chosen file's copy.

    Args:
        directory: The release's `mobile`.
        rows: The `variants` of the report, each with `at_threshold`.
        output: The name of the files' output that the threshold is for.
    """
    values = {
        Path(row["file"]).name: row["at_threshold"]["threshold"] for row in rows
    }
    chosen = next(row for row in rows if row["chosen"])
    values[SHIPPED] = chosen["at_threshold"]["threshold"]
    facts = {"output": output, "flagged": ">=", "files": values}
    files.write_json(directory / FILE, facts)


def read(file: Path, default: float) -> float:
    """Returns a file's threshold, or `default` if the release has none.

    Args:
        file: The TFLite file.
        default: The threshold for releases without `thresholds.json`.

    Raises:
        InputError: If `thresholds.json` is damaged.
    """
    path = file.with_name(FILE)
    if not path.is_file():
        return default
    with files.reading(path):
        return float(json.loads(path.read_text("utf-8"))["files"][file.name])
