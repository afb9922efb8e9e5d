"""The first sheet of an Excel workbook (`.xlsx`) as a table."""

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa

# What the workbook's members may take once they are unpacked.
MAX_BYTES = 2**30


def read(path: Path, text: Sequence[str] = ()) -> pa.Table:
    """Reads a sheet whose first row has the names of the columns.

    Args:
        path: The workbook. Of formulas the values that Excel last computed are
            read.
        text: The columns whose cells are read as text.

    Raises:
        ValueError: If the file is no workbook, too large, or has no rows.
    """
    try:
        with zipfile.ZipFile(path) as file:
            num_bytes = sum(member.file_size for member in file.infolist())
    except zipfile.BadZipFile:
        raise ValueError("it is no Excel workbook (.xlsx)") from None
    if num_bytes > MAX_BYTES:
        raise ValueError(f"its sheets take {num_bytes / 1e6:,.0f} MB")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    # openpyxl meets damaged workbooks in many ways.
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    rows = [row for row in rows if any(cell is not None for cell in row)]
    if not rows:
        raise ValueError("it is empty")
    names = [str(name).strip() for name in rows[0] if name is not None]
    columns = [
        _column([row[index] for row in rows[1:]], name in text)
        for index, name in enumerate(names)
    ]
    return pa.Table.from_arrays(columns, names)


def _column(cells: list[Any], is_text: bool) -> pa.Array:
    """Returns the cells as numbers or dates if all are, else as text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if not is_text and kinds <= {int, float}:
        return pa.array(cells, pa.int64() if kinds == {int} else pa.float64())
    if not is_text and kinds in ({bool}, {datetime.datetime}):
        return pa.array(cells)
    empty = "" if is_text else None
    return pa.array([empty if c is None else _text(c) for c in cells])


def _text(cell: Any) -> str:
    """Returns a cell as a delimited text would have it."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)  # Dates as ISO 8601 has them, with a space.
