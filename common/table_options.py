"""Options of the apps that read tables, and what they say of a table's form."""

import codecs
import dataclasses
import re

from common.options import InputError, option, quote
from common.shared_options import Options

MAX_CELL_LINES = 20
# Separators that are hard to type.
SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "space": " "}
AUTO = "auto"
DATE_ORDERS = {AUTO: None, "day_first": True, "month_first": False}
DECIMAL_MARKS = {AUTO: "", "point": ".", "comma": ","}


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """What the options say of the form of tables; the cells tell the rest.

    Attributes:
        encoding: The encoding of texts, a codec of Python; "" for UTF-8 or
            UTF-16, whichever the file has.
        separator: The separator of delimited text; "" for the one that fits.
        columns: The names of the columns of files without a header; () if the
            first line has them.
        max_cell_lines: The most lines of a quoted cell of delimited text.
        date_order: One of `DATE_ORDERS`.
        decimal_mark: One of `DECIMAL_MARKS`.
    """

    encoding: str = ""
    separator: str = ""
    columns: tuple[str, ...] = ()
    max_cell_lines: int = MAX_CELL_LINES
    date_order: str = AUTO
    decimal_mark: str = AUTO

    @property
    def day_first(self) -> bool | None:
        """Whether days come before months; None if the cells are to tell."""
        return DATE_ORDERS[self.date_order]

    @property
    def decimal(self) -> str:
        """The decimal mark; "" if the cells are to tell."""
        return DECIMAL_MARKS[self.decimal_mark]


# The options say nothing: the cells tell the form.
ANY_FORMAT = TableFormat()


def _reads_in_parts(encoding: str) -> bool:
    """Tells whether text in a codec can be read in parts, as files are.

    Raises:
        LookupError, ValueError, AttributeError or TypeError: If the codec is
            unknown, or fails.
    """
    text = "a, b\n"
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    parts = [decoder.decode(bytes([byte])) for byte in text.encode(encoding)]
    return "".join(parts) == text


@dataclasses.dataclass(frozen=True)
class TableOptions(Options):
    """Options of the apps that read tables."""

    encoding: str = option(
        "",
        "own table: the encoding of the texts, such as windows-1252; by "
        "default UTF-8 or UTF-16, whichever the file has.",
        data=True,
    )
    separator: str = option(
        "",
        "own table: what stands between the cells, such as ; or tab; by "
        "default what gives each row as many cells as the header.",
        data=True,
    )
    columns: tuple[str, ...] = option(
        (),
        "own table: the names of all columns of a file without a header, such "
        "as user,item,rating,time.",
        data=True,
    )
    max_cell_lines: int = option(
        MAX_CELL_LINES,
        "own table: the most lines of a quoted cell; more are mostly a quote "
        "that never closes.",
        minimum=1,
        training=False,
        data=True,
    )

    def __post_init__(self) -> None:
        """Checks the encoding, the separator and the names of columns too."""
        super().__post_init__()
        try:
            is_usable = _reads_in_parts(self.encoding or "utf-8")
        except (LookupError, ValueError, AttributeError, TypeError):
            is_usable = False
        if not is_usable:
            raise InputError(
                f"--encoding must be an encoding that Python knows, such as "
                f"windows-1252 or shift_jis; received {quote(self.encoding)}."
            )
        separator = self.table_format.separator
        if re.search(r'["\r\n\x1f]', separator) or len(separator) > 8:
            raise InputError(
                f"--separator must be at most 8 characters, none of them a "
                f"quote or a line end; received {quote(self.separator)}."
            )
        names = [name.strip() for name in self.columns]
        if not all(names) or len(set(names)) < len(names):
            raise InputError(
                f"--columns must be different names, such as user,item,time; "
                f"received {quote(','.join(self.columns))}."
            )

    @property
    def table_format(self) -> TableFormat:
        """The form of the tables, as far as the options say it."""
        return TableFormat(
            self.encoding,
            SEPARATOR_NAMES.get(self.separator, self.separator),
            tuple(name.strip() for name in self.columns),
            self.max_cell_lines,
        )


@dataclasses.dataclass(frozen=True)
class CellOptions(TableOptions):
    """Options of the apps that read numbers and dates from tables."""

    date_order: str = option(
        AUTO,
        "own table: whether 3/4/2018 is 3 April (day_first) or 4 March "
        "(month_first); auto judges it by all cells of the column.",
        choices=tuple(DATE_ORDERS),
        data=True,
    )
    decimal_mark: str = option(
        AUTO,
        "own table: whether 1,234 is a thousand (point) or a fraction (comma); "
        "auto judges it by all cells of the column.",
        choices=tuple(DECIMAL_MARKS),
        data=True,
    )

    @property
    def table_format(self) -> TableFormat:
        """The form of the tables and of their cells."""
        return dataclasses.replace(
            super().table_format,
            date_order=self.date_order,
            decimal_mark=self.decimal_mark,
        )
