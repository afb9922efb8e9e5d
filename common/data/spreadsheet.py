"""The first sheet of an Excel workbook (`.xlsx`) as a table."""

import itertools
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa

# What the workbook's members may take once they are unpacked.
MAX_BYTES = 2**28
# Excel's own limits, which a sheet's numbers of rows and columns can exceed.
MAX_ROWS, MAX_COLUMNS = 2**20, 2**14
MAX_CELLS = 2**25

# openpyxl warns of styles and rules that it does not know; cells matter here.
warnings.filterwarnings("ignore", module="openpyxl")


def names(path: Path, columns: Sequence[str] = ()) -> list[str]:
    """Returns the names of a sheet's columns; see `read`."""
    named, _ = _split(_rows(path, most=1), columns)
    return [name for _, name in named]


def read(
    path: Path, text: Sequence[str] = (), columns: Sequence[str] = ()
) -> pa.Table:
    """Reads a sheet whose first row has the names of the columns.

    Args:
        path: The workbook. Of formulas the values that Excel last computed are
            read. A column without a name, such as an index, is left out.
        text: The columns whose cells are read as text.
        columns: The names of the columns, if the first row has none; () if it
            has them.

    Raises:
        ValueError: If the file is no workbook, too large, or has no rows.
    """
    named, rows = _split(_rows(path), columns)
    columns = [
        _column(
            [row[index] if index < len(row) else None for row in rows],
            name in text,
        )
        for index, name in named
    ]
    return pa.Table.from_arrays(columns, [name for _, name in named])


def _split(
    rows: list[tuple[Any, ...]], columns: Sequence[str]
) -> tuple[list[tuple[int, str]], list[tuple[Any, ...]]]:
    """Returns the columns' places and names, and the rows of cells."""
    if not rows:
        raise ValueError("it is empty")
    if not columns:
        header = [
            (index, str(name).strip())
            for index, name in enumerate(rows[0])
            if name is not None
        ]
        return header, rows[1:]
    if len(rows[0]) != len(columns):
        raise ValueError(
            f"it has {len(rows[0])} columns, and --columns {len(columns)} names"
        )
    if set(rows[0]) & set(columns):
        raise ValueError(
            "its first row has the names of its columns. Leave --columns out"
        )
    return list(enumerate(columns)), rows


def _rows(path: Path, most: int = MAX_ROWS) -> list[tuple[Any, ...]]:
    """Returns the first rows that have a cell that is not empty."""
    try:
        with zipfile.ZipFile(path) as file:
            num_bytes = sum(member.file_size for member in file.infolist())
        if num_bytes > MAX_BYTES:
            raise ValueError(f"its sheets take {num_bytes / 1e6:,.0f} MB")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        # What a file says of its own size is often wrong.
        sheet.reset_dimensions()
        rows: list[tuple[Any, ...]] = []
        num_cells = 0
        for row in itertools.islice(
            sheet.iter_rows(values_only=True), MAX_ROWS
        ):
            num_cells += len(row)
            if len(row) > MAX_COLUMNS or num_cells > MAX_CELLS:
                raise ValueError("it has too many cells")
            if any(cell is not None for cell in row):
                rows.append(row)
                if len(rows) == most:
                    break
        book.close()
    except zipfile.BadZipFile:
        raise ValueError("it is no Excel workbook (.xlsx)") from None
    except ValueError:
        raise
    # A damaged workbook makes openpyxl, expat and zlib raise what they like.
    except Exception as error:
        raise ValueError(f"it is damaged: {error}") from None
    return rows


def _column(cells: list[Any], is_text: bool) -> pa.Array:
    """Returns the cells as numbers or dates if all are, else as text."""
    kinds = {type(cell).__name__ for cell in cells if cell is not None}
    if not is_text and kinds == {"int"}:
        if all(abs(cell) < 2**63 for cell in cells if cell is not None):
            return pa.array(cells, pa.int64())
        return pa.array(
            [np.nan if cell is None else float(cell) for cell in cells]
        )
    if not is_text and kinds <= {"int", "float"}:
        return pa.array(cells, pa.float64())
    if not is_text and kinds in ({"bool"}, {"datetime"}):
        return pa.array(cells)
    empty = "" if is_text else None
    return pa.array([empty if c is None else _text(c) for c in cells])


def _text(cell: Any) -> str:
    """Returns a cell as a delimited text would have it."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)  # Dates as ISO 8601 has them, with a space.
