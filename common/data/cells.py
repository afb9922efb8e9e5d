"""Cells as people write them: numbers, and yes or no."""

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
        ValueError: If the commas can be read in both ways, or the points of
            amounts with a currency's sign can.
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
    first = thousand_with_point(cells)
    if first and any(CURRENCY.search(str(cell).strip()) for cell in cells):
        # Amounts of money with three decimals are rare, thousands are not.
        raise ValueError(
            f"{first} can be {first.replace('.', '')} or {first}; write it "
            "without a point"
        )
    return np.array([number(text) for text in texts], float)


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
    return number(text.replace(thousands, "").replace(decimal, "."))


def number(text: str) -> float:
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
    return np.array([values.get(text, number(text)) for text in texts], float)
