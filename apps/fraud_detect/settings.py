"""Options about data and judgement, and about how large networks are."""

import dataclasses
import re

from etils import epy

from common import config as options
from common.config import InputError, option
from common.options import quote

with epy.lazy_imports():
    from apps.fraud_detect import (
        data,
        features,
        networks,
        results,
        transactions,
    )


@dataclasses.dataclass(frozen=True)
class DataOptions(options.Options):
    """What is read, what trains and tests, and what alerts cost."""

    protocol: str = option(
        "time",
        "what trains and what tests.",
        choices=("time", "handbook_p1", "handbook_p2", "handbook_p3"),
        data=True,
    )
    time_column: str = option(
        "TX_DATETIME", "date and time, or seconds.", data=True
    )
    customer_column: str = option("CUSTOMER_ID", "who pays.", data=True)
    terminal_column: str = option("TERMINAL_ID", "where.", data=True)
    amount_column: str = option("TX_AMOUNT", "how much.", data=True)
    label_column: str = option(
        "TX_FRAUD", "1 for fraud, 0 for none.", data=True
    )
    id_column: str = option(
        "TRANSACTION_ID", "unique; rows if absent.", data=True
    )
    on_bad_input: str = option(
        "fail", "what to do with bad rows.", choices=("fail", "skip"), data=True
    )
    extended: bool = option(
        False, "ten features more than the Handbook's 15.", data=True
    )
    delay: int = option(7, "days until labels are known.", minimum=0, data=True)
    train_days: int = option(
        0,
        "days that train, with --protocol=time; 0 for all.",
        minimum=0,
        data=True,
    )
    test_days: int = option(
        7, "days that test, and that validate, likewise.", minimum=1, data=True
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

    def columns(self) -> "transactions.Columns":
        """Returns the names in the user's table."""
        return transactions.Columns(
            self.time_column,
            self.customer_column,
            self.terminal_column,
            self.amount_column,
            self.label_column,
            self.id_column,
        )

    def plan(self, steps: int) -> "data.Plan":
        """Returns how data become folds, of sequences if there are steps."""
        return data.Plan(
            self.columns(),
            self.protocol,
            features.EXTENDED if self.extended else features.NAMES,
            self.delay,
            self.train_days,
            self.test_days,
            steps,
            self.on_bad_input == "skip",
            self.data_dir,
        )

    def costs(self) -> "results.Costs":
        """Returns what alerts are judged by."""
        return results.Costs(
            self.alerts, self.top_cards, self.miss_cost, self.alert_cost
        )


@dataclasses.dataclass(frozen=True)
class NetworkOptions(DataOptions):
    """How large the networks are."""

    units: tuple[str, ...] = option(("64", "32"), "widths of hidden layers.")
    code: int = option(
        4, "width of the autoencoder's code.", minimum=1, maximum=4096
    )
    autoencoder_units: tuple[str, ...] = option(
        ("32",), "widths of its hidden layers, up to the code."
    )
    corruption: float = option(
        0.5, "part of its inputs hidden in training.", minimum=0.0, maximum=0.9
    )
    errors: str = option(
        "above",
        "which of its errors are suspicious.",
        choices=("above", "both"),
    )
    members: int = option(1, "networks to average.", minimum=1, maximum=100)
    bins: int = option(16, "bins of each quantity.", minimum=2, maximum=4096)
    dropout: float = option(
        0.3, "part of hidden units dropped.", minimum=0.0, maximum=0.9
    )

    def __post_init__(self) -> None:
        """Checks the widths too."""
        super().__post_init__()
        for name in ("units", "autoencoder_units"):
            widths(name, getattr(self, name))

    def sizes(self) -> "networks.Sizes":
        """Returns how large the networks are."""
        return networks.Sizes(
            self.bins, widths("units", self.units),
            widths("autoencoder_units", self.autoencoder_units),
            self.code, self.members, self.dropout, self.errors,
        )  # fmt: skip


def widths(name: str, value: tuple[str, ...]) -> list[int]:
    """Returns the widths in the option called `name`.

    Raises:
        InputError: If they are no widths.
    """
    # At most four digits: no layer is wider, and "²" is none that int() knows.
    if not value or not all(re.fullmatch("[1-9][0-9]{0,3}", v) for v in value):
        raise InputError(
            f"--{name} must be widths such as 64,32, up to 9999; received "
            f"{quote(','.join(value))}."
        )
    return [int(one) for one in value]
