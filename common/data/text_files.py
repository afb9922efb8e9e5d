"""Lines of text, and how to tell a text from the path of a file."""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import tables

# The endings, besides those of tables, that `looks_like_path` looks for.
FILE_SUFFIXES = (".text", ".md", ".log", ".html", ".xml", ".pdf",
                 ".doc", ".docx", ".odt", ".xls", ".ods",
                 ".gz", ".bz2", ".xz", ".zip", ".zst")  # fmt: skip
LINE_END = re.compile(r"\r?\n\Z")


def is_file(text: str) -> bool:
    """Tells whether a text, which may be any text, is the path of a file."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # The text is too long, or holds a NUL.
        return False


def looks_like_path(text: str) -> bool:
    """Tells whether a text was probably meant as a path.

    Such a text has no white space, and either a separator or the ending of a
    common kind of file.
    """
    if text != "".join(text.split()):
        return False
    return "/" in text or text.lower().endswith(
        (*tables.SUFFIXES, *FILE_SUFFIXES)
    )


def lines(content: bytes) -> list[str]:
    """Returns the lines of a UTF-8 text; see `read_lines`."""
    return list(read_lines(io.BytesIO(content)))


def read_lines(stream: Iterable[bytes]) -> Iterator[str]:
    r"""Yields the lines of a UTF-8 text, which end with "\n" or "\r\n".

    No other character ends a line: `str.splitlines` would also end lines at
    U+0085, U+2028 and form feeds, which texts may hold. A byte-order mark at
    the start is dropped.

    Args:
        stream: A file that is open for reading bytes, which yields the bytes up
            to each line feed. Only one line is held at a time.

    Raises:
        UnicodeDecodeError: If a line is not UTF-8.
    """
    encoding = "utf-8-sig"
    for line in stream:
        text = line.decode(encoding)
        if text:  # It is empty if the file holds only a byte-order mark.
            yield LINE_END.sub("", text)
        encoding = "utf-8"
