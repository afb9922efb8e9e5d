"""Reading, protocols and metrics of fraud_detect."""

import dataclasses

import fraud_reference
import numpy as np
import pytest

from apps.fraud_detect import data, protocols, ranking, sequences
from apps.fraud_detect.own_columns import Column
from apps.fraud_detect.settings import DataOptions
from apps.fraud_detect.transactions import DAY, read, seconds
from common.options import InputError

HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
COLUMNS = DataOptions().column_names()
PLAN = DataOptions().plan(0)
OWN = (Column("V1", "number"), Column("V2", "number"))


@pytest.fixture
def table_of(tmp_path):
    def write(*rows: str, header: str = HEADER):
        path = tmp_path / "t.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


GOOD = "1,2018-04-01 10:00:00,a,x,5.5,0"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2,yesterday,a,x,5,0", "TX_DATETIME must be a date and time.*row 2"),
        ("2,,a,x,5,0", "TX_DATETIME must be a date and time"),
        ("2,2018-04-01 11:00:00,a,x,-5,0", "TX_AMOUNT must not be negative"),
        ("2,2018-04-01 11:00:00,a,x,,0", "TX_AMOUNT must be a number"),
        ("2,2018-04-01 11:00:00,a,x,five,0", "must be a number.*'five'"),
        ("1,2018-04-01 11:00:00,a,x,5,0", "TRANSACTION_ID must be unique"),
        ("2,2018-04-01 11:00:00,,x,5,0", "CUSTOMER_ID must not be empty"),
        ("2,2018-04-01 11:00:00,a,x,5,2", "TX_FRAUD must be 0 or 1"),
        (f"{2**64},2018-04-01 11:00:00,a,x,5,0", "lose their last digits"),
        (f"2,{'x' * 70_000},a,x,5,0", "date and time.* x{20}"),
        (
            f"2,2018-04-01 11:00:00,{'x' * 70_000},x,5,0",
            "CUSTOMER_ID must have at most 200 characters",
        ),
    ],
    ids=lambda text: text[:60],
)
def test_bad_rows_are_named_or_left_out_and_counted(
    table_of, row, words
) -> None:
    path = table_of(GOOD, row)
    with pytest.raises(InputError, match=words) as caught:
        read(path, COLUMNS, skip_bad=False)
    assert "\n" not in str(caught.value)
    table, _, notes, *_ = read(path, COLUMNS, skip_bad=True)
    assert len(table) == 1 and table.amount[0] == 5.5
    assert len(notes) == 1 and notes[0].startswith("1 rows left out")


@pytest.mark.parametrize("time", [2**53 + 1, 2**63 - 1, 10**30])
def test_times_beyond_all_calendars_are_refused(table_of, time) -> None:
    path = table_of("1,100,a,x,5.5,0", f"2,{time},a,x,5,0")
    with pytest.raises(InputError, match=r"must be seconds.*row 2"):
        read(path, COLUMNS, skip_bad=False)


@pytest.mark.parametrize(
    ("trained", "date", "day"),
    [("25/07/2018", "3/4/2018", "2018-04-03"),
     ("7/25/2018", "3/4/2018", "2018-03-04")],
)  # fmt: skip
def test_the_form_of_times_and_amounts_is_kept_for_new_tables(
    table_of, trained, date, day
) -> None:
    """A day's few transactions would not tell it."""
    path = table_of(f'1,{trained},a,x,"1.234,50",0')
    columns = read(path, COLUMNS, skip_bad=False).columns
    new = table_of(f"2,{date},a,x,1.234,0")
    table = read(new, columns, skip_bad=False).transactions
    assert table.time[0] == seconds(day) and table.amount[0] == 1234
    with pytest.raises(InputError, match=r"one reading.*--date_order"):
        read(new, COLUMNS, skip_bad=False)


def test_hours_without_a_day_are_refused(table_of) -> None:
    with pytest.raises(InputError, match="must be a date and time"):
        read(table_of("1,13:05:00,a,x,5.5,0"), COLUMNS, skip_bad=False)


def test_amounts_above_two_to_the_53_are_the_nearest_float(table_of) -> None:
    path = table_of(GOOD, f"2,2018-04-01 11:00:00,a,x,{2**53 + 1},0")
    table, *_ = read(path, COLUMNS, skip_bad=False)
    assert table.amount[1] == 2.0**53


def test_rows_out_of_order_are_sorted_and_reported(table_of) -> None:
    path = table_of(GOOD, "2,2018-03-01 10:00:00,b,y,7,1")
    table, _, notes, *_ = read(path, COLUMNS, skip_bad=False)
    assert table.ids.tolist() == [2, 1] and table.fraud.tolist() == [1, 0]
    assert table.customers[table.customer].tolist() == ["b", "a"]
    assert notes == [
        "1 rows came before an earlier one; all were sorted by time."
    ]


def test_rows_of_one_time_are_in_the_order_of_their_ids(table_of) -> None:
    path = table_of("3" + GOOD[1:], "2" + GOOD[1:], GOOD)
    table, _, notes, *_ = read(path, COLUMNS, skip_bad=False)
    assert table.ids.tolist() == [1, 2, 3] and not notes


def test_a_missing_column_is_named(table_of) -> None:
    path = table_of("1,a", header="TX_DATETIME,CUSTOMER_ID")
    with pytest.raises(InputError, match="one column called TX_AMOUNT"):
        data.load(str(path), DataOptions().plan(0))


def test_times_may_be_seconds_and_columns_have_other_names(table_of) -> None:
    path = table_of("60,1,2,3,0", header="t,who,where,paid,bad")
    columns = DataOptions(
        time_column="t", customer_column="who", terminal_column="where",
        amount_column="paid", label_column="bad",
    ).column_names()  # fmt: skip
    table, *_ = read(path, dataclasses.replace(columns, id=""), False)
    assert table.time.tolist() == [60]
    assert table.customers.tolist() == ["1"]  # An id, though all digits.


def test_the_card_set_is_read_without_any_option(table_of) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{i * 100},{rng.normal():.3f},{rng.normal():.3f},{i % 90},{i % 5 // 4}"
        for i in reversed(range(100))
    ]
    path = table_of(*rows, header="Time,V1,V2,Amount,Class")
    loaded = data.load(str(path), DataOptions().plan(0))
    assert loaded.names == ("V1", "V2", "Amount") and loaded.history is None
    splits = loaded.folds[0].splits
    assert splits.describe() == {
        "name": "t.csv", "train": 60, "valid": 20, "test": 20,
    }  # fmt: skip
    # In the order of time, though the file is not.
    assert splits.train.features[:3, 2].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="must be time"):
        data.load(str(path), DataOptions(protocol="handbook_p1").plan(0))


def test_a_release_judges_all_rows_of_ready_made_features(table_of) -> None:
    """By the release's features, whatever else the table has, in any order."""
    rows = [f"{i * 100},note,{i % 2},{i},{i / 10}" for i in reversed(range(9))]
    path = table_of(*rows, header="Time,other,Class,V2,V1")
    plan = DataOptions().plan(0)
    loaded = data.load_for_evaluation(str(path), plan, OWN, None)
    (fold,) = loaded.folds
    assert (loaded.names, fold.splits.judged) == (("V1", "V2"), "all")
    assert fold.splits.describe()["test"] == 9
    assert fold.splits.train.num_examples == len(fold.valid.fraud) == 0
    assert fold.splits.test.features[2].tolist() == pytest.approx([0.2, 2])
    assert fold.test.fraud.tolist() == [0, 1] * 4 + [0]
    more = (*OWN, Column("V3", "number"))
    with pytest.raises(InputError, match="one column called V3"):
        data.load_for_evaluation(str(path), plan, more, None)


@pytest.mark.parametrize("name", ["nothing", "some/folder", "digits"])
def test_data_that_are_no_table_are_refused(name) -> None:
    with pytest.raises(InputError, match="--dataset must be a file"):
        data.load(name, DataOptions().plan(0))


def test_days_outside_the_data_are_refused() -> None:
    table = fraud_reference.simulated(days=20)
    with pytest.raises(InputError, match="must span 29 days"):
        data.of_transactions(table, (), "x", PLAN, COLUMNS)
    with pytest.raises(InputError, match="week of 2018-07-25"):
        plan = DataOptions(protocol="handbook_p1").plan(0)
        data.of_transactions(table, (), "x", plan, COLUMNS)


def test_the_handbooks_split_rule() -> None:
    """Against a slow reading of facts: no known compromised customer."""
    table = fraud_reference.simulated(days=60, stolen=3.0)
    fold = protocols.handbook_fold(
        table, "2018-05-01", "2018-04-24", "2018-05-15", 7
    )
    train, test = seconds("2018-05-01") // DAY, seconds("2018-05-15") // DAY
    assert set(table.day[fold.train]) == set(range(train, train + 7))
    expected = []
    bad = table.fraud == 1
    known = set(table.customer[bad & (table.day // 1 - train < 7)
                               & (table.day >= train)])  # fmt: skip
    for day in range(7):
        known |= set(table.customer[bad & (table.day == train + 7 + day - 1)])
        expected += [
            row
            for row in np.flatnonzero(table.day == test + day)
            if table.customer[row] not in known
        ]
    assert fold.test.tolist() == expected
    assert len(expected) < np.sum((table.day >= test) & (table.day < test + 7))


def test_a_split_by_time_leaves_room_for_the_labels() -> None:
    table = fraud_reference.simulated(days=60)
    fold = protocols.time_fold(table, train_days=10, test_days=5, delay=3)
    last = table.day[-1]
    assert set(table.day[fold.test]) <= set(range(last - 4, last + 1))
    assert set(table.day[fold.valid]) <= set(range(last - 12, last - 7))
    assert set(table.day[fold.train]) == set(range(last - 25, last - 15))
    longest = protocols.time_fold(table, train_days=0, test_days=5, delay=3)
    assert table.day[longest.train[0]] == table.day[0]
    assert longest.train[-1] == fold.train[-1]


def test_sequences_are_a_customers_own_and_recent() -> None:
    table = fraud_reference.simulated()
    rows = sequences.previous(table, 4)
    for row in range(0, len(table), 97):
        expected = [
            i for i in range(row + 1)
            if table.customer[i] == table.customer[row]
            and table.time[i] > table.time[row] - sequences.STEPS_WITHIN * DAY
        ][-4:]  # fmt: skip
        assert rows[row].tolist() == [-1] * (4 - len(expected)) + expected


class TestRanking:
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    fraud = np.array([1, 0, 0, 1, 0, 1])
    customer = np.array([0, 1, 1, 0, 2, 2])
    day = np.array([0, 0, 0, 1, 1, 1])

    def test_cards_that_are_found_leave_the_later_days(self) -> None:
        # Day 0: card 0 first, a fraud. Day 1: card 2 alone, a fraud.
        precision = ranking.card_precision(
            self.score, self.fraud, self.customer, self.day, 1
        )
        assert precision == 1.0
        precision = ranking.card_precision(
            self.score, self.fraud, self.customer, self.day, 2
        )
        assert precision == pytest.approx((1 / 2 + 1 / 2) / 2)

    def test_the_threshold_gives_the_budget(self) -> None:
        limit = ranking.threshold(self.score, self.day, 2)
        assert limit == 0.6
        figures = ranking.at_threshold(self.score, self.fraud, self.day, limit)
        assert figures == {
            "precision": 0.5, "recall": pytest.approx(2 / 3),
            "alerts_per_day": 2.0,
        }  # fmt: skip

    def test_card_precision_needs_cards(self) -> None:
        def names(customer: np.ndarray, k: int) -> list[str]:
            about = (self.fraud, customer, self.day, k)
            return list(ranking.summarize(self.score, *about))

        plain = ["average_precision", "auc_roc"]
        num = len(np.unique(self.customer))
        assert names(self.customer, num) == [*plain, f"card_precision@{num}"]
        assert names(self.customer, num + 1) == plain
        # A table of features knows no cards: each row is one of its own.
        assert names(np.arange(len(self.score)), 2) == plain

    def test_of_tied_scores_the_nearer_number_of_alerts_is_taken(self) -> None:
        # Few different scores, as eight bits give: budget 3, ties of 8.
        score, day = np.array([0.9] * 2 + [0.5] * 8), np.zeros(10)
        assert ranking.threshold(score, day, 3) == 0.9
        assert ranking.threshold(score, day, 8) == 0.5
        assert ranking.threshold(score[2:], day[2:], 1) == 0.5

    def test_the_cost_curve_ends_with_every_alert(self) -> None:
        alerts, cost = ranking.cost_curve(
            self.score, self.fraud, self.day, miss_cost=10, alert_cost=1
        )
        assert alerts[-1] == 3 and cost[0] == 15 and cost[-1] == 3
        assert cost[1] == (2 * 10 + 1) / 2


def test_labels_are_needed_where_they_are_used() -> None:
    table = fraud_reference.simulated()
    start = table.day[0] * DAY
    none_early = dataclasses.replace(
        table, fraud=table.fraud * (table.time > start + 32 * DAY)
    )
    loaded = data.of_transactions(none_early, (), "x", PLAN, COLUMNS)
    with pytest.raises(InputError, match="in train; received 0 frauds"):
        data.check_labels(loaded, in_train=True)
    data.check_labels(loaded, in_train=False)


def test_without_customers_no_row_is_left_out_for_another(tmp_path) -> None:
    """Each row counts as a customer of its own."""
    path = tmp_path / "t.csv"
    days = np.datetime64("2020-01-01") + np.arange(40)
    rows = [f"{day},s{i % 3},{i},{i % 2}" for i, day in enumerate(days)]
    header = "TX_DATETIME,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    path.write_text("\n".join([header, *rows]) + "\n")
    loaded = data.load(str(path), DataOptions(delay=1).plan(0))
    assert loaded.names[:3] == ("amount", "weekend", "night")
    assert not [name for name in loaded.names if "customer" in name]
    assert len(loaded.folds[0].test.fraud) == 7
    assert loaded.folds[0].splits.train.features.shape[1] == 9


def test_sequences_need_customers(tmp_path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"2020-01-{day:02},s,1,0" for day in range(1, 32)]
    header = "TX_DATETIME,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(InputError, match="needs a column of customers"):
        data.load(str(path), DataOptions().plan(4))


def test_rows_without_a_label_are_left_out_and_counted(table_of) -> None:
    path = table_of(GOOD, "2,2018-04-01 11:00:00,a,x,5,", "3" + GOOD[1:])
    table, _, notes, *_ = read(path, COLUMNS, skip_bad=False)
    assert len(table) == 2
    assert notes == ["1 rows left out: they have no TX_FRAUD."]


def test_named_columns_win_over_those_of_the_card_set(table_of) -> None:
    rows = [f"{i},{i % 3 == 0:d},{i % 2},{i}" for i in range(40)]
    path = table_of(*rows, header="Time,Class,is_fraud,x")
    options = DataOptions(label_column="is_fraud")
    loaded = data.load(str(path), options.plan(0))
    assert loaded.names == ("Class", "x")
    assert loaded.folds[0].splits.train.labels.tolist()[:2] == [0, 1]


def test_times_may_be_hours(table_of) -> None:
    path = table_of("1,30,a,x,5,0")
    columns = DataOptions(time_unit="hours").column_names()
    table, *_ = read(path, columns, skip_bad=False)
    assert table.time.tolist() == [108_000]
