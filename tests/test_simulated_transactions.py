"""The embedded simulation of card transactions."""

import numpy as np

from apps.fraud_detect import data
from common.data.datasets.simulated_transactions import simulator

SMALL = simulator.World(customers=100, terminals=80, days=50, radius=20.0)


def test_the_same_seed_gives_the_same_payments_in_the_order_of_time() -> None:
    one, same = (simulator.simulate(SMALL, 3) for _ in range(2))
    for name, array in one.items():
        np.testing.assert_array_equal(array, same[name])
    assert np.all(np.diff(one["time"]) >= 0)
    other = simulator.simulate(SMALL, 4)
    assert len(other["time"]) != len(one["time"])


def test_the_three_frauds_are_what_they_are_said_to_be() -> None:
    column = simulator.simulate(SMALL, 0)
    scenario, day = column["scenario"], column["time"] // simulator.DAY
    np.testing.assert_array_equal(column["fraud"], scenario > 0)
    honest = column["amount"][scenario == 0]
    assert honest.max() <= simulator.LIMIT and honest.min() >= 0
    assert np.all(column["amount"][scenario == 1] > simulator.LIMIT)
    for terminal in np.unique(column["terminal"][scenario == 2]):
        there = column["terminal"] == terminal
        days = day[there & (scenario == 2)]
        # While it lasts, all is fraud that happens there.
        within = there & (day > days.min()) & (day < days.min() + 5)
        assert np.all(column["fraud"][within])
    stolen = column["amount"][scenario == 3].mean()
    assert stolen > 3 * honest.mean()
    # Customers pay where they live.
    places = [
        len(np.unique(column["terminal"][column["customer"] == one]))
        for one in range(20)
    ]
    assert max(places) < 40


def test_the_builder_stores_what_is_simulated(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulator, "World", lambda: SMALL)
    found = data.simulated("simulated_transactions")
    column = simulator.simulate(SMALL, 2022)
    np.testing.assert_array_equal(found.time, column["time"])
    np.testing.assert_array_equal(found.fraud, column["fraud"])
    np.testing.assert_array_equal(
        found.customers[found.customer], column["customer"]
    )
    assert not (tmp_path / "saved_models").exists()
