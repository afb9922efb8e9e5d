"""The feature table and the state that serving keeps."""

import dataclasses

import fraud_reference
import numpy as np
import pytest

from apps.fraud_detect import features
from apps.fraud_detect.history import History
from apps.fraud_detect.transactions import DAY
from common.options import InputError


@pytest.fixture(scope="module")
def table():
    return fraud_reference.simulated()


@pytest.mark.parametrize("delay", [0, 7])
def test_features_equal_a_slow_reference(table, delay) -> None:
    values = features.compute(table, delay, names=features.EXTENDED)
    assert values.shape == (len(table), 25) and values.dtype == np.float32
    np.testing.assert_array_equal(
        values[:, :15], features.compute(table, delay)
    )
    for row in np.random.default_rng(1).integers(0, len(table), 300):
        expected = fraud_reference.row_features(table, row, delay)
        np.testing.assert_allclose(values[row], expected, rtol=1e-6, atol=1e-6)


def test_transactions_in_the_same_second_keep_their_order(table) -> None:
    coarse = dataclasses.replace(table, time=table.time // DAY * DAY)
    values = features.compute(coarse, 7, names=features.EXTENDED)
    for row in range(len(table) - 200, len(table)):
        expected = fraud_reference.row_features(coarse, row, 7)
        np.testing.assert_allclose(values[row], expected, rtol=1e-6, atol=1e-6)


def test_the_future_changes_nothing(table) -> None:
    """Later amounts, places and labels shuffled; late labels too."""
    cut = len(table) // 2
    rng, names = np.random.default_rng(0), features.EXTENDED
    values = features.compute(table, 7, names=names)
    changed = {
        name: getattr(table, name).copy()
        for name in ("customer", "terminal", "amount", "fraud")
    }
    for array in changed.values():
        array[cut:] = rng.permutation(array[cut:])
    # Labels of the last seven days before the cut are not known there yet.
    unknown = np.flatnonzero(table.time > table.time[cut - 1] - 7 * DAY)
    changed["fraud"][unknown] = rng.integers(0, 2, len(unknown))
    other = dataclasses.replace(table, **changed)
    again = features.compute(other, 7, names=names)
    np.testing.assert_array_equal(values[:cut], again[:cut])
    assert not np.array_equal(values[cut:], again[cut:])


def test_part_of_a_table_is_the_end_of_the_whole(table) -> None:
    values = features.compute(table, 7)
    np.testing.assert_array_equal(features.compute(table, 7, 900), values[900:])


def stream(history: History, rest) -> np.ndarray:
    return np.stack(
        [
            history.add(
                int(rest.time[row]),
                rest.customers[rest.customer[row]].item(),
                rest.terminals[rest.terminal[row]].item(),
                float(rest.amount[row]),
                rest.ids[row].item(),
            )
            for row in range(len(rest))
        ]
    )


@pytest.mark.parametrize("names", [features.NAMES, features.EXTENDED])
def test_one_at_a_time_equals_the_batch(
    table, tmp_path, monkeypatch, names
) -> None:
    monkeypatch.setattr("apps.fraud_detect.history.ROOM", 50)
    week = np.flatnonzero(table.time >= (table.day[-1] - 6) * DAY)
    before = table.pick(slice(0, week[0]))
    History(before, 7, names).save(tmp_path / "history.npz")
    history = History.load(tmp_path / "history.npz")
    values = stream(history, table.pick(week))
    np.testing.assert_array_equal(
        values, features.compute(table, 7, names=names)[week]
    )
    # What no window reaches any more was let go.
    days = features.reach(7, names) + 1
    assert history.table().time[0] > table.time[week[0]] - days * DAY


def test_labels_that_come_later_count_from_then_on(table) -> None:
    start = int(np.searchsorted(table.time, (table.day[0] + 40) * DAY))
    unknown = dataclasses.replace(table, fraud=table.fraud.copy())
    unknown.fraud[start - 300 : start] = 0
    history = History(unknown.pick(slice(0, start)), 0)
    for row in range(start - 300, start):
        history.label(table.ids[row].item(), int(table.fraud[row]))
    values = stream(history, table.pick(slice(start, start + 1)))
    expected = features.compute(table, 0)[start]
    # With no delay, the batch knows the new one's own label too.
    own = [i for i, name in enumerate(features.NAMES) if "risk" in name]
    np.testing.assert_array_equal(
        np.delete(values[0], own), np.delete(expected, own)
    )
    with pytest.raises(InputError, match="no transaction -5"):
        history.label(-5, 1)
    with pytest.raises(InputError, match="order of time"):
        history.add(0, 1, 1, 5.0, 10**6)


def test_customers_never_seen_before_have_features(table) -> None:
    history = History(table, 7)
    values = history.add(int(table.time[-1]) + 1, 10**6, 10**6, 12.5, -1)
    named = dict(zip(features.NAMES, values, strict=True))
    assert named["customer_count_30d"] == 1
    assert named["customer_mean_30d"] == 12.5
    assert named["terminal_count_30d"] == named["terminal_risk_30d"] == 0
