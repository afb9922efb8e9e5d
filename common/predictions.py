"""Predictions: rows on the console, and in a CSV or JSON file if asked for."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.box
import rich.table

from common import runtime
from common.config import InputError

Row = Mapping[str, Any]

# What makes a spreadsheet take a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def check_output(output: str) -> None:
    """Refuses an `--output` that cannot be written, before any work is done."""
    if not output:
        return
    path = Path(output)
    if path.suffix not in (".csv", ".json"):
        raise InputError(
            f"--output must end in .csv or .json; received {output!r}."
        )
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(
            "--output must be a file in a folder that exists; received "
            f"{output!r}."
        )


def show(rows: Sequence[Row], output: str = "", raw: bool = False) -> None:
    """Prints rows as a table, and writes them to `output` if there is one.

    Args:
        rows: At least one; all have the keys of the first. Floats are printed
            with four digits.
        output: A file that `check_output` has let pass.
        raw: See `write`.
    """
    if output:
        write(Path(output), rows, raw)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name, overflow="fold")  # Paths are never cut short.
    for row in rows:
        table.add_row(
            *(
                f"{value:.4f}" if isinstance(value, float) else str(value)
                for value in row.values()
            )
        )
    runtime.console().print(table)


def write(path: Path, rows: Sequence[Row], raw: bool = False) -> None:
    """Writes rows as CSV or JSON, whole or not at all.

    Args:
        path: The file; its ending decides.
        rows: See `show`.
        raw: Whether a CSV's text is written as it is, also where a spreadsheet
            would run it.
    """
    if path.suffix == ".json":
        text = json.dumps(list(rows), indent=1) + "\n"
    else:
        buffer = io.StringIO()
        # Lines end as RFC 4180 has it; only then does `csv` quote a cell with
        # a carriage return, which would end a line.
        writer = csv.DictWriter(buffer, rows[0], lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows if raw else map(_defused, rows))
        text = buffer.getvalue()
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _defused(row: Row) -> dict[str, Any]:
    """Returns a row whose text no spreadsheet runs.

    An apostrophe before it makes a cell text. Numbers stay what they are, also
    those written as text, such as an id of -5.
    """
    return {
        name: f"'{value}"
        if isinstance(value, str)
        and value.startswith(FORMULA)
        and not _is_number(value)
        else value
        for name, value in row.items()
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
