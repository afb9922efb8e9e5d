"""Tables in JSON: an object on each line, or an array of objects."""

import json as standard_json
import re
from pathlib import Path

import pyarrow as pa
from pyarrow import json

from . import dialects, table_files

# The bytes that Arrow reads at a time.
BLOCK_BYTES = 2**20
# What Arrow says of the place of an error.
PLACE = re.compile(r" in row (\d+)")


def names(path: Path, encoding: str) -> list[str]:
    """Returns the names of the columns in the first megabyte; see `read`."""
    return json.open_json(_lines(path, encoding)).schema.names


def read(path: Path, encoding: str) -> pa.Table:
    """Reads all columns: a key may first occur in the last line.

    Args:
        path: The file; it may be compressed by gzip.
        encoding: The encoding of a text without a mark; "" for UTF-8 or
            UTF-16.

    Raises:
        ValueError: If an array is not JSON, or holds other things than objects.
        pyarrow.ArrowInvalid: If lines are not JSON, or a column's cells are of
            several types; it names the row, from 1, where that is known.
    """
    try:
        return json.read_json(
            _lines(path, encoding), json.ReadOptions(block_size=BLOCK_BYTES)
        )
    except pa.ArrowInvalid as error:
        # Arrow counts from 0, and anew in each block.
        with _lines(path, encoding) as lines:
            is_one_block = len(lines.read(BLOCK_BYTES + 1)) <= BLOCK_BYTES
        message = PLACE.sub(
            lambda place: f" in row {int(place[1]) + 1}" * is_one_block,
            str(error),
        )
        raise pa.ArrowInvalid(message) from None


def _lines(path: Path, given: str) -> pa.NativeFile:
    """Returns a source of JSON lines; rewrites an array of objects as lines."""
    start = dialects.beginning(path)
    encoding = dialects.encoding_of(path, start, given)
    text = start.decode(encoding, errors="ignore").removeprefix("\ufeff")
    file = table_files.stream(path)
    if text.lstrip()[:1] != "[":
        # Arrow passes over a mark.
        return pa.transcoding_input_stream(file, encoding, "utf-8")
    with file:
        content = table_files.whole(file).decode(encoding)
    rows = standard_json.loads(content.removeprefix("\ufeff"))
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("an array must hold an object a row.")
    return pa.BufferReader("\n".join(map(standard_json.dumps, rows)).encode())
