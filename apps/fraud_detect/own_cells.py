"""The cells of a table's own columns, read as numbers, times or categories."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from common.data import cells, dates
from common.options import quote
from common.table_options import ANY_FORMAT, TableFormat

from .checks import one_reading
from .own_columns import (
    DAY_FIRST,
    DECIMAL_COMMA,
    DECIMAL_POINT,
    HOUR,
    MONTH_FIRST,
    Column,
    codes_of,
)

# What stands for a missing value.
MISSING = (*cells.MISSING, "na", "n/a", "none", "NaN", "?", "-")
MISSING_TEXTS = frozenset(
    spelling
    for text in MISSING
    for spelling in (text, text.lower(), text.upper(), text.capitalize())
)
# A text column holds numbers, or times, if this share of its cells does.
LEAST_SHARE = 0.9
# As TensorFlow strips: a server must read a category as training does.
SPACES = " \t\n\r\v\f"
# Texts that may be a number: some have a currency's sign, none has a letter.
LIKE_A_NUMBER = re.compile(r"[^A-Za-z]*\d[^A-Za-z]*|.*\de[+-]?\d+", re.ASCII)
# 13:05, 1:05 pm, 13:05:00.5: a time without a date becomes one of FIRST_DAY.
TIME_OF_DAY = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([AP]M)?", re.ASCII | re.IGNORECASE
)
LIKE_A_DATE = (
    dates.DATE, dates.YEAR_FIRST, dates.ISO, *dates.NAMED, TIME_OF_DAY
)  # fmt: skip
FIRST_DAY = "01.01.1970"
MARKS = {DECIMAL_COMMA: ",", DECIMAL_POINT: "."}
MARK_FORMS = {mark: form for form, mark in MARKS.items()}
# Longer text is no category, but prose; it is cut so that memory is bounded.
LONGEST_VALUE = 200


def read(
    table: pa.Table,
    own: Sequence[Column],
    table_format: TableFormat = ANY_FORMAT,
) -> tuple[tuple[Column, ...], np.ndarray, list[str]]:
    """Reads columns; categories get a code for each value that occurs.

    Args:
        table: The table.
        own: The columns to read: of a release, or those that `wanted` gives.
        table_format: What is known of the form of cells, by options or by times
            and amounts, for columns that can be read in two ways.

    Returns:
        The columns; their numbers, `(rows, columns) float64`; and notes on
        cells that could not be used.

    Raises:
        InputError: If numbers or dates can be read in two ways.
    """
    columns: list[Column] = []
    notes: list[str] = []
    missing: dict[str, int] = {}
    values = np.empty((table.num_rows, len(own)))
    for place, column in enumerate(own):
        name = column.name
        if column.kind in ("", "number") and is_number(table[name].type):
            numbers = table[name].cast(pa.float64(), safe=False).to_numpy()
            values[:, place] = _within_range(numbers)
            columns.append(Column(name, "number", form=column.form))
        else:
            read_column, values[:, place] = _read_distinct(
                table[name], column, table_format, notes
            )
            columns.append(read_column)
        is_category = columns[-1].kind == "category"
        is_gap = (
            values[:, place] == 0 if is_category else np.isnan(values[:, place])
        )
        missing[name] = int(is_gap.sum())
    gaps = ", ".join(f"{name} {num}" for name, num in missing.items() if num)
    if gaps:
        notes.append(
            f"Missing cells, for which a median or a category of their own "
            f"stands: {gaps}."
        )
    return tuple(columns), values, notes


def _read_distinct(
    cells_of_rows: pa.ChunkedArray,
    column: Column,
    table_format: TableFormat,
    notes: list[str],
) -> tuple[Column, np.ndarray]:
    """Reads a column that is not stored as numbers, each distinct cell once.

    Args:
        cells_of_rows: The column's cells.
        column: The column; see `read`.
        table_format: See `read`.
        notes: Receives a note on cells that could not be used.

    Returns:
        The column with its kind, and the rows' numbers, `(rows,) float64`.
    """
    name = column.name
    distinct, rows = _distinct(cells_of_rows)
    counts = np.bincount(rows, minlength=len(distinct))
    kind, numbers, form = _numbers(column, distinct, counts, table_format)
    if kind == "category":
        known = tuple(sorted({_text(cell) for cell in distinct} - {""}))
        codes = codes_of(map(_text, distinct), known)
        return Column(name, kind, known), codes[rows]
    numbers = _within_range(numbers)
    lost = np.isnan(numbers) & [_text(cell) != "" for cell in distinct]
    if lost.any():
        first = distinct[int(np.argmax(lost))]
        notes.append(
            f"{counts[lost].sum()} cells of {name} are no {kind} and "
            f"count as missing, such as {quote(str(first))}."
        )
    return Column(name, kind, form=form), numbers[rows]


def is_number(kind: pa.DataType) -> bool:
    """Tells whether the cells of an Arrow column are numbers."""
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _within_range(numbers: np.ndarray) -> np.ndarray:
    """Returns numbers with NaN for what float32, the features' type, lacks."""
    is_known = np.abs(np.nan_to_num(numbers)) <= np.finfo(np.float32).max
    return np.where(is_known, numbers, np.nan)


def _distinct(column: pa.ChunkedArray) -> tuple[list[Any], np.ndarray]:
    """Returns the distinct cells, and the index of each row's among them."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        # Those with a zone are UTC's. Fractions of seconds tell nothing here.
        column = column.cast(pa.timestamp("s"), safe=False)
    encoded = column.dictionary_encode("encode").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().chunk(0)
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _text(cell: Any) -> str:
    """Returns a cell as the text of a category; "" for a missing one."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # As a table writes it whose column has no gaps.
    text = "" if cell is None else str(cell).strip(SPACES)
    text = text[:LONGEST_VALUE].rstrip(SPACES)
    return "" if text in MISSING_TEXTS else text


def _numbers(
    column: Column,
    distinct: Sequence[Any],
    counts: np.ndarray,
    table_format: TableFormat,
) -> tuple[str, np.ndarray, str]:
    """Returns a column's kind and the number of each distinct cell.

    Args:
        column: See `read`.
        distinct: The cells.
        counts: The rows of each cell.
        table_format: See `read`.

    Returns:
        The kind; `(cells,) float64`, which is NaN for a category; and the form.
    """
    kind = column.kind
    given = np.array([_text(cell) != "" for cell in distinct], bool)
    least = LEAST_SHARE * counts[given].sum()
    texts = [
        cell if keep else None
        for cell, keep in zip(distinct, given, strict=True)
    ]
    for candidate, is_like, reader, option in (
        ("time", _is_like_a_date, _hours, "--date_order"),
        ("number", _is_like_a_number, _plain, "--decimal_mark"),
    ):
        if kind not in ("", candidate):
            continue
        like = np.array([cell is not None and is_like(cell) for cell in texts])
        if not kind and (counts[like].sum() < least or not like.any()):
            continue
        with one_reading(column.name, option):
            numbers, form = reader(texts, column.form, table_format)
        if kind or counts[np.isfinite(numbers)].sum() >= least:
            return candidate, numbers, form
    # A column without any cell holds numbers, all of them missing.
    is_category = given.any() or kind == "category"
    unread = np.full(len(distinct), np.nan)
    return "category" if is_category else "number", unread, ""


def _is_like_a_number(cell: Any) -> bool:
    """Tells whether a cell may be a number."""
    return bool(LIKE_A_NUMBER.fullmatch(str(cell).strip()))


def _is_like_a_date(cell: Any) -> bool:
    """Tells whether a cell may be a date, a time of day, or both."""
    text = str(cell).strip()
    return any(form.fullmatch(text) for form in LIKE_A_DATE)


def _plain(
    distinct: Sequence[Any], form: str, table_format: TableFormat
) -> tuple[np.ndarray, str]:
    """Returns the numbers in texts, and their form; see `Column`."""
    known = MARKS.get(form) or cells.decimal_mark(distinct)
    mark = known or table_format.decimal
    return cells.numbers(distinct, mark), MARK_FORMS.get(mark, "")


def _hours(
    distinct: Sequence[Any], form: str, table_format: TableFormat
) -> tuple[np.ndarray, str]:
    """Returns hours since 1970 of dates and times, NaN for other cells.

    Digits alone are no times here, for most such columns are of numbers.

    Returns:
        The hours, and the form; see `Column`.
    """
    texts = [
        str(cell).strip() if cell is not None and _is_like_a_date(cell) else ""
        for cell in distinct
    ]
    if not any(texts):
        return np.full(len(texts), np.nan), form
    if not form and any(map(dates.DATE.fullmatch, texts)):
        day_first = _is_day_first(texts, table_format.day_first)
        form = DAY_FIRST if day_first else MONTH_FIRST
    dated = [
        f"{FIRST_DAY} {text}" if TIME_OF_DAY.fullmatch(text) else text
        for text in texts
    ]
    times = dates.times(dated, form == DAY_FIRST if form else False)
    hours = times.astype(np.int64) / HOUR
    return np.where(np.isnat(times), np.nan, hours), form


def _is_day_first(texts: Sequence[str], likely: bool | None) -> bool:
    """Tells whether days come before months; `likely` if texts allow both."""
    try:
        return dates.is_day_first(texts)
    except ValueError:
        if likely is None:
            raise
        return likely
