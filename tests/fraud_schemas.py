"""Four tables as the public has them, rebuilt small.

The cause of the frauds is known, so that a model must beat chance by far. Each
table has what its kind has: gaps, categories, strings, hours, dates.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv


def paysim(path: Path, num: int = 12_000) -> None:
    """Writes payments as PaySim does: an hour, a type, balances, two names."""
    random = np.random.default_rng(0)
    step = np.sort(random.integers(1, 24 * 40, num))
    kind = random.choice(
        ["CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER"], num
    )
    amount = np.round(random.lognormal(5, 1, num), 2)
    old = np.round(amount * random.uniform(1, 5, num), 2)
    may_be = np.isin(kind, ["CASH_OUT", "TRANSFER"])
    fraud = may_be & (random.random(num) < 0.08)
    old[fraud] = amount[fraud]  # The account is emptied.
    table = {
        "step": step,
        "type": kind,
        "amount": amount,
        "nameOrig": [f"C{i}" for i in random.integers(0, 400, num)],
        "oldbalanceOrg": old,
        "newbalanceOrig": np.round(old - amount, 2),
        "nameDest": [f"M{i}" for i in random.integers(0, 200, num)],
        "isFraud": fraud.astype(int),
        "isFlaggedFraud": np.zeros(num, int),
    }
    csv.write_csv(pa.table(table), path)


def cards(path: Path, num: int = 6_000) -> None:
    """Writes the card set of 28 components, with gaps."""
    random = np.random.default_rng(1)
    fraud = random.random(num) < 0.03
    values = random.normal(0, 1, (num, 28)) + fraud[:, None] * np.linspace(
        2, 0, 28
    )
    values[random.random(values.shape) < 0.05] = np.nan
    table: dict[str, object] = {
        "Time": np.sort(random.integers(0, 172_800, num))
    }
    table |= {
        f"V{i + 1}": pa.array(values[:, i], from_pandas=True) for i in range(28)
    }
    table["Amount"] = np.round(random.lognormal(3, 1, num), 2)
    table["Class"] = fraud.astype(int)
    csv.write_csv(pa.table(table), path)


def claims(path: Path, num: int = 6_000) -> None:
    """Writes an insurer's claims: ten categories, yes or no, no time."""
    random = np.random.default_rng(2)
    table: dict[str, object] = {"Policy Number": np.arange(num) + 500_000}
    risk = np.full(num, -4.0)
    for index in range(10):
        codes = random.integers(0, 3 + index, num)
        risk += np.where(codes == 0, 1.5, 0.0) * (index < 3)
        cells = np.array([f"kind {code}" for code in codes], object)
        cells[random.random(num) < 0.03] = "?"
        table[f"Category {index}"] = cells.tolist()
    table["Monthly Premium"] = [
        f"${value:,.2f}" for value in random.uniform(500, 3000, num)
    ]
    fraud = random.random(num) < 1 / (1 + np.exp(-risk))
    table["Fraud Reported"] = np.where(fraud, "Y", "N")
    csv.write_csv(pa.table(table), path)


def orders(path: Path, num: int = 6_000) -> None:
    """Writes a shop's orders: customers, no terminals, strings and dates."""
    random = np.random.default_rng(3)
    start = np.datetime64("2021-03-01T00:00:00")
    when = start + np.sort(random.integers(0, 40 * 86_400, num)).astype("m8[s]")
    born = np.datetime64("1990-01-01") + random.integers(0, 9_000, num)
    device = random.choice(["iOS", "Android", "Windows", None], num)
    night = when.astype("datetime64[h]").astype(int) % 24 < 6
    fraud = random.random(num) < np.where(
        (device == "Android") & night, 0.4, 0.01
    )
    table = {
        "order_id": [f"o-{i}" for i in range(num)],
        "ordered_at": [str(value).replace("T", " ") for value in when],
        "customer": [f"c{i}" for i in random.integers(0, 300, num)],
        "total": np.round(random.lognormal(4, 1, num), 2),
        "device": pa.array(device.tolist()),
        "ship city": random.choice(["Wien", "Graz", "Linz, OÖ"], num),
        "signed_up": [str(value) for value in born],
        "label": np.where(fraud, "true", "false"),
    }
    csv.write_csv(pa.table(table), path)


OPTIONS = {
    "paysim": {
        "time_column": "step",
        "time_unit": "hours",
        "customer_column": "nameOrig",
        "terminal_column": "nameDest",
        "amount_column": "amount",
        "label_column": "isFraud",
        "ignore_columns": ("isFlaggedFraud",),
    },
    "cards": {},
    "claims": {
        "label_column": "Fraud Reported",
        "ignore_columns": ("Policy Number",),
    },
    "orders": {
        "time_column": "ordered_at",
        "customer_column": "customer",
        "amount_column": "total",
        "label_column": "label",
        "id_column": "order_id",
    },
}
WRITERS = {"paysim": paysim, "cards": cards, "claims": claims, "orders": orders}
