"""Columns of Arrow's many types as columns of a few: plain cells."""

from pathlib import Path

import pyarrow as pa
from pyarrow import compute as pc

from common.options import InputError, quote

from . import dialects

# What an array of Arrow's plain strings can hold.
MAX_STRING_BYTES = 2**31 - 1
# The numbers of Arrow's units of time that make a second.
DURATIONS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def plain(
    path: Path, name: str, column: pa.ChunkedArray, option: str
) -> pa.ChunkedArray:
    """Returns a column whose cells are plain, not categories or bytes.

    Raises:
        InputError: If cells are nested, or text is not UTF-8, which Arrow does
            not check when it reads.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_nested(column.type):
        raise InputError(
            f"{option} must have plain cells; {name} in {path} holds "
            f"{quote(str(column.type))}."
        )
    column = _coarse_times(column)
    try:
        return _text(column)
    except pa.ArrowInvalid:
        row, content = _first_not_utf_8(column)
        raise InputError(
            f"{option} must be UTF-8; row {row} of {name} in {path} is not. "
            f"{dialects.advice(content)}"
        ) from None


def _coarse_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns times as Python and NumPy hold them, durations in seconds.

    Columns of other types are returned as they are.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) and (kind.unit == "ns" or kind.tz):
        # Python's times have no nanoseconds, and NumPy's no zones: this is UTC.
        unit = "us" if kind.unit == "ns" else kind.unit
        return column.cast(pa.timestamp(unit), safe=False)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    if pa.types.is_duration(kind):
        # Of the units, only the finest have more than float64 holds.
        counts = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.divide(counts, DURATIONS[kind.unit])
    return column


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns bytes as text, and text as Arrow's plain strings if it fits.

    Columns of other types are returned as they are.

    Raises:
        pyarrow.ArrowInvalid: If text is not UTF-8.
    """
    kind = column.type
    if pa.types.is_large_binary(kind):
        column = column.cast(pa.large_string())
    elif (
        pa.types.is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    ):
        column = column.cast(pa.string())
    column.validate(full=True)
    kind = column.type
    is_odd = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if is_odd and column.nbytes <= MAX_STRING_BYTES:
        return column.cast(pa.string())
    return column


def _first_not_utf_8(column: pa.ChunkedArray) -> tuple[int, bytes]:
    """Returns the number and the bytes of the first cell that is not UTF-8."""
    content = b""
    for index, cell in enumerate(column):
        buffer = cell.as_buffer()
        try:
            if buffer is not None:  # The cell is not empty.
                content = buffer.to_pybytes()
                content.decode("utf-8")
        except UnicodeDecodeError:
            return index + 1, content
    return len(column), content
