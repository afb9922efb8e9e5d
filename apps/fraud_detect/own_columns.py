"""A table's own columns as features: numbers, times and categories.

In memory each column is a row of numbers: a number itself, the hours since 1970
of a time, the code of a category. A number or time that is missing is NaN. The
code 0 is a missing category, 1 is one that training did not see often enough,
and the others are those of `Column.values`.
"""

import dataclasses
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics

from common.mobile import files
from common.options import InputError, quote

from .settings import Columns

FILE = "columns.json"  # In a release's `mobile`.
PLURALS = {"number": "numbers", "time": "times", "category": "categories"}
KINDS = tuple(PLURALS)
DECIMAL_COMMA, DECIMAL_POINT = "1.234,5", "1,234.5"
DAY_FIRST, MONTH_FIRST = "d/m/y", "m/d/y"
# By the option that tells which is meant.
FORMS_OF = {
    "decimal_mark": (DECIMAL_COMMA, DECIMAL_POINT),
    "date_order": (DAY_FIRST, MONTH_FIRST),
}
FORMS = ("", *(form for forms in FORMS_OF.values() for form in forms))
# Of the Handbook's table: copies of the time, and the cause of the label.
NEVER_FEATURES = ("TX_TIME_SECONDS", "TX_TIME_DAYS", "TX_FRAUD_SCENARIO")
MOST_VALUES = 100  # Of a category; rarer ones are as unknown ones.
LEAST_ROWS = 5  # Of a category, among the rows that train.
MOST_SHOWN = 10  # Names of columns in a note.
HOUR = 3600  # Seconds.
# A column that ranks the rows that train so well is probably no column that is
# known when a transaction happens.
TOO_GOOD = 0.999
# A column called so would be an argument that a SavedModel's function has.
TAKEN_NAMES = ("self",)
UNKNOWN = "\x00"  # No cell of a table holds it.


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the user's that is a feature.

    Attributes:
        name: Its name in the table.
        kind: One of `KINDS`; "" if it is to be judged by the cells.
        values: The categories that have codes from 2 on; () for other kinds.
        form: How numbers or dates are written, one of `FORMS`, if that was
            judged by the cells of training; "" if it did not matter there.
    """

    name: str
    kind: str = ""
    values: tuple[str, ...] = ()
    form: str = ""

    @property
    def feature(self) -> str:
        """The name of the feature, which is what a client of a server sends."""
        name = re.sub(r"\W+", "_", self.name, flags=re.ASCII).strip("_")
        if not name:  # No ASCII letter is left: a digest tells names apart.
            name = f"{zlib.crc32(self.name.encode()):08x}"
        is_usable = name.isidentifier() and name not in TAKEN_NAMES
        return name if is_usable else f"column_{name}"


def check_names(names: Sequence[str], others: Sequence[str] = ()) -> None:
    """Raises `InputError` where two features would have one name.

    Args:
        names: The names of the columns in the table.
        others: The names of the features that are computed.
    """
    taken = dict.fromkeys(others, "a feature that is computed")
    for name in names:
        # TensorFlow's names of arguments do not differ by case.
        feature = Column(name, "number").feature.lower()
        if feature in taken:
            raise InputError(
                f"columns must have names that differ in letters and digits, "
                f"for they are what a client sends; {quote(name)} is too much "
                f"like {quote(taken[feature])}. Rename it, or add it to "
                "--ignore_columns."
            )
        taken[feature] = name


def wanted(columns: Columns, known: Sequence[str]) -> tuple[Column, ...]:
    """Returns a table's own columns, whose kinds are to be judged.

    Args:
        columns: The columns that the table has.
        known: The names of all columns of the table.

    Raises:
        InputError: If an option names a column that the table lacks.
    """
    for option, names in (
        ("--category_columns", columns.categories),
        ("--ignore_columns", columns.ignored),
    ):
        for name in names:
            if name not in known:
                raise InputError(
                    f"{option} must be columns of the table; there is no "
                    f"{quote(name)}."
                )
    taken = {*columns.names(), *columns.ignored, *NEVER_FEATURES}
    return tuple(
        Column(name, "category" if name in columns.categories else "")
        for name in known
        if name not in taken
    )


def only_slices(columns: Columns, own: Sequence[Column]) -> list[str]:
    """Returns the columns of `--slice_by` that are read for nothing else."""
    others = {*columns.names(), *(column.name for column in own)}
    return [x for x in dict.fromkeys(columns.slices) if x not in others]


def noted_slices(columns: Columns, own: Sequence[Column]) -> list[str]:
    """Returns a note on the columns of `--slice_by` that are features too.

    Args:
        columns: The names in the table.
        own: The columns that are features.
    """
    both = [x.name for x in own if x.name in columns.slices]
    if not both:
        return []
    return [
        f"Of --slice_by these are features too: {', '.join(both)}. Columns in "
        "--ignore_columns are none."
    ]


def texts(own: Sequence[Column]) -> list[str]:
    """Returns the names of the columns whose cells must be read as text."""
    return [column.name for column in own if column.kind == "category"]


def as_written(own: Sequence[Column]) -> list[str]:
    """Returns the names of the columns whose cells have a known form."""
    return [column.name for column in own if column.form]


def without_forms(
    own: Sequence[Column], forms: Sequence[str]
) -> tuple[Column, ...]:
    """Returns columns without those forms, of which an option tells more."""
    return tuple(
        dataclasses.replace(column, form="") if column.form in forms else column
        for column in own
    )


def codes_of(texts: Any, known: Sequence[str]) -> np.ndarray:
    """Returns the codes of categories, `(num,) float64`."""
    codes = {"": 0.0, **{text: 2.0 + i for i, text in enumerate(known)}}
    return np.array([codes.get(text, 1.0) for text in texts], float)


def fit(
    columns: Sequence[Column], values: np.ndarray, fraud: np.ndarray
) -> tuple[tuple[Column, ...], list[str]]:
    """Returns the columns that the rows that train tell something by.

    Args:
        columns: What `own_cells.read` returned.
        values: The numbers of the rows that train, `(rows, columns)`.
        fraud: Their labels, `(rows,)` zeros and ones.

    Returns:
        The columns, whose categories are the frequent ones only; and notes on
        columns that were left out or are suspicious.
    """
    kept, notes = [], []
    for column, numbers in zip(columns, values.T, strict=True):
        fitted = column
        if column.kind == "category":
            fitted = _frequent(column, numbers)
            numbers = code([column], numbers[:, None], [fitted])[:, 0]
        if len(np.unique(numbers)) < 2:  # All NaN count as equal.
            notes.append(
                f"Column {column.name} is left out: it tells nothing, for all "
                "rows that train have the same value, or each its own."
            )
            continue
        kept.append(fitted)
        if _ranking(fitted, numbers, fraud) > TOO_GOOD:
            notes.append(
                f"Column {column.name} alone tells the frauds that train from "
                "the others. If it is known only afterwards, add it to "
                "--ignore_columns."
            )
    return tuple(kept), notes


def described(columns: Sequence[Column]) -> list[str]:
    """Returns a note on what columns are taken for; none if there are none."""
    parts = []
    for kind in KINDS:
        names = [
            column.name + (f" as {column.form}" if column.form else "")
            for column in columns
            if column.kind == kind
        ]
        shown = names[:MOST_SHOWN]
        if len(names) > MOST_SHOWN:
            shown.append(f"{len(names) - MOST_SHOWN} more")
        if names:
            parts.append(f"{PLURALS[kind]} {', '.join(shown)}")
    return [f"Columns as features: {'; '.join(parts)}."] if parts else []


def _frequent(column: Column, numbers: np.ndarray) -> Column:
    """Returns a category with the values that occur often enough."""
    counts = np.bincount(numbers.astype(int), minlength=len(column.values) + 2)
    counts = counts[2:]
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    chosen = sorted(i for i in order if counts[i] >= LEAST_ROWS)
    return dataclasses.replace(
        column, values=tuple(column.values[i] for i in chosen)
    )


def _ranking(column: Column, numbers: np.ndarray, fraud: np.ndarray) -> float:
    """Returns the AUROC of a column alone, whichever its direction."""
    if not 0 < fraud.sum() < len(fraud):
        return 0.0
    if column.kind == "category":  # Its codes have no order; their risks do.
        codes = numbers.astype(int)
        risk = np.bincount(codes, fraud) / np.maximum(np.bincount(codes), 1)
        numbers = risk[codes]
    # A gap may tell all; a number below all others keeps its rows apart.
    filled = np.nan_to_num(numbers, nan=np.nanmin(numbers) - 1.0)
    area = float(metrics.roc_auc_score(fraud, filled))
    return max(area, 1 - area)


def code(
    columns: Sequence[Column], values: np.ndarray, fitted: Sequence[Column]
) -> np.ndarray:
    """Returns the numbers of fitted columns.

    Args:
        columns: What `own_cells.read` returned; all of `fitted` are among them.
        values: Their numbers, `(rows, columns)`.
        fitted: The columns of a release.

    Returns:
        `(rows, fitted columns) float64`.
    """
    places = {column.name: i for i, column in enumerate(columns)}
    coded = np.empty((len(values), len(fitted)))
    for place, column in enumerate(fitted):
        source = places[column.name]
        numbers = values[:, source]
        if column.kind == "category":
            own = columns[source].values
            table = np.concatenate([[0.0, 1.0], codes_of(own, column.values)])
            numbers = table[numbers.astype(int)]
        coded[:, place] = numbers
    return coded


def cells_of(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Returns numbers as the cells that a server takes; see `signature`.

    Args:
        column: The column.
        numbers: Of any shape.

    Returns:
        float32 numbers, float64 seconds since 1970, or texts, in that shape.
    """
    if column.kind == "number":
        return numbers.astype(np.float32)
    if column.kind == "time":
        return numbers.astype(np.float64) * HOUR
    texts = np.array(["", UNKNOWN, *column.values], object)
    return texts[numbers.astype(int)]


def write(path: Path, columns: Sequence[Column]) -> None:
    """Writes a release's columns as JSON; `load` reads them."""
    files.write_json(path, [dataclasses.asdict(column) for column in columns])


def load(path: Path, app: str) -> tuple[Column, ...]:
    """Returns the columns that `write` wrote; () where there is no file.

    Raises:
        InputError: If the file is damaged.
    """
    if not path.is_file():
        return ()
    rows = files.read_json(path, app)
    with files.reading(path):
        columns = tuple(
            Column(str(row["name"]), KINDS[KINDS.index(row["kind"])],
                   tuple(map(str, row["values"])),
                   FORMS[FORMS.index(row["form"])])
            for row in rows
        )  # fmt: skip
    return columns
