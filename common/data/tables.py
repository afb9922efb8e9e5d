"""Tables of a user's own: delimited text, JSON, Parquet and Excel.

A user's file is not trusted: content that does not fit the file's name, a
missing column, or text in another encoding ends in an error of one line, never
in a traceback.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from common.options import InputError, quote
from common.table_options import ANY_FORMAT, TableFormat

from . import (
    cells,
    delimited,
    dialects,
    json_table,
    plain_columns,
    spreadsheet,
    table_files,
)

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data", *JSON_SUFFIXES)
# The endings of tables' names. `.gz` may follow that of a text.
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".xlsx")
NAMES_SHOWN = 500  # The most characters of columns' names in an error.

NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")

T = TypeVar("T")


def is_table(dataset: str) -> bool:
    """Tells whether `--dataset` names a table, by its ending."""
    return _suffix(Path(dataset)) in SUFFIXES


def _suffix(path: Path) -> str:
    """Returns the ending that names the format of a file; "" for no table."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes[-1:] == [".gz"]:
        inner = suffixes[0] if len(suffixes) == 2 else ""
        return inner if inner in TEXT_SUFFIXES else ""
    return suffixes[-1] if suffixes else ""


def names(
    path: str | Path,
    option: str = "--dataset",
    table_format: TableFormat = ANY_FORMAT,
) -> list[str]:
    """Returns the names of a table's columns; reads only the start if it can.

    A column without a name, such as an index, is left out.

    Args:
        path: See `read`. Of several files the first is read. JSON lines have no
            header: the names are those in the first megabyte.
        option: The option that named the file, for errors.
        table_format: See `read`.

    Raises:
        InputError: If the file cannot be read.
    """
    first = table_files.paths(path, option)[0]
    known = _open(first, option, table_format, _names)
    return [name.strip() for name in known if name.strip()]


def read(
    path: str | Path,
    columns: Sequence[str],
    text: Sequence[str] = (),
    option: str = "--dataset",
    table_format: TableFormat = ANY_FORMAT,
    as_written: Sequence[str] = (),
) -> pa.Table:
    """Reads columns of a table.

    Args:
        path: A file that ends in one of `SUFFIXES`, or in `.gz` after that of
            a text; or several with the same columns, whose rows follow one
            another, as `table_files.paths` takes them. JSON has an object on
            each line, or is an array of objects. Of a workbook the first sheet
            is read.
        columns: The names of the columns to read; the files must have all.
        text: Those of `columns` whose cells are read as text even if all of
            them look like numbers, such as ids. Parquet and JSON keep their own
            types.
        option: The option that named the files, for errors.
        table_format: What is known of the form of delimited text, and of the
            encoding of JSON.
        as_written: Those of `columns` whose numbers and dates are of a known
            form, and therefore read as text where they are written in one. A
            workbook's own numbers and dates are not.

    Returns:
        A table of at least one row, with `columns` in this order. Empty cells
        are null, but "" in the columns of `text`. Text is UTF-8.

    Raises:
        InputError: If a file cannot be read, is empty, or lacks a column, or if
            the files have different columns.
    """
    files = table_files.paths(path, option)
    texts = _Texts(text, as_written)
    parts = _parts(files, columns, texts, option, table_format)
    if len(parts) == 1:
        return parts[0]
    joined = {name: _joined(parts, name) for name in columns}
    mixed = [name for name in columns if joined[name] is None]
    if mixed:
        # `01234` and `K1A` are read as in one file; Parquet keeps its types.
        texts = _Texts([*text, *mixed], as_written)
        parts = _parts(files, columns, texts, option, table_format)
        strings = pa.schema([(name, pa.string()) for name in mixed])
        cast = [part.select(mixed).cast(strings) for part in parts]
        joined |= {name: _joined(cast, name) for name in mixed}
    return pa.table(joined)


class _Texts(NamedTuple):
    """The columns that are read as text.

    Attributes:
        always: See `text` of `read`.
        as_written: See `read`.
    """

    always: Sequence[str]
    as_written: Sequence[str]


def _parts(
    files: Sequence[Path],
    columns: Sequence[str],
    texts: _Texts,
    option: str,
    table_format: TableFormat,
) -> list[pa.Table]:
    """Returns the columns of each file; see `read`."""
    parts: list[pa.Table] = []
    all_names: list[set[str]] = []
    for file in files:
        known, table = _open(
            file,
            option,
            table_format,
            lambda file, suffix, known_format: _read(
                file, suffix, known_format, columns, texts
            ),
        )
        _check_columns(file, known, columns, option)
        all_names.append({name for name in known if name})
        if all_names[-1] != all_names[0]:
            odd = min(all_names[0] ^ all_names[-1])
            has, lacks = files[0], file
            if odd in all_names[-1]:
                has, lacks = file, files[0]
            raise InputError(
                f"{option} must name files with the same columns; {has} has "
                f"{quote(odd)}, and {lacks} has not."
            )
        plain = {
            name: plain_columns.plain(file, name, table[name], option)
            for name in columns
        }
        parts.append(pa.table(plain))
        if not table.num_rows:
            raise InputError(f"{option} must have rows; {file} has none.")
    return parts


def _check_columns(
    path: Path, known: Sequence[str], columns: Sequence[str], option: str
) -> None:
    """Refuses a file that lacks a column, or has it twice.

    Args:
        path: The file, for the error.
        known: The names of its columns.
        columns: The names of those that it must have.
        option: The option that named the file.
    """
    for name in columns:
        if known.count(name) == 1:
            continue
        shown = ", ".join(known)
        if len(shown) > NAMES_SHOWN:
            shown = quote(shown, NAMES_SHOWN)
        hint = (
            f" If that is a row, name the {len(known)} columns, such as "
            f"--columns={','.join(columns)}, or write them into a first line "
            "of their own."
        )
        is_row = any(map(NUMBER.fullmatch, known))
        raise InputError(
            f"{option} must have one column called {name}; {path} has "
            f"{shown}.{hint if is_row else ''}"
        )


def _joined(parts: Sequence[pa.Table], name: str) -> pa.ChunkedArray | None:
    """Returns a column of several tables; None if its types do not agree."""
    columns = [part.select([name]) for part in parts]
    try:
        return pa.concat_tables(columns, promote_options="permissive")[name]
    except pa.ArrowException:
        return None


def numbers(
    path: str | Path,
    columns: Sequence[str],
    option: str = "--dataset",
    table_format: TableFormat = ANY_FORMAT,
) -> np.ndarray:
    """Reads columns that hold a number in every cell.

    Args:
        path: See `read`.
        columns: The names of the columns to read; the file must have all.
        option: The option that named the file, for errors.
        table_format: See `read`.

    Returns:
        `(rows, columns)` float32, with the columns in this order.

    Raises:
        InputError: If the file cannot be read, lacks a column, or has a cell
            that is no finite number.
    """
    table = read(path, columns, (), option, table_format)
    values = []
    for name in columns:
        place = f"{name} in {path}"
        column = _numbers(table[name], place, option)
        with np.errstate(over="ignore"):  # Too large becomes infinite.
            values.append(column.astype(np.float32))
        bad = np.flatnonzero(~np.isfinite(values[-1]))
        if bad.size:
            raise InputError(
                f"{option} must have a finite number in every cell; row "
                f"{bad[0] + 1} of {place} has {column[bad[0]]}. Fill the cell "
                "in, or remove the row."
            )
    return np.stack(values, axis=1)


def _numbers(column: pa.ChunkedArray, place: str, option: str) -> np.ndarray:
    """Returns a column's numbers, `(num,) float64`; NaN for empty cells."""
    if not pa.types.is_string(column.type):
        try:
            return column.cast(pa.float64()).to_numpy()
        except pa.ArrowException:
            raise InputError(
                f"{option} must hold numbers; {place} holds {column.type}. "
                "Remove that column, or write it in numbers."
            ) from None
    texts = column.to_pylist()
    try:
        values = cells.numbers(texts)
    except ValueError as error:
        raise InputError(
            f"{option} must hold numbers of one reading; in {place} {error}."
        ) from None
    wrong = np.isnan(values) & [bool(text) for text in texts]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{option} must hold numbers; {place} has {quote(texts[row])} in "
            f"row {row + 1}. Remove that column, or write it in numbers."
        )
    return values


def _open(
    path: Path,
    option: str,
    table_format: TableFormat,
    reader: Callable[[Path, str, TableFormat], T],
) -> T:
    """Returns the result of `reader` for a file, its ending and its format.

    Raises:
        InputError: If the file cannot be read; the message is one line.
    """
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise InputError(
            f"{option} must end in {', '.join(SUFFIXES)}; received {path}."
        )
    try:
        return reader(path, suffix, table_format)
    except UnicodeDecodeError as error:
        if table_format.encoding:
            advice = "Pass another --encoding, or save it as UTF-8."
        else:
            advice = dialects.advice(error.object)
        raise InputError(
            f"{option} must be {table_format.encoding or 'UTF-8'}, the names "
            f"of its columns too; {path} has {quote(error.object)}. {advice}"
        ) from None
    except (
        EOFError,
        zlib.error,
        pa.ArrowException,
        OSError,
        ValueError,
        RecursionError,
    ) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "empty" in first.lower():
            raise InputError(
                f"{option} must have rows; {path} has none."
            ) from None
        first = first[:300].rstrip(".")
        raise InputError(f"{option}={path} cannot be read: {first}.") from None


def _names(path: Path, suffix: str, table_format: TableFormat) -> list[str]:
    """Returns the names of a file's columns, as they are written."""
    if suffix == ".parquet":
        return parquet.read_schema(path).names
    if suffix == ".xlsx":
        return spreadsheet.names(path, table_format.columns)
    if suffix in JSON_SUFFIXES:
        return json_table.names(path, table_format.encoding)
    return delimited.names(path, suffix, table_format)


def _read(
    path: Path,
    suffix: str,
    table_format: TableFormat,
    columns: Sequence[str],
    texts: _Texts,
) -> tuple[list[str], pa.Table]:
    """Reads columns of a file, whose ending says what format it has.

    Other columns are neither decoded nor kept, but in JSON and workbooks.

    Returns:
        The names of all columns, and a table that holds at least those of
        `columns` that the file has. The names have no spaces around them.
    """
    if suffix in JSON_SUFFIXES:
        table = _stripped(json_table.read(path, table_format.encoding))
        return table.column_names, table
    if suffix == ".xlsx":
        table = spreadsheet.read(path, texts.always, table_format.columns)
        return table.column_names, table
    if suffix == ".parquet":
        known = parquet.read_schema(path).names
        present = [name for name in known if name.strip() in columns]
        table = _stripped(parquet.read_table(path, columns=present))
        return [name.strip() for name in known], table
    return delimited.read(
        path, suffix, table_format, columns, [*texts.always, *texts.as_written]
    )


def _stripped(table: pa.Table) -> pa.Table:
    """Returns a table whose columns' names have no spaces around them."""
    return table.rename_columns([name.strip() for name in table.column_names])
