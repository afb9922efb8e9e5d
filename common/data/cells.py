"""Cells as people write them: numbers, yes or no, dates and times."""

import re
from collections.abc import Sequence

import numpy as np

# Signs of currencies before or behind a number.
CURRENCY = re.compile("^[$€£¥₹]\\s*|\\s*[$€£¥₹]$")
# Spaces between thousands, and Switzerland's apostrophes.
THOUSANDS = re.compile("(?<=\\d)[\\s'\u2019](?=\\d{3}(?!\\d))")
LONGEST_NUMBER = 60  # Characters.
NUMERIC = re.compile(r"[+-]?(?=[\d.,]*\d)[\d.,]+(e[+-]?\d+)?", re.IGNORECASE)
# 1,234.50 and 1.234,50, each beside plain numbers of its kind. No thousands
# begin with a zero.
ENGLISH = re.compile(
    r"[+-]?([1-9]\d{0,2}(,\d{3})+|\d*)(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE
)
CONTINENTAL = re.compile(
    r"[+-]?([1-9]\d{0,2}(\.\d{3})+|\d*)(,\d*)?(e[+-]?\d+)?", re.IGNORECASE
)
# 1.234, which is a thousand where commas are decimal.
THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
INTEGER = re.compile(r"[+-]?\d+")
LONGEST_DATE = 40  # Characters.
LARGEST_OFFSET = 24 * 60  # Minutes.
# Of the year 2200: greater numbers are ids, or times in another unit.
LAST_SECOND = 7_258_118_399
# Its groups are hour, minute, second, and AM or PM.
CLOCK = r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([AP]M)?)?"
# 7/25/2018 1:05 PM, 25.07.2018 13:05:00 and the like.
DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})" + CLOCK, re.IGNORECASE)
# 2018/7/25 9:05 and the like.
YEAR_FIRST = re.compile(
    r"(\d{4})([/-])(\d{1,2})\2(\d{1,2})" + CLOCK, re.ASCII | re.IGNORECASE
)
ISO = re.compile(r"\d{4}-\d{2}(-\d{2}.*)?")
# Its groups are the date, the time of day, and the hours and minutes by which
# the clock is ahead of UTC.
ISO_MOMENT = re.compile(
    r"(\d{4}-\d{2}(?:-\d{2})?)"
    r"(?:[T ](\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)"
    r"(?: ?([+-]\d{2})(?::?([0-5]\d))?)?)?(?: ?(?:Z|UTC))?",
    re.ASCII | re.IGNORECASE,
)
# A day, with the minute and the second of it or without.
DIGITS = re.compile(r"\d{8}(\d{4}(\d{2})?)?", re.ASCII)
# The years of plausible dates: 9999-12-31 stands for "never", and digits alone
# can be anything.
YEARS = range(1900, 2101)
# Numbers that are times in other units, and how many make a second: in seconds
# they would be in the year 5138 or later.
PER_SECOND = ((1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
# What stands for a missing cell of any kind, in small letters.
MISSING = ("", "nan", "null", "<na>", "#n/a")
YES = ("1", "yes", "y", "true", "t")
NO = ("0", "no", "n", "false", "f")


def numbers(cells: Sequence[object], decimal: str = "") -> np.ndarray:
    """Returns the numbers in a column's cells, `(num,) float64`.

    Currencies' signs are passed over. Commas part thousands, or are decimal
    points, whichever all cells of the column allow.

    Args:
        cells: Texts, numbers, or None. NaN stands for what is no number.
        decimal: The decimal mark, "," or "."; "" judges it by the cells. What
            is no number with that mark, as 1,234.50 is none with decimal
            commas, is NaN.

    Raises:
        ValueError: If the commas can be read in both ways.
    """
    texts = [_bare(cell) for cell in cells]
    decimal = decimal or decimal_mark(cells)
    if decimal:
        return np.array([_marked(text, decimal) for text in texts], float)
    numeric = [text for text in texts if NUMERIC.fullmatch(text)]
    with_commas = [text for text in numeric if "," in text]
    if with_commas and all(map(ENGLISH.fullmatch, numeric)):
        first = with_commas[0]
        raise ValueError(
            f"{first} can be {first.replace(',', '')} or "
            f"{first.replace(',', '.')}; write it without a comma"
        )
    return np.array([_number(text) for text in texts], float)


def decimal_mark(cells: Sequence[object]) -> str:
    """Returns the decimal mark that a column's numbers surely have.

    Args:
        cells: Texts, numbers, or None.

    Returns:
        "," or "."; "" if all numbers allow both, or each allows another one.
    """
    texts = [text for text in map(_bare, cells) if NUMERIC.fullmatch(text)]
    is_english = all(map(ENGLISH.fullmatch, texts))
    is_continental = all(map(CONTINENTAL.fullmatch, texts))
    if is_english == is_continental:
        return ""
    return "." if is_english else ","


def has_decimal_commas(cells: Sequence[object]) -> bool:
    """Tells whether a column's numbers have decimal commas, and surely so."""
    return decimal_mark(cells) == "," and any(
        "," in text for text in map(_bare, cells) if NUMERIC.fullmatch(text)
    )


def thousand_with_point(cells: Sequence[object]) -> str:
    """Returns a number such as 1.234 if points may part thousands in all cells.

    Args:
        cells: Texts, or None.

    Returns:
        The first such number; "" if there is none, or if a cell has a point
        that is surely decimal.
    """
    texts = [_bare(cell) for cell in cells if cell is not None]
    first = ""
    for text in texts:
        if THOUSAND.fullmatch(text):
            first = first or text
        elif text and not INTEGER.fullmatch(text):
            return ""
    return first


def _bare(cell: object) -> str:
    """Returns a cell's text without currency and marks between thousands."""
    text = str(cell).strip()
    if len(text) > LONGEST_NUMBER:
        return ""
    return THOUSANDS.sub("", CURRENCY.sub("", text))


def _marked(text: str, decimal: str) -> float:
    """Returns a text's number with a decimal mark; NaN if there is none."""
    thousands, form = (".", CONTINENTAL) if decimal == "," else (",", ENGLISH)
    if NUMERIC.fullmatch(text) and not form.fullmatch(text):
        return float("nan")
    return _number(text.replace(thousands, "").replace(decimal, "."))


def _number(text: str) -> float:
    """Returns a text's number; NaN if Python reads none."""
    if not text.isascii() or "_" in text:  # Python reads "1_0" as ten.
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return float("nan")


def truths(cells: Sequence[object]) -> np.ndarray:
    """Returns 1 for yes and 0 for no, `(num,) float64`; NaN for other cells.

    Args:
        cells: Texts such as `yes`, `N` or `True`; numbers, or None.
    """
    values = {**dict.fromkeys(YES, 1.0), **dict.fromkeys(NO, 0.0)}
    texts = (str(cell).strip().lower() for cell in cells)
    return np.array([values.get(text, _number(text)) for text in texts], float)


def times(cells: Sequence[object], day_first: bool | None = None) -> np.ndarray:
    """Returns the times in a column's texts, `(num,) datetime64[s]`.

    They are as in ISO 8601, as digits alone (20180725130500), or with the year
    behind day and month, whichever comes first in all cells of the column.

    Numbers alone are as in `seconds`. Times with an offset, such as `+02:00`,
    become those of UTC; fractions of seconds are cut off.

    Args:
        cells: Texts, or None. NaT stands for what is no time, and for dates
            that are not plausible.
        day_first: Whether the day comes before the month; None judges it by
            the cells.

    Raises:
        ValueError: If day and month can be told apart in no cell.
    """
    texts = [str(cell)[: LONGEST_DATE + 1].strip() for cell in cells]
    numbers_alone = np.array([_number(text) for text in texts], float)
    if len(texts) and np.isfinite(numbers_alone).all():
        values = seconds(numbers_alone)
        in_range = np.abs(values) < LAST_SECOND
        whole = np.where(in_range, values, 0).astype("datetime64[s]")
        return np.where(in_range, whole, np.datetime64("NaT"))
    dates = [DATE.fullmatch(text) for text in texts]
    if day_first is None:
        day_first = is_day_first(cells)
    return np.array(
        [
            _european_or_american(date, day_first) if date else _iso(text)
            for text, date in zip(texts, dates, strict=True)
        ],
        "datetime64[s]",
    )


def are_plausible(moments: np.ndarray) -> np.ndarray:
    """Tells which moments are in plausible years, `(num,) bool`.

    Args:
        moments: `(num,) datetime64`; NaT is not plausible.
    """
    return (moments >= np.datetime64(f"{YEARS[0]}-01-01")) & (
        moments < np.datetime64(f"{YEARS[-1] + 1}-01-01")
    )


def is_day_first(cells: Sequence[object]) -> bool:
    """Tells whether the day comes before the month in a column's dates.

    Args:
        cells: See `times`.

    Raises:
        ValueError: If the dates allow both.
    """
    texts = [str(cell)[: LONGEST_DATE + 1].strip() for cell in cells]
    dates = [date for text in texts if (date := DATE.fullmatch(text))]
    unclear = [date for date in dates if date[2] != "."]
    if not unclear:  # With points the day is first.
        return True
    pairs = [(int(date[1]), int(date[3])) for date in unclear]
    # Only a day that can be no month tells, beside a month.
    day_first = any(13 <= a <= 31 and b <= 12 for a, b in pairs)
    month_first = any(13 <= b <= 31 and a <= 12 for a, b in pairs)
    allows_both = [
        date for date, pair in zip(unclear, pairs, strict=True)
        if max(pair) <= 12
    ]  # fmt: skip
    if day_first == month_first and allows_both:
        first, _, second, year = allows_both[0].groups()[:4]
        raise ValueError(
            f"{allows_both[0][0]} can be {year}-{second:0>2}-{first:0>2} or "
            f"{year}-{first:0>2}-{second:0>2}; write it so"
        )
    return day_first


def _european_or_american(
    date: re.Match[str], day_first: bool
) -> np.datetime64:
    """Returns a date with the year behind day and month; NaT if it is none."""
    first, mark, second, year, *clock = date.groups()
    day, month = (
        (first, second) if day_first or mark == "." else (second, first)
    )
    return _iso(_written_as_iso(year, month, day, *clock))


def _written_as_iso(
    year: str,
    month: str,
    day: str,
    hour: str | None,
    minute: str | None,
    seconds: str | None,
    half: str | None,
) -> str:
    """Returns a date, and the time that `CLOCK` found, as ISO 8601 has them."""
    hours = int(hour or 0)
    if half:
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    return (
        f"{year}-{month:0>2}-{day:0>2}T{hours:02}:{minute or '00'}:"
        f"{seconds or '00'}"
    )


def _iso(text: str) -> np.datetime64:
    """Returns a time with the year first, or as digits alone; NaT for none."""
    year_first = YEAR_FIRST.fullmatch(text)
    if year_first:
        year, _, *others = year_first.groups()
        text = _written_as_iso(year, *others)
    elif DIGITS.fullmatch(text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:8]}" + (
            f"T{text[8:10]}:{text[10:12]}:{text[12:14] or '00'}"
            if text[8:]
            else ""
        )
    # NumPy warns of long text and of offsets, and takes any number for a year.
    moment = ISO_MOMENT.fullmatch(text[: LONGEST_DATE + 1])
    if len(text) > LONGEST_DATE or not moment or int(text[:4]) not in YEARS:
        return np.datetime64("NaT")
    date, time, hours, minutes = moment.groups()
    ahead = int(hours or 0) * 60
    ahead += int(minutes or 0) * (-1 if hours and hours[0] == "-" else 1)
    if abs(ahead) > LARGEST_OFFSET:
        return np.datetime64("NaT")
    try:
        local = np.datetime64(f"{date}T{time}" if time else date, "s")
        return local - np.timedelta64(ahead, "m")
    except ValueError:
        return np.datetime64("NaT")


def seconds(values: np.ndarray) -> np.ndarray:
    """Returns numbers that stand for times in seconds, `(num,) float64`.

    Numbers of eight, twelve or fourteen digits that are all moments from 1900
    to 2100 are read as such (20180725, 20180725130500). Numbers that are all
    too great for seconds are read as milli-, micro- or nanoseconds.

    Args:
        values: `(num,) float64`; numbers that are not finite stay.
    """
    given = values[np.isfinite(values) & (values != 0)]
    if not given.size:
        return values
    if _are_moments(given):
        moments = [
            _iso(str(int(value))) if np.isfinite(value) and value else "NaT"
            for value in values
        ]
        whole = np.array(moments, "datetime64[s]")
        known = ~np.isnat(whole)
        return np.where(known, whole.astype(np.int64), values)
    for least, beyond, unit in PER_SECOND:
        if ((np.abs(given) >= least) & (np.abs(given) < beyond)).all():
            return values / unit
    return values


def _are_moments(values: np.ndarray) -> bool:
    """Tells whether all numbers are moments written as digits alone."""
    texts = [str(int(value)) for value in (values.min(), values.max())]
    if not all(map(DIGITS.fullmatch, texts)) or len(set(map(len, texts))) > 1:
        return False
    if not all(int(text[:4]) in YEARS for text in texts):
        return False
    return not any(
        value % 1 or np.isnat(_iso(str(int(value)))) for value in values
    )
