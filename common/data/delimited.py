"""Tables in delimited text, read by Arrow."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from common.options import quote
from common.table_options import TableFormat

from . import cells, dialects, quotes, table_files

# Arrow's separators are single characters; no text holds this one.
UNIT_SEPARATOR = "\x1f"
UNEVEN = re.compile(r"Expected \d+ columns, got \d+")
JUDGED_CELLS = 1000


def names(path: Path, suffix: str, table_format: TableFormat) -> list[str]:
    """Returns the names of the columns, as the file has them; see `read`."""
    return _Reader(path, suffix, table_format).names()


def read(
    path: Path,
    suffix: str,
    table_format: TableFormat,
    columns: Sequence[str],
    text: Sequence[str],
) -> tuple[list[str], pa.Table]:
    """Reads columns; others are neither decoded nor kept.

    A column of only `1.234` is one of texts where `table_format` says that
    commas are decimal.

    Args:
        path: The file; it may be compressed by gzip.
        suffix: The ending that names its format, such as `.csv`.
        table_format: What is known of its form.
        columns: The names of the columns, without spaces around them.
        text: Those of `columns` that are read as text.

    Returns:
        The names of all columns, without spaces around them, and a table of
        those of `columns` whose names the file has once.

    Raises:
        ValueError: If rows or quotes are broken, or points can be thousands.
    """
    reader = _Reader(path, suffix, table_format)
    known = reader.names()
    stripped = [name.strip() for name in known]
    # A name that two columns have is an error of the caller's.
    written = {
        name: known[stripped.index(name)]
        for name in columns
        if stripped.count(name) == 1
    }
    table = reader.read(written, [name for name in text if name in written])
    if table_format.decimal != ".":
        table = _with_thousands(reader, table, written, table_format.decimal)
    return stripped, table


class _Reader:
    """One file, which may be read several times."""

    def __init__(
        self, path: Path, suffix: str, table_format: TableFormat
    ) -> None:
        self._path, self._format = path, table_format
        self._dialect = dialects.dialect(path, suffix, table_format)
        self._has_quotes = len(self._dialect.separator.encode()) == 1

    def names(self) -> list[str]:
        """Returns the names of the columns, read from the first block."""
        try:
            with csv.open_csv(self._source(), **self._arguments()) as file:
                return file.schema.names
        except pa.ArrowInvalid as error:
            self._explain(error)
            raise

    def read(self, written: dict[str, str], text: Sequence[str]) -> pa.Table:
        """Reads columns.

        Args:
            written: The names in the file, by the names to give the columns.
            text: The columns to read as text, by their new names.
        """
        options = csv.ConvertOptions(
            include_columns=list(written.values()),
            column_types={written[name]: pa.string() for name in text},
        )
        source = self._source()
        counted = quotes.CountedFile(source) if self._has_quotes else None
        try:
            table = csv.read_csv(
                counted or source, **self._arguments(), convert_options=options
            )
        except pa.ArrowInvalid as error:
            self._explain(error)
            raise
        num_rows = table.num_rows + (not self._format.columns)
        if counted and counted.may_have_long_cells(num_rows):
            self._check_quotes()
        # Arrow reads all columns where none is named.
        table = table.select(list(written.values()))
        return table.rename_columns(list(written))

    def _check_quotes(self) -> None:
        """Raises an error if a quote is broken."""
        if self._has_quotes:
            quotes.check(
                self._source(),
                self._dialect.separator,
                self._format.max_cell_lines,
                has_header=not self._format.columns,
            )

    def _explain(self, error: pa.ArrowInvalid) -> None:
        """Raises a better error if quotes are broken, or rows uneven.

        Arrow tells the number of a row only if a single thread reads.
        """
        self._check_quotes()
        if not UNEVEN.search(str(error)):
            return
        bad: list[Any] = []

        def keep(row: Any) -> str:
            bad.append(row)
            return "error"

        with contextlib.suppress(pa.ArrowInvalid):
            csv.read_csv(self._source(), **self._arguments(keep))
        if not bad:
            return
        num = bad[0].number - (not self._format.columns)
        names = "--columns" if self._format.columns else "the header"
        raise ValueError(
            f"row {num} has {bad[0].actual_columns} cells, and {names} has "
            f"{bad[0].expected_columns} names: {quote(bad[0].text)}"
        )

    def _source(self) -> pa.NativeFile:
        """Opens the file for reading UTF-8 with separators of one byte."""
        source = pa.transcoding_input_stream(
            table_files.stream(self._path), self._dialect.encoding, "utf-8"
        )
        if self._has_quotes:
            return source
        content = table_files.whole(source)
        if UNIT_SEPARATOR.encode() in content:
            raise ValueError("it has characters that no text has (U+001F)")
        separator = self._dialect.separator.encode()
        return pa.BufferReader(
            content.replace(separator, UNIT_SEPARATOR.encode())
        )

    def _arguments(self, uneven: Any = None) -> dict[str, Any]:
        """Returns the arguments by which Arrow reads the file.

        Args:
            uneven: What is called with a row that has too few or too many
                cells; a single thread reads then.
        """
        has_quotes = self._has_quotes
        return {
            "read_options": csv.ReadOptions(
                column_names=self._format.columns or None,
                use_threads=uneven is None,
            ),
            # Cells may hold line ends.
            "parse_options": csv.ParseOptions(
                delimiter=(
                    self._dialect.separator if has_quotes else UNIT_SEPARATOR
                ),
                newlines_in_values=has_quotes,
                quote_char='"' if has_quotes else False,
                invalid_row_handler=uneven,
            ),
        }


def _with_thousands(
    reader: _Reader, table: pa.Table, written: dict[str, str], decimal: str
) -> pa.Table:
    """Returns a table whose columns of only `1.234` are texts.

    Arrow reads such a cell as a number with a fraction.

    Args:
        reader: The file.
        table: What Arrow read.
        written: The names in the file, by those in the table.
        decimal: The decimal mark if it is said, a comma; "" refuses such
            columns beside one that surely has decimal commas.
    """
    floating = [
        name
        for name in table.column_names
        if pa.types.is_floating(table[name].type)
    ]
    with_commas = [
        name
        for name in table.column_names
        if pa.types.is_string(table[name].type)
        and cells.has_decimal_commas(table[name][:JUDGED_CELLS].to_pylist())
    ]
    if not floating or not (decimal or with_commas):
        return table
    texts = reader.read({name: written[name] for name in floating}, floating)
    for name in floating:
        thousand = cells.thousand_with_point(texts[name].to_pylist())
        if thousand and not decimal:
            raise ValueError(
                f"{thousand} in {name} can be {thousand.replace('.', '')}, for "
                f"{with_commas[0]} has decimal commas, or {thousand}. Write it "
                "without a point, or with a decimal comma"
            )
        if thousand:
            place = table.column_names.index(name)
            table = table.set_column(place, name, texts[name])
    return table
