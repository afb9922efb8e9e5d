"""Predictions: rows on the console, and in a CSV or JSON file with `--output`.

Each row is written as soon as it is predicted: only the rows that are printed
are held in memory.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import rich.box
import rich.table

from common import console, whole_file
from common.options import InputError
from common.report import strict_json

Row = Mapping[str, Any]

SHOWN = 50
# The first characters by which a spreadsheet takes a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def check_output(output: str) -> None:
    """Refuses an `--output` that cannot be written, before any work is done.

    Raises:
        InputError: If its ending is neither .csv nor .json, or it is not a
            file in a folder that exists.
    """
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
    raw: bool = False,
    shorten: Callable[[Row], Row] = lambda row: row,
) -> None:
    """Prints the first rows as a table, and writes all to `output`, if given.

    Args:
        rows: At least one row; all have the keys of the first. Floats are
            printed with four digits. A value may be a mapping, which is an
            object in JSON; in CSV each of its keys has a column, such as
            `probabilities.positive`.
        output: A file that `check_output` accepted; "" for no file.
        raw: See `write`.
        shorten: Maps a row to the row that is printed, with shorter texts.
    """
    rows = write(Path(output), rows, raw) if output else iter(rows)
    shown = [shorten(row) for row in itertools.islice(rows, SHOWN)]
    more = sum(1 for _ in rows)
    print_table(shown)
    if more:
        hint = "" if output else "; --output writes all"
        console.get().print(
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
    console.get().print(table)


def write(path: Path, rows: Iterable[Row], raw: bool = False) -> Iterator[Row]:
    """Writes rows as CSV or JSON, and yields them.

    The file appears, complete, when the last row has been taken from the
    iterator.

    Args:
        path: The file; its ending is .csv or .json.
        rows: See `show`.
        raw: Whether text in a CSV is left as it is, even if a spreadsheet would
            run it as a formula.
    """
    with whole_file.writing(path) as file:
        if path.suffix == ".json":
            yield from _as_json(file, rows)
        else:
            yield from _as_csv(file, rows, raw)


def _as_csv(file: TextIO, rows: Iterable[Row], raw: bool) -> Iterator[Row]:
    """Writes rows under a header, and yields them."""
    writer = None
    for row in rows:
        columns = _flat(row)
        if writer is None:
            # RFC 4180 ends lines with CR LF; only then does `csv` quote a cell
            # with a carriage return, which would otherwise end the line.
            writer = csv.DictWriter(file, columns, lineterminator="\r\n")
            writer.writeheader()
        writer.writerow(columns if raw else _defused(columns))
        yield row


def _flat(row: Row) -> Row:
    """Returns a row where each key of a mapping has a column of its own."""
    columns = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            columns.update(
                {f"{name}.{key}": part for key, part in value.items()}
            )
        else:
            columns[name] = value
    return columns


def _as_json(file: TextIO, rows: Iterable[Row]) -> Iterator[Row]:
    """Writes rows as a list of strict JSON, and yields them."""
    before = "["
    for row in rows:
        text = strict_json.dumps(row).replace("\n", "\n ")
        file.write(f"{before}\n {text}")
        before = ","
        yield row
    file.write("[]\n" if before == "[" else "\n]\n")


def _defused(row: Row) -> dict[str, Any]:
    """Returns a row whose text no spreadsheet runs as a formula.

    An apostrophe at the start makes a cell text. Numbers are not changed, nor
    are texts that are numbers, such as an id of -5.
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
