"""Delimited text: its encoding and its separator, judged by its beginning."""

import codecs
import csv
import dataclasses
import gzip
import io
import itertools
from pathlib import Path

SNIFFED_BYTES = 2**16
SNIFFED_ROWS = 50
# MovieLens writes "::".
SEPARATORS = (",", ";", "\t", "|", "::")
# The separator of a file whose beginning does not tell another.
USUAL = {".tsv": "\t"}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """The form of a delimited text.

    Attributes:
        encoding: Its name in Python: `utf-8`, or one of UTF-16's.
        separator: One of `SEPARATORS`.
    """

    encoding: str
    separator: str


def dialect(path: Path, suffix: str) -> Dialect:
    """Returns the dialect of a file.

    Args:
        path: The file; it may be compressed by gzip.
        suffix: The ending that names its format, such as `.csv`.

    Raises:
        OSError: If it cannot be read.
        EOFError: If its compressed content is cut off.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        start = file.read(SNIFFED_BYTES)
    encoding = _encoding(start)
    text = start.decode(encoding, errors="ignore").removeprefix("\ufeff")
    is_cut = len(start) == SNIFFED_BYTES
    if is_cut:
        text = text[: text.rfind("\n") + 1]
    separator = _separator(text, USUAL.get(suffix, ","), is_cut)
    return Dialect(encoding, separator)


def _encoding(start: bytes) -> str:
    """Returns the encoding of a text by its mark, or by the zeros of UTF-16."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    # In the text of most languages every other byte of UTF-16 is 0, and no
    # other encoding has zeros.
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[place::2].count(0) > len(start) // 4:
            return encoding
    return "utf-8"


def _separator(text: str, usual: str, is_cut: bool) -> str:
    """Returns the separator that gives each row as many cells as the header.

    Args:
        text: Whole lines from the file's beginning.
        usual: The separator that wins if it does so, or if none does.
        is_cut: Whether the file goes on behind the text.
    """
    widths = {
        separator: _width(text, separator, is_cut) for separator in SEPARATORS
    }
    if widths[usual] > 1:
        return usual
    best = max(SEPARATORS, key=lambda separator: widths[separator])
    return best if widths[best] > 1 else usual


def _width(text: str, separator: str, is_cut: bool) -> int:
    """Returns the number of cells of every row; 0 if rows differ."""
    lines = io.StringIO(text, newline="")
    try:
        rows = (
            (line.split(separator) for line in lines)
            if len(separator) > 1
            else csv.reader(lines, delimiter=separator)
        )
        records = list(itertools.islice(rows, SNIFFED_ROWS + 1))
    except csv.Error:  # A cell is longer than the module reads.
        return 0
    if is_cut and 1 < len(records) <= SNIFFED_ROWS:
        records.pop()  # A quoted cell may go on behind the text.
    widths = {len(record) for record in records if record}
    return widths.pop() if len(widths) == 1 else 0
