"""The encoding and the separator of a text, judged by its beginning."""

import codecs
import csv
import dataclasses
import io
import itertools
import re
from pathlib import Path

from common.table_options import ANY_FORMAT, TableFormat

from . import cells, table_files

SNIFFED_BYTES = 2**16
SNIFFED_ROWS = 50
# MovieLens writes "::".
SEPARATORS = (",", ";", "\t", "|", "::")
# The separator of a file whose beginning does not tell another.
USUAL = {".tsv": "\t"}
# The first mark is the beginning of the third.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """The form of a delimited text.

    Attributes:
        encoding: Its name in Python, such as `utf-8`.
        separator: One of `SEPARATORS`, or the one that was given.
    """

    encoding: str
    separator: str


def dialect(
    path: Path, suffix: str, table_format: TableFormat = ANY_FORMAT
) -> Dialect:
    """Returns the dialect of a file.

    Args:
        path: The file; it may be compressed by gzip.
        suffix: The ending that names its format, such as `.csv`.
        table_format: What is known of it.

    Raises:
        OSError: If it cannot be read, or its compressed content is damaged.
        ValueError: If it is not what `table_format` says.
    """
    start = beginning(path)
    encoding = encoding_of(path, start, table_format.encoding)
    text = start.decode(encoding, errors="ignore").removeprefix("\ufeff")
    is_cut = len(start) == SNIFFED_BYTES
    if is_cut:
        text = text[: max(map(text.rfind, "\r\n")) + 1]
    separator = table_format.separator or _separator(
        text, USUAL.get(suffix, ","), is_cut, len(table_format.columns)
    )
    first = _records(text, separator, 1)[:1]
    names = {name.strip().lower() for name in first[0]} if first else set()
    header = [name for name in table_format.columns if name.lower() in names]
    if header:
        raise ValueError(
            f"its first line has the names of its columns, such as {header[0]}."
            " Leave --columns out"
        )
    return Dialect(encoding, separator)


def beginning(path: Path) -> bytes:
    """Returns a file's first bytes, at most `SNIFFED_BYTES`, unpacked."""
    with table_files.stream(path) as file:
        return file.read(SNIFFED_BYTES)


def encoding_of(path: Path, start: bytes, given: str = "") -> str:
    """Returns the encoding of a text by its mark, or by the zeros of UTF-16.

    Args:
        path: The file that holds the text; it may be compressed by gzip.
        start: The text's beginning.
        given: The encoding of a text without a mark; "" for UTF-8 or UTF-16.

    Raises:
        ValueError: If `given` is another one, and the text is UTF-8: it would
            be read without an error, and each "é" become "Ã©".
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    if given:
        name = codecs.lookup(given).name
        if not name.startswith("utf") and _is_utf_8(path):
            raise ValueError(
                f"it is UTF-8, and not {given}. Pass --encoding=utf-8"
            )
        return name
    # In the text of most languages every other byte of UTF-16 is 0, and no
    # other encoding has zeros.
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[place::2].count(0) > len(start) // 4:
            return encoding
    return "utf-8"


def _is_utf_8(path: Path) -> bool:
    """Tells whether a text is UTF-8, by its first block that is not ASCII."""
    with table_files.stream(path) as file:
        while block := file.read(SNIFFED_BYTES):
            if not block.isascii():
                break
    try:
        # Its last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False
    return bool(block)


def advice(content: bytes) -> str:
    """Returns what to do with a text that is not UTF-8, for messages.

    Args:
        content: Bytes of the text, some of them not ASCII.
    """
    # Western languages have single letters that are not ASCII, others words.
    if not re.search(rb"[\x80-\xff]{3}", content):
        return (
            "It is probably windows-1252, Excel's encoding of western "
            "languages: pass --encoding=windows-1252, or save it as UTF-8."
        )
    return (
        "Pass its encoding, such as --encoding=windows-1251 (Cyrillic), "
        "shift_jis (Japanese), gb18030 (Chinese) or windows-1252 (western), or "
        "save it as UTF-8."
    )


def _separator(
    text: str, usual: str, is_cut: bool, num_columns: int = 0
) -> str:
    """Returns the separator that gives each row as many cells as the header.

    Args:
        text: Whole lines from the file's beginning.
        usual: The separator that wins if it does so, or if none does.
        is_cut: Whether the file goes on behind the text.
        num_columns: The number of columns; 0 if it is not known.

    Raises:
        ValueError: If several separators give rows of `num_columns` cells.
    """
    widths = {
        separator: _width(text, separator, is_cut) for separator in SEPARATORS
    }
    if num_columns:
        fitting = [mark for mark in SEPARATORS if widths[mark] == num_columns]
        if len(fitting) > 1:
            if set(fitting) == {",", ";"} and _has_decimal_commas(text):
                return ";"
            raise ValueError(
                f"{' and '.join(map(repr, fitting))} each part its rows into "
                f"{num_columns} cells. Pass --separator"
            )
        return fitting[0] if fitting else usual
    if widths[usual] > 1:
        return usual
    best = max(SEPARATORS, key=lambda separator: widths[separator])
    return best if widths[best] > 1 else usual


def _has_decimal_commas(text: str) -> bool:
    """Tells whether all commas are decimal if semicolons part the cells."""
    # The last row may be cut within a quoted cell.
    columns = zip(*_records(text, ";", SNIFFED_ROWS), strict=False)
    return all(
        cells.has_decimal_commas(column)
        for column in columns
        if any("," in cell for cell in column)
    )


def _width(text: str, separator: str, is_cut: bool) -> int:
    """Returns the number of cells of every row; 0 if rows differ."""
    records = _records(text, separator, SNIFFED_ROWS + 1)
    if is_cut and 1 < len(records) <= SNIFFED_ROWS:
        records.pop()  # A quoted cell may go on behind the text.
    widths = {len(record) for record in records if record}
    return widths.pop() if len(widths) == 1 else 0


def _records(text: str, separator: str, most: int) -> list[list[str]]:
    """Returns the first rows' cells; [] if the module cannot read them."""
    lines = io.StringIO(text, newline="")
    try:
        rows = (
            (line.split(separator) for line in lines)
            if len(separator) > 1
            else csv.reader(lines, delimiter=separator)
        )
        return list(itertools.islice(rows, most))
    except csv.Error:  # A cell is longer than the module reads.
        return []
