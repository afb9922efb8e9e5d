"""The columns of a table by which figures are shown: their names and values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.options import InputError, quote
from common.table_options import ANY_FORMAT, TableFormat

from . import tables


def check(
    wanted: Sequence[str],
    path: str | Path,
    option: str = "--dataset",
    table_format: TableFormat = ANY_FORMAT,
) -> None:
    """Refuses columns that a table lacks.

    Args:
        wanted: The value of `--slice_by`.
        path: The table; see `tables.names`.
        option: The option that named the table, for errors.
        table_format: What is known of the table's form.

    Raises:
        InputError: If the table lacks a column.
    """
    if not wanted:
        return
    known = tables.names(path, option, table_format)
    for name in wanted:
        if name not in known:
            raise InputError(
                f"--slice_by must be columns of {option}; there is no "
                f"{quote(name)} among {quote(', '.join(known), 500)}."
            )


def check_table(wanted: Sequence[str], dataset: str) -> None:
    """Refuses columns of a data set that is no table.

    Raises:
        InputError: If columns are wanted, of something else than a table.
    """
    if wanted and not tables.is_table(dataset):
        raise InputError(
            f"--slice_by needs a --dataset that is a table of your own; "
            f"received --dataset={dataset}."
        )


def values(table: pa.Table, wanted: Sequence[str]) -> np.ndarray:
    """Returns the cells as text, `(rows, columns)` objects; "" if missing."""
    cells = np.empty((table.num_rows, len(wanted)), object)
    for place, name in enumerate(wanted):
        cells[:, place] = [
            "" if cell is None else str(cell).strip()
            for cell in table[name].to_pylist()
        ]
    return cells
