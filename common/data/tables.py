"""Tables of a user's own: delimited text, JSON, Parquet and Excel.

A user's file is not trusted: content that does not fit the file's name, a
missing column, or text that is not UTF-8 ends in an error of one line, never in
a traceback.
"""

import codecs
import json as standard_json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import csv, json, parquet

from common.options import InputError, quote

from . import cells, delimited, spreadsheet

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data", *JSON_SUFFIXES)
# The endings of tables' names. `.gz` may follow that of a text.
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".xlsx")
# Arrow's separators are single characters; no text holds this one.
# What a file may have that is not read in parts.
MAX_WHOLE_BYTES = 2**30
UNIT_SEPARATOR = "\x1f"
NAMES_SHOWN = 500  # The most characters of columns' names in an error.
SAVE_AS_UTF_8 = (
    "It is probably Windows-1252, Excel's encoding of western languages: save "
    "it as UTF-8, or run `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`."
)

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


def names(path: str | Path, option: str = "--dataset") -> list[str]:
    """Returns the names of a table's columns; reads only the start if it can.

    Args:
        path: See `read`. JSON lines have no header: the names are those in the
            first megabyte.
        option: The option that named the file, for errors.

    Raises:
        InputError: If the file cannot be read.
    """
    return _open(
        Path(path),
        option,
        lambda file: [name.strip() for name in _schema(file).names],
    )


def read(
    path: str | Path,
    columns: Sequence[str],
    text: Sequence[str] = (),
    option: str = "--dataset",
) -> pa.Table:
    """Reads columns of a table file.

    Args:
        path: A file that ends in one of `SUFFIXES`, or in `.gz` after that of
            a text. Delimited text has a header, and any of the separators in
            `delimited`; it is UTF-8 or UTF-16. JSON has an object on each line,
            or is an array of objects. Of a workbook the first sheet is read.
        columns: The names of the columns to read; the file must have all.
        text: Those of `columns` whose cells are read as text even if all of
            them look like numbers, such as ids. Parquet and JSON keep their own
            types.
        option: The option that named the file, for errors.

    Returns:
        A table of at least one row, with `columns` in this order. Empty cells
        are null, but "" in the columns of `text`. Text is UTF-8.

    Raises:
        InputError: If the file cannot be read, is empty, or lacks a column.
    """
    path = Path(path)
    known, table = _open(path, option, lambda file: _read(file, columns, text))
    for name in columns:
        if known.count(name) != 1:
            shown = ", ".join(known)
            if len(shown) > NAMES_SHOWN:
                shown = quote(shown, NAMES_SHOWN)
            hint = " Write the columns' names into a first line of their own."
            raise InputError(
                f"{option} must have one column called {name}; {path} has "
                f"{shown}.{hint if all(map(NUMBER.fullmatch, known)) else ''}"
            )
    if not table.num_rows:
        raise InputError(f"{option} must have rows; {path} has none.")
    checked = {
        name: _plain(path, name, table[name], option) for name in columns
    }
    return pa.table(checked)


def numbers(
    path: str | Path, columns: Sequence[str], option: str = "--dataset"
) -> np.ndarray:
    """Reads columns that hold a number in every cell.

    Args:
        path: See `read`.
        columns: The names of the columns to read; the file must have all.
        option: The option that named the file, for errors.

    Returns:
        `(rows, columns)` float32, with the columns in this order.

    Raises:
        InputError: If the file cannot be read, lacks a column, or has a cell
            that is no finite number.
    """
    table, values = read(path, columns, option=option), []
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


def _open(path: Path, option: str, reader: Callable[[Path], T]) -> T:
    """Returns the result of `reader` for a file.

    Raises:
        InputError: If the file cannot be read; the message is one line.
    """
    if not path.is_file():
        raise InputError(f"{option} must be a file; {path} is not a file.")
    if _suffix(path) not in SUFFIXES:
        raise InputError(
            f"{option} must end in {', '.join(SUFFIXES)}; received {path}."
        )
    try:
        return reader(path)
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{option} must be UTF-8, the names of its columns too; {path} has "
            f"{quote(error.object)}. {SAVE_AS_UTF_8}"
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
        raise InputError(
            f"{option}={path} cannot be read: {first[:300]}"
        ) from None


def _plain(
    path: Path, name: str, column: pa.ChunkedArray, option: str
) -> pa.ChunkedArray:
    """Returns a column whose cells are plain, not categories or bytes.

    Raises:
        InputError: If cells are nested, or text is not UTF-8, which Arrow does
            not check when it reads.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_nested(kind):
        raise InputError(
            f"{option} must have plain cells; {name} in {path} holds "
            f"{quote(str(kind))}."
        )
    is_bytes = (
        pa.types.is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_large_binary(kind)
    )
    try:
        if is_bytes:
            large = pa.types.is_large_binary(kind)
            column = column.cast(pa.large_string() if large else pa.string())
        column.validate(full=True)
        return column
    except pa.ArrowInvalid:
        row = _first_not_utf_8(column)
        raise InputError(
            f"{option} must be UTF-8; row {row} of {name} in {path} is not. "
            f"{SAVE_AS_UTF_8}"
        ) from None


def _first_not_utf_8(column: pa.ChunkedArray) -> int:
    """Returns the number of the first row whose text is not UTF-8."""
    for index, cell in enumerate(column):
        content = cell.as_buffer()
        try:
            if content is not None:  # The cell is not empty.
                content.to_pybytes().decode("utf-8")
        except UnicodeDecodeError:
            return index + 1
    return len(column)


def _read(
    path: Path, columns: Sequence[str], text: Sequence[str]
) -> tuple[list[str], pa.Table]:
    """Reads columns of a file, whose ending says what format it has.

    Other columns are neither decoded nor kept. In JSON all columns are read: a
    key may first occur in the last line.

    Returns:
        The names of all columns, and a table that holds at least those of
        `columns` that the file has.
    """
    suffix = _suffix(path)
    if suffix in JSON_SUFFIXES:
        table = _stripped(json.read_json(_json_lines(path)))
        return table.column_names, table
    if suffix == ".xlsx":
        table = spreadsheet.read(path, text)
        return table.column_names, table
    known = _schema(path).names
    if suffix == ".parquet":
        present = [name for name in known if name.strip() in columns]
        table = _stripped(parquet.read_table(path, columns=present))
        return [name.strip() for name in known], table
    stripped = [name.strip() for name in known]
    # A name that two columns have is an error of the caller's.
    written = {
        name: known[stripped.index(name)]
        for name in columns
        if stripped.count(name) == 1
    }
    options = csv.ConvertOptions(
        include_columns=list(written.values()),
        column_types={
            written[name]: pa.string() for name in text if name in written
        },
    )
    dialect = delimited.dialect(path, suffix)
    table = csv.read_csv(**_delimited(path, dialect), convert_options=options)
    # Arrow reads all columns where none is named.
    table = table.select(list(written.values()))
    return stripped, table.rename_columns(list(written))


def _stripped(table: pa.Table) -> pa.Table:
    """Returns a table whose columns' names have no spaces around them."""
    return table.rename_columns([name.strip() for name in table.column_names])


def _schema(path: Path) -> pa.Schema:
    """Returns a file's columns, read from its first block or its footer."""
    suffix = _suffix(path)
    if suffix == ".parquet":
        return parquet.read_schema(path)
    if suffix == ".xlsx":
        return spreadsheet.read(path).schema
    if suffix in JSON_SUFFIXES:
        return json.open_json(_json_lines(path)).schema
    dialect = delimited.dialect(path, suffix)
    with csv.open_csv(**_delimited(path, dialect)) as file:
        return file.schema


def _delimited(path: Path, dialect: delimited.Dialect) -> dict[str, Any]:
    """Returns the arguments by which Arrow reads a delimited text."""
    separator, source = dialect.separator, _stream(path)
    has_quotes = len(separator) == 1
    if not has_quotes:
        content = _whole(source).decode(dialect.encoding)
        content = content.replace(separator, UNIT_SEPARATOR)
        source = pa.BufferReader(content.encode(dialect.encoding))
        separator = UNIT_SEPARATOR
    return {
        "input_file": source,
        "read_options": csv.ReadOptions(encoding=dialect.encoding),
        # Cells may hold line ends.
        "parse_options": csv.ParseOptions(
            delimiter=separator,
            newlines_in_values=has_quotes,
            quote_char='"' if has_quotes else False,
        ),
    }


def _stream(path: Path) -> pa.NativeFile:
    """Opens a file for reading, unpacked if it is compressed by gzip."""
    is_packed = path.suffix.lower() == ".gz"
    return pa.input_stream(path, compression="gzip" if is_packed else None)


def _whole(stream: pa.NativeFile) -> bytes:
    """Reads a stream that must be held as a whole.

    Raises:
        ValueError: If it is larger than `MAX_WHOLE_BYTES`; a packed file may
            be, whatever its size.
    """
    content = stream.read(MAX_WHOLE_BYTES + 1)
    if len(content) > MAX_WHOLE_BYTES:
        raise ValueError(
            f"it has more than {MAX_WHOLE_BYTES / 1e6:,.0f} MB, unpacked"
        )
    return content


def _json_lines(path: Path) -> pa.NativeFile:
    """Returns a source of JSON lines; rewrites an array of objects as lines.

    Raises:
        ValueError: If an array is not JSON, or holds other things than objects.
    """
    with _stream(path) as file:
        if file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"[":
            return _stream(path)
    with _stream(path) as file:
        rows = standard_json.loads(_whole(file).decode("utf-8-sig"))
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("an array must hold an object a row.")
    text = "\n".join(map(standard_json.dumps, rows))
    return pa.BufferReader(text.encode())
