"""The feature table again, slow and obviously right; tiny tables of text."""

import itertools
from pathlib import Path

import numpy as np

from apps.fraud_detect import features
from apps.fraud_detect.transactions import DAY, Transactions
from common.data.datasets.simulated_transactions import simulator

FIRST_DAY = 17_622


def simulated(seed: int = 0, **world) -> Transactions:
    """Returns a small simulated table."""
    sizes = {"customers": 60, "terminals": 40, "days": 60, "radius": 30.0}
    column = simulator.simulate(simulator.World(**{**sizes, **world}), seed)
    customers, customer = np.unique(column["customer"], return_inverse=True)
    terminals, terminal = np.unique(column["terminal"], return_inverse=True)
    return Transactions(
        column["time"], customer, terminal, column["amount"],
        column["fraud"].astype(np.int8), np.arange(len(customer)), customers,
        terminals, np.empty((len(customer), 0)),
    )  # fmt: skip


def row_features(table: Transactions, row: int, delay: int) -> list[float]:
    """Returns `EXTENDED` of one row by looking at every earlier row."""
    time, weekday = table.time[row], (table.time[row] // DAY + 3) % 7
    hour = table.time[row] % DAY // 3600
    found = [table.amount[row], float(weekday >= 5), float(hour <= 6)]
    mine = np.flatnonzero(table.customer[: row + 1] == table.customer[row])
    here = np.flatnonzero(table.terminal == table.terminal[row])
    for days in features.WINDOWS:
        seen = [i for i in mine if time - days * DAY < table.time[i] <= time]
        found += [len(seen), np.mean(table.amount[seen])]
    last = time - delay * DAY
    for days in features.WINDOWS:
        seen = [i for i in here if last - days * DAY < table.time[i] <= last]
        found += [len(seen), np.mean(table.fraud[seen]) if seen else 0.0]
    before = [i for i in mine[:-1] if table.time[i] > time - 30 * DAY]
    past = [
        i for i in mine if time - 60 * DAY < table.time[i] <= time - 14 * DAY
    ]
    for rows in (before, past):
        found.append(np.mean(table.amount[rows]) if rows else found[8])
    bad = [i for i in seen if table.fraud[i]]
    found += [40.0, 40.0, 40.0]
    if bad:
        found[-3:-1] = [(time - table.time[i]) / DAY for i in (bad[0], bad[-1])]
        found[-1] = min(len([i for i in seen if i > bad[-1]]), 40)
    recent = [i for i in mine[:-1] if table.time[i] > time - 14 * DAY]
    found.append(len([i for i in recent if _is_unusual(table, i)]))
    usual = [i for i in bad if not _is_unusual(table, i)]
    found += [40.0, 40.0]
    if usual:
        later = [i for i in seen if i > usual[0] and not table.fraud[i]]
        found[-2:] = [(time - table.time[usual[0]]) / DAY, min(len(later), 40)]
    run = list(itertools.takewhile(lambda i: table.fraud[i], reversed(seen)))
    since = (time - table.time[run[-1]]) / DAY if run else 40.0
    return [*found, len(run), since]


def _is_unusual(table: Transactions, row: int) -> bool:
    """Tells whether an amount is far above the customer's month before."""
    mine = np.flatnonzero(table.customer[:row] == table.customer[row])
    before = [i for i in mine if table.time[i] > table.time[row] - 30 * DAY]
    return bool(before) and table.amount[row] > 2.5 * np.mean(
        table.amount[before]
    )


def write_csv(path: Path, table: Transactions) -> None:
    """Writes a table as a user would hand it in, with the Handbook's names."""
    lines = [
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    ]
    for row in range(len(table)):
        moment = str(np.datetime64(int(table.time[row]), "s")).replace("T", " ")
        lines.append(
            f"{table.ids[row]},{moment},c{table.customer[row]},"
            f"t{table.terminal[row]},{table.amount[row]:.2f},{table.fraud[row]}"
        )
    path.write_text("\n".join(lines) + "\n")
