"""A simulator of card transactions with three kinds of fraud.

The rules follow the Fraud Detection Handbook (Le Borgne et al., 2022, chapter
3): customers and terminals have places in a plane, a customer pays at terminals
nearby, and the amounts follow the customer's own habit. Frauds are

1. all payments above a limit that honest customers do not reach;
2. for some weeks, all payments at a terminal that was broken into;
3. for two weeks, a third of the payments with a stolen card, each five times as
   large as the owner's would be.

All payments are drawn here with NumPy; none is taken from the Handbook's data.
"""

import dataclasses

import numpy as np

DAY = 86_400
LIMIT = 220.0  # The limit of amounts in scenario 1.


@dataclasses.dataclass(frozen=True)
class World:
    """The size of the simulated world.

    Attributes:
        customers: The number of customers.
        terminals: The number of terminals.
        days: The number of days.
        radius: The greatest distance from a customer's home to a terminal that
            the customer uses, in a plane of 100 by 100.
        broken: The mean number of terminals that are broken into each day.
        broken_days: The days for which such a terminal is misused.
        stolen: The mean number of cards that are stolen each day.
        stolen_days: The days for which a stolen card is misused.
    """

    customers: int = 1000
    terminals: int = 2000
    days: int = 75
    radius: float = 8.0
    broken: float = 0.6
    broken_days: int = 28
    stolen: float = 0.8
    stolen_days: int = 14


def simulate(
    world: World, seed: int, first_day: int = 17_622
) -> dict[str, np.ndarray]:
    """Returns columns of transactions in the order of time.

    Args:
        world: The size of the world.
        seed: Fixes all random numbers.
        first_day: Days since 1970-01-01; by default 2018-04-01.

    Returns:
        `time` (seconds, int64), `customer` and `terminal` (int64), `amount`
        (float64, two decimals), `fraud` and `scenario` (int64).
    """
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0, 4, world.customers)  # Payments a day.
    mean = rng.uniform(5, 100, world.customers)
    counts = rng.poisson(rate[:, None], (world.customers, world.days))
    customer = np.repeat(np.arange(world.customers), counts.sum(axis=1))
    days = np.tile(np.arange(world.days), world.customers)
    day = np.repeat(days, counts.ravel())
    num = len(customer)
    # Payments are most frequent around noon.
    moment = np.clip(rng.normal(DAY / 2, 20_000, num), 0, DAY - 1).astype("i8")
    amount = np.abs(rng.normal(mean[customer], mean[customer] / 2))
    columns = {
        "time": (day + first_day) * DAY + moment,
        "customer": customer,
        "terminal": _terminals(rng, world, customer),
        "amount": np.round(amount, 2),
        "scenario": np.zeros(num, np.int64),
    }
    _commit_frauds(rng, world, columns, day)
    columns["fraud"] = (columns["scenario"] > 0).astype(np.int64)
    order = np.argsort(columns["time"], kind="stable")
    return {name: array[order] for name, array in columns.items()}


def _terminals(
    rng: np.random.Generator, world: World, customer: np.ndarray
) -> np.ndarray:
    """Returns each transaction's terminal, which is near the home."""
    homes = rng.uniform(0, 100, (world.customers, 2))
    places = rng.uniform(0, 100, (world.terminals, 2))
    terminals = np.empty(len(customer), np.int64)
    starts = np.searchsorted(customer, np.arange(world.customers + 1))
    for index, home in enumerate(homes):
        away = np.hypot(*(places - home).T)
        near = np.flatnonzero(away < world.radius)
        if not len(near):
            near = np.array([np.argmin(away)])
        rows = slice(starts[index], starts[index + 1])
        terminals[rows] = rng.choice(near, starts[index + 1] - starts[index])
    return terminals


def _commit_frauds(
    rng: np.random.Generator,
    world: World,
    columns: dict[str, np.ndarray],
    day: np.ndarray,
) -> None:
    """Adds the three scenarios to `columns`, in place."""
    amount, scenario = columns["amount"], columns["scenario"]
    scenario[amount > LIMIT] = 1
    for start in range(world.days):
        for terminal in rng.integers(0, world.terminals,
                                     rng.poisson(world.broken)):  # fmt: skip
            lasts = (day >= start) & (day < start + world.broken_days)
            scenario[lasts & (columns["terminal"] == terminal)] = 2
        for customer in rng.integers(0, world.customers,
                                     rng.poisson(world.stolen)):  # fmt: skip
            lasts = (day >= start) & (day < start + world.stolen_days)
            rows = np.flatnonzero(lasts & (columns["customer"] == customer))
            rows = rows[rng.random(len(rows)) < 1 / 3]
            amount[rows] = np.round(amount[rows] * 5, 2)
            scenario[rows] = 3
