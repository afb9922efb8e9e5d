"""Dates and times as people write them."""

import re
from collections.abc import Sequence

import numpy as np

from .cells import number

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
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august",
    "september", "october", "november", "december",
)  # fmt: skip
MONTH = "(?P<month>" + "|".join(
    f"{name[:3]}(?:{name[3:]})?|{name[:4]}" for name in MONTHS
) + ")"  # fmt: skip
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?\s+)?"
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
OFFSET = r"(?P<offset>\s*[+-]\d{2}:?\d{2}|\s*(?:Z|UTC|GMT))?"
# With the month's name: 25-Jul-18, Wed, 25 Jul 2018 13:05:00 +0200, and
# July 25, 2018 1:05 PM.
NAMED = tuple(
    re.compile(WEEKDAY + date + CLOCK + OFFSET, re.ASCII | re.IGNORECASE)
    for date in (
        DAY + r"(?:\s+|[./-])" + MONTH + r"(?:[.,]?\s+|[./-])"
        r"(?P<year>\d{4}|\d{2})",
        MONTH + r"\.?\s+" + DAY + r",?\s+(?P<year>\d{4})",
    )
)
# As POSIX reads years of two digits: 69 is 1969, and 68 is 2068.
FIRST_TWO_DIGIT_YEAR = 69
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


def times(cells: Sequence[object], day_first: bool | None = None) -> np.ndarray:
    """Returns the times in a column's texts, `(num,) datetime64[s]`.

    They are as in ISO 8601, as digits alone (20180725130500), with an English
    name of the month (25-Jul-18, July 25, 2018), or with the year behind day
    and month, whichever comes first in all cells of the column.

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
    numbers_alone = np.array([number(text) for text in texts], float)
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
            _european_or_american(date, day_first)
            if date
            else _iso(_named(text))
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


def _named(text: str) -> str:
    """Returns a date with a month's name as ISO 8601; another text as it is."""
    for form in NAMED:
        date = form.fullmatch(text)
        if date:
            break
    else:
        return text
    year = date["year"]
    if len(year) == 2:
        year = f"{'19' if int(year) >= FIRST_TWO_DIGIT_YEAR else '20'}{year}"
    starts = [name[:3] for name in MONTHS]
    month = str(starts.index(date["month"][:3].lower()) + 1)
    offset = (date["offset"] or "").strip().upper().replace("GMT", "")
    # The clock's four groups lie between the date's three and the offset.
    clock = date.groups()[3:7]
    return _written_as_iso(year, month, date["day"], *clock) + offset


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
