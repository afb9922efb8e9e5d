"""Tables of a user's own: CSV, TSV, JSON lines and Parquet, read with Arrow.

What is handed in is untrusted: a file that is not what its name says, a column
that is missing, text that is not UTF-8 end in one line, never in a traceback.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, json, parquet

from common.config import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def is_table(dataset: str) -> bool:
    """Tells whether `--dataset` names a table, by its ending."""
    return dataset.lower().endswith(SUFFIXES)


def names(path: str | Path, option: str = "--dataset") -> list[str]:
    """Returns the names of a table's columns.

    Args:
        path: See `read`.
        option: What named the file, for errors.

    Raises:
        InputError: If the file cannot be read.
    """
    return _open(Path(path), (), option).column_names


def read(
    path: str | Path,
    columns: Sequence[str],
    text: Sequence[str] = (),
    option: str = "--dataset",
) -> pa.Table:
    """Reads columns of a table file.

    Args:
        path: A file that ends in one of `SUFFIXES`; CSV and TSV have a header.
        columns: The columns to read; all must be there.
        text: Those of them whose cells are text even where all look like
            numbers, such as ids. Parquet and JSON lines keep their own types.
        option: What named the file, for errors.

    Returns:
        A table of at least one row, with `columns` in this order. Empty cells
        are null, but for those of `text`, which are "".

    Raises:
        InputError: If the file cannot be read, is empty, or lacks a column.
    """
    path = Path(path)
    table = _open(path, text, option)
    for name in columns:
        if table.column_names.count(name) != 1:
            raise InputError(
                f"{option} must have one column called {name}; {path} has "
                f"{', '.join(table.column_names)}."
            )
    if not table.num_rows:
        raise InputError(f"{option} must have rows; {path} has none.")
    table = table.select(list(columns))
    for name in columns:
        _check_text(path, name, table[name], option)
    return table


def _open(path: Path, text: Sequence[str], option: str) -> pa.Table:
    """Reads a whole file, or says in one line why not."""
    if not path.is_file():
        raise InputError(f"{option} must be a file; {path} is none.")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{option} must end in {', '.join(SUFFIXES)}; received {path}."
        )
    try:
        return _read(path, text)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        if "empty" in first.lower():
            raise InputError(
                f"{option} must have rows; {path} has none."
            ) from None
        raise InputError(f"{option}={path} cannot be read: {first}") from None


def _check_text(
    path: Path, name: str, column: pa.ChunkedArray, option: str
) -> None:
    """Refuses text that is not UTF-8, which Arrow reads as mere bytes."""
    if not pa.types.is_binary(column.type):
        return
    for index, value in enumerate(column.to_pylist()):
        try:
            (value or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(
                f"{option} must be UTF-8; row {index + 1} of {name} in {path} "
                "is not."
            ) from None


def _read(path: Path, text: Sequence[str]) -> pa.Table:
    """Reads a file by its ending."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return parquet.read_table(path)
    if suffix == ".jsonl":
        return json.read_json(path)
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(
            delimiter="\t" if suffix == ".tsv" else ",",
            newlines_in_values=True,
        ),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in text}
        ),
    )
