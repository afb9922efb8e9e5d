"""Real size: the Handbook's 1,754,155 transactions, with the floors that the
README's claims stand on."""

import os
from pathlib import Path

import flagfiles
import fraud_reference
import numpy as np
import pytest

from apps.fraud_detect import baselines, data, features, protocols
from apps.fraud_detect import train as app
from apps.fraud_detect.history import History
from apps.fraud_detect.settings import DataOptions
from apps.fraud_detect.transactions import read
from common import runtime

pytestmark = pytest.mark.large
DELAY = 7


@pytest.fixture(scope="module")
def path() -> str:
    file = os.environ.get("HANDBOOK_TRANSACTIONS", "")
    if not Path(file).is_file():
        pytest.skip("set HANDBOOK_TRANSACTIONS to the Handbook's transactions")
    return file


@pytest.fixture(scope="module")
def table(path):
    transactions, *_ = read(path, DataOptions().column_names(), skip_bad=False)
    assert len(transactions) == 1_754_155
    return transactions


@pytest.fixture(scope="module")
def raw(table):
    return features.compute(table, DELAY, names=features.EXTENDED)


def test_the_feature_table_equals_a_slow_reference(table, raw) -> None:
    rng = np.random.default_rng(0)
    customers, terminals = rng.integers(0, 4000, 8), rng.integers(0, 9000, 8)
    near = np.isin(table.customer, customers) | np.isin(
        table.terminal, terminals
    )
    for row in rng.permutation(np.flatnonzero(near))[:400]:
        expected = fraud_reference.row_features(table, row, DELAY)
        np.testing.assert_allclose(raw[row], expected, rtol=1e-5, atol=1e-6)


def test_the_test_week_one_at_a_time_equals_the_batch(table, raw) -> None:
    weeks = protocols.PROTOCOLS["handbook_p1"][0]
    fold = protocols.handbook_fold(table, *weeks, DELAY)
    start, end = int(fold.test[0]), int(fold.test[-1]) + 1
    history = History(table.pick(slice(0, start)), DELAY, features.EXTENDED)
    wrong = 0
    for row in range(start, end):
        values = history.add(
            int(table.time[row]),
            table.customers[table.customer[row]].item(),
            table.terminals[table.terminal[row]].item(),
            float(table.amount[row]),
            table.ids[row].item(),
        )
        wrong += not np.array_equal(values, raw[row])
    assert wrong == 0 and end - start > 60_000


def test_the_same_baselines_have_the_handbooks_figures(path) -> None:
    plan = DataOptions(protocol="handbook_p1").plan(0)
    loaded = data.load(path, plan)
    splits = loaded.folds[0].splits
    assert splits.describe() == {
        "name": Path(path).name, "train": 67_240, "valid": 57_800,
        "test": 58_264,
    }  # fmt: skip
    rows = {
        row["name"]: row["metrics"] for row in baselines.measure(loaded, 0, 100)
    }
    published = {
        "logistic regression": (0.871, 0.606, 0.291),
        "random forest": (0.867, 0.658, 0.287),
    }
    keys = ("auc_roc", "average_precision", "card_precision@100")
    for name, figures in published.items():
        for key, figure in zip(keys, figures, strict=True):
            assert rows[name][key] == pytest.approx(figure, abs=0.002), name


@pytest.mark.parametrize(
    ("name", "changes", "floors"),
    [
        (
            "fraud_detect_handbook_p1.flags",
            {},
            {
                "auc_roc": 0.89,
                "average_precision": 0.725,
                "card_precision@100": 0.298,
            },
        ),
        (
            "fraud_detect_handbook_p2.flags",
            {"epochs": 4},  # A third of the published setting's.
            {
                "auc_roc": 0.836,
                "average_precision": 0.30,
                "card_precision@100": 0.22,
            },
        ),
        pytest.param(
            "fraud_detect_handbook_p3.flags",
            {"members": 2},  # A quarter.
            {
                "auc_roc": 0.879,
                "average_precision": 0.71,
                "card_precision@100": 0.305,
            },
            marks=pytest.mark.by_hand,
        ),
    ],
)
def test_published_settings(
    path, tmp_path, monkeypatch, name, changes, floors
) -> None:
    monkeypatch.chdir(tmp_path)
    options = flagfiles.read(
        app.Config,
        name,
        dataset=path,
        baselines=False,
        variants=("float32", "dynamic"),
        **changes,
    )
    runtime.start(options.seed)
    result = app.run(options)
    for metric, floor in floors.items():
        assert result["metrics"]["test"][metric] >= floor, metric
    (chosen,) = (row for row in result["variants"] if row["chosen"])
    assert chosen["drop"] <= 0.005
