"""Options about the data, the costs and the sizes of the networks."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.options import InputError, is_given, option, quote
from common.slice_options import SliceOptions
from common.table_options import ANY_FORMAT, CellOptions, TableFormat


@dataclasses.dataclass(frozen=True)
class Columns:
    """The names of the columns in a user's table; "" for a column it lacks.

    Attributes:
        time: The column of dates with times, or of seconds since 1970-01-01.
        customer: The column of the customers' ids.
        terminal: The column of the terminals' ids.
        amount: The column of the amounts, none of them negative.
        label: The column of the labels: 1 for fraud, 0 for none.
        id: The column of the transactions' ids, all different; without it rows
            are numbered.
        time_unit: The unit of times that are numbers; `auto` judges it by their
            size.
        ignored: The columns that are no features.
        categories: The columns that are categories, though they look like
            numbers.
        slices: The columns by which figures are shown; they are features too,
            unless they are ignored.
        given: The fields whose columns the user named.
        table_format: What is known of the form of the table and its cells.
    """

    time: str
    customer: str
    terminal: str
    amount: str
    label: str
    id: str
    time_unit: str = "auto"
    ignored: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    table_format: TableFormat = ANY_FORMAT

    ROLES = ("time", "customer", "terminal", "amount", "label", "id")

    def names(self) -> list[str]:
        """Returns the names of the columns that the table has."""
        return [
            getattr(self, role) for role in self.ROLES if getattr(self, role)
        ]

    def texts(self) -> list[str]:
        """Returns the names of the columns that are read as text: of ids."""
        return [name for name in (self.customer, self.terminal) if name]

    def as_written(self) -> list[str]:
        """Returns the name of the amounts if they have decimal commas.

        1.234 is a thousand there.
        """
        has_commas = self.table_format.decimal == ","
        return [self.amount] if self.amount and has_commas else []

    def or_usual(self, usual: Mapping[str, str]) -> "Columns":
        """Returns the columns with usual names for those not named.

        Args:
            usual: Names in the table by role.
        """
        names: dict[str, Any] = {
            role: name for role, name in usual.items() if role not in self.given
        }
        return dataclasses.replace(self, **names)

    def present(
        self, known: Sequence[str], optional: Sequence[str] = ROLES
    ) -> "Columns":
        """Returns the columns without those that the table lacks.

        Args:
            known: The names of all columns of the table.
            optional: Those of `ROLES` that the table may lack.

        Raises:
            InputError: If the user named a column that the table lacks.
        """
        for role in self.given:
            if getattr(self, role) not in known:
                raise InputError(
                    f"--{role}_column must be a column of the table; there is "
                    f"no {quote(getattr(self, role))} among "
                    f"{quote(', '.join(known), 500)}."
                )
        lacking: dict[str, Any] = {
            role: "" for role in optional if getattr(self, role) not in known
        }
        return dataclasses.replace(self, **lacking)


@dataclasses.dataclass(frozen=True)
class FoldPlan:
    """The plan by which data become folds.

    Attributes:
        columns: The names in the user's table.
        protocol: `time` or one of `protocols.PROTOCOLS`.
        extended: Take `features.EXTENDED`, not `features.NAMES`.
        delay: Days until labels are known.
        train_days: Days that train, with `time`; 0 for all.
        test_days: Days that test, and that validate, with `time`.
        steps: Transactions in a sequence; 0 for none.
        skip_bad: Leave bad rows out.
        seed: The seed of a random split.
    """

    columns: Columns
    protocol: str
    extended: bool
    delay: int
    train_days: int
    test_days: int
    steps: int
    skip_bad: bool
    seed: int


@dataclasses.dataclass(frozen=True)
class Costs:
    """The costs, and the budgets of alerts and cards.

    Attributes:
        alerts: Transactions to flag a day.
        top: Cards that can be looked at a day.
        miss: Cost of a fraud that is missed.
        alert: Cost of looking at an alert.
    """

    alerts: float
    top: int
    miss: float
    alert: float


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the networks are.

    Attributes:
        bins: See `encoding.piecewise_linear`.
        units: The widths of the hidden layers.
        autoencoder_units: The widths of an autoencoder's hidden layers, up to
            its code.
        code: The width of the code.
        members: Networks whose outputs are averaged.
        dropout: The part of hidden units dropped in training.
        errors: Which errors of an autoencoder are suspicious: `above` for
            values greater than it expects, as of amounts and shares of fraud;
            `both` if values that are too low are as suspicious.
    """

    bins: int
    units: Sequence[int]
    autoencoder_units: Sequence[int]
    code: int
    members: int
    dropout: float
    errors: str


@dataclasses.dataclass(frozen=True)
class DataOptions(CellOptions, SliceOptions):
    """Options about the data, the folds and the costs of alerts."""

    protocol: str = option(
        "time",
        "which days train and which days test.",
        choices=("time", "handbook_p1", "handbook_p2", "handbook_p3"),
        data=True,
    )
    time_column: str = option(
        "TX_DATETIME",
        "column of dates with times, or of seconds since 1970.",
        data=True,
    )
    customer_column: str = option(
        "CUSTOMER_ID", "column of the customers' ids.", data=True
    )
    terminal_column: str = option(
        "TERMINAL_ID", "column of the terminals' ids.", data=True
    )
    amount_column: str = option(
        "TX_AMOUNT", "column of the amounts.", data=True
    )
    label_column: str = option(
        "TX_FRAUD", "column of the labels: 1 for fraud, 0 for none.", data=True
    )
    id_column: str = option(
        "TRANSACTION_ID",
        "column of unique ids; without it rows are numbered.",
        data=True,
    )
    time_unit: str = option(
        "auto",
        "the unit of times that are numbers; auto takes seconds since 1970, "
        "and smaller units by their size.",
        choices=("auto", "seconds", "minutes", "hours", "days"),
        data=True,
    )
    ignore_columns: tuple[str, ...] = option(
        (),
        "columns that are no features, such as those that are known only "
        "afterwards; all other columns are features.",
        data=True,
    )
    category_columns: tuple[str, ...] = option(
        (),
        "columns that are categories, though their cells are numbers.",
        data=True,
    )
    on_bad_input: str = option(
        "fail", "what to do with bad rows.", choices=("fail", "skip"), data=True
    )
    extended: bool = option(
        False, "compute ten features more than the Handbook's 15.", data=True
    )
    delay: int = option(7, "days until labels are known.", minimum=0, data=True)
    train_days: int = option(
        0,
        "days that train, with --protocol=time; 0 for all.",
        minimum=0,
        data=True,
    )
    test_days: int = option(
        7,
        "days that test, with --protocol=time; as many days validate.",
        minimum=1,
        data=True,
    )

    alerts: float = option(
        50.0,
        "alerts a day that the threshold is chosen for.",
        minimum=0.1,
        training=False,
        data=True,
    )
    top_cards: int = option(
        100, "cards looked at a day, in card precision.", minimum=1,
        training=False, data=True,
    )  # fmt: skip
    miss_cost: float = option(
        100.0, "cost of a missed fraud.", minimum=0.0, training=False, data=True
    )
    alert_cost: float = option(
        5.0, "cost of an alert.", minimum=0.0, training=False, data=True
    )
    baselines: bool = option(
        True, "measure scikit-learn's models too.", training=False
    )

    def column_names(self) -> Columns:
        """Returns the names in the user's table."""
        return Columns(
            self.time_column,
            self.customer_column,
            self.terminal_column,
            self.amount_column,
            self.label_column,
            self.id_column,
            self.time_unit,
            self.ignore_columns,
            self.category_columns,
            self.slice_by,
            frozenset(
                role
                for role in Columns.ROLES
                if is_given(self, f"{role}_column")
            ),
            self.table_format,
        )

    def plan(self, steps: int) -> FoldPlan:
        """Returns the plan by which data become folds.

        Args:
            steps: Transactions in a sequence; 0 for none.
        """
        return FoldPlan(
            self.column_names(),
            self.protocol,
            self.extended,
            self.delay,
            self.train_days,
            self.test_days,
            steps,
            self.on_bad_input == "skip",
            self.seed,
        )

    def costs(self) -> Costs:
        """Returns the costs, and the budgets of alerts and cards."""
        return Costs(
            self.alerts, self.top_cards, self.miss_cost, self.alert_cost
        )


@dataclasses.dataclass(frozen=True)
class NetworkOptions(DataOptions):
    """Options about the sizes of the networks."""

    units: tuple[str, ...] = option(("64", "32"), "widths of hidden layers.")
    code: int = option(
        4, "width of the autoencoder's code.", minimum=1, maximum=4096
    )
    autoencoder_units: tuple[str, ...] = option(
        ("32",), "widths of the autoencoder's hidden layers, up to the code."
    )
    corruption: float = option(
        0.5,
        "part of the autoencoder's inputs hidden in training.",
        minimum=0.0,
        maximum=0.9,
    )
    errors: str = option(
        "above",
        "which errors of the autoencoder are suspicious.",
        choices=("above", "both"),
    )
    members: int = option(
        1, "networks whose outputs are averaged.", minimum=1, maximum=100
    )
    bins: int = option(16, "bins of each quantity.", minimum=2, maximum=4096)
    dropout: float = option(
        0.3,
        "part of hidden units dropped in training.",
        minimum=0.0,
        maximum=0.9,
    )

    def __post_init__(self) -> None:
        """Checks the widths too."""
        super().__post_init__()
        for name in ("units", "autoencoder_units"):
            widths(name, getattr(self, name))

    def sizes(self) -> Sizes:
        """Returns the sizes of the networks."""
        return Sizes(
            self.bins, widths("units", self.units),
            widths("autoencoder_units", self.autoencoder_units),
            self.code, self.members, self.dropout, self.errors,
        )  # fmt: skip


def widths(name: str, value: tuple[str, ...]) -> list[int]:
    """Returns the widths in the option called `name`.

    Raises:
        InputError: If the option has anything but widths.
    """
    # At most four digits: no layer is wider. int() does not know the digit "²".
    if not value or not all(re.fullmatch("[1-9][0-9]{0,3}", v) for v in value):
        raise InputError(
            f"--{name} must be widths such as 64,32, up to 9999; received "
            f"{quote(','.join(value))}."
        )
    return [int(width) for width in value]
