"""Predictions: rows on the console, and in a CSV or JSON file if asked for.

Rows are printed and written as they come: only those that are shown are held.
"""

import contextlib
import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import rich.box
import rich.table

from common import runtime
from common.config import InputError

Row = Mapping[str, Any]

SHOWN = 50


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


def show(
    rows: Iterable[Row],
    output: str = "",
    shorten: Callable[[Row], Row] = lambda row: row,
) -> None:
    """Prints the first rows as a table, and writes all to `output`, if given.

    Args:
        rows: At least one; all have the keys of the first. Floats are printed
            with four digits.
        output: A file that `check_output` has let pass.
        shorten: Makes a row fit for the console.
    """
    rows = write(Path(output), rows) if output else iter(rows)
    shown = [shorten(row) for row in itertools.islice(rows, SHOWN)]
    more = sum(1 for _ in rows)
    print_table(shown)
    if more:
        hint = "" if output else "; --output writes all"
        runtime.console().print(
            f"the first {len(shown)} of {len(shown) + more} rows{hint}."
        )


def print_table(rows: Sequence[Row]) -> None:
    """Prints rows as a table; see `show`."""
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


def write(path: Path, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes rows as CSV or JSON and yields them; whole or not at all.

    The file is there when the last row has been taken.
    """
    add_all = _as_json if path.suffix == ".json" else _as_csv
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield from add_all(file, rows)
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _as_csv(file: TextIO, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes rows under a header, and yields them."""
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        yield row


def _as_json(file: TextIO, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes rows as `json.dumps(rows, indent=1)` would, and yields them."""
    before = "["
    for row in rows:
        text = json.dumps(row, indent=1).replace("\n", "\n ")
        file.write(f"{before}\n {text}")
        before = ","
        yield row
    file.write("[]\n" if before == "[" else "\n]\n")
