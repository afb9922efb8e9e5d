"""Cells as people write them: each reading, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from apps.fraud_detect import settings, transactions
from common.data import cells, tables
from common.options import InputError

NAN = float("nan")
SECONDS = 1_532_520_000  # 2018-07-25T12:00:00.


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "2.5", "-3", "+4", "5e3"], [1, 2.5, -3, 4, 5000]),
        (["1,234.50", "7"], [1234.5, 7]),
        (["1.234,50", "7"], [1234.5, 7]),
        (["1,5", "22,75"], [1.5, 22.75]),
        (["1,234", "5,678.9"], [1234, 5678.9]),
        (["1,234", "5,67"], [1.234, 5.67]),
        (["1,234,567", "3"], [1234567, 3]),
        (["$1", "$ 2,000.00"], [1, 2000]),
        (["1 234,5 €", "7,25 €"], [1234.5, 7.25]),
        (["1\u202f234,5", "1"], [1234.5, 1]),
        (["1'234.50", "2"], [1234.5, 2]),
        ([" 5.0 ", 5, 5.0], [5, 5, 5]),
        (["1.234", "2"], [1.234, 2]),
        (["a", "", None, "1_0", "\u0661"], [NAN] * 5),
        (["1,2,3"], [NAN]),
        (["0,123", "4"], [0.123, 4]),
        ([".5", "1,234.5"], [0.5, 1234.5]),
        (["1 2", "12 34", "5'11", "i n f"], [NAN] * 4),
        (["1" * 20_000 + "x", "1,5"], [NAN, 1.5]),
        (["nan", "inf"], [NAN, float("inf")]),
        ([], []),
    ],
)  # fmt: skip
def test_numbers(column: list, expected: list) -> None:
    np.testing.assert_array_equal(cells.numbers(column), expected)


def test_a_comma_that_can_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1,234 can be 1234 or 1\.234"):
        cells.numbers(["1,234", "5"])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["€ 1.234", "7 €"], None),
        (["1.234", "$7"], None),
        (["€ 1.234", "€ 1.5"], [1.234, 1.5]),
        (["1.234", "7"], [1.234, 7]),
    ],
)
def test_money_with_three_decimals_may_be_thousands(column, expected) -> None:
    if expected:
        np.testing.assert_array_equal(cells.numbers(column), expected)
        return
    with pytest.raises(ValueError, match=r"1.234 can be 1234 or 1.234; write"):
        cells.numbers(column)
    np.testing.assert_array_equal(cells.numbers(column, ","), [1234, 7])
    np.testing.assert_array_equal(cells.numbers(column, "."), [1.234, 7])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["yes", "No", " Y ", "n"], [1, 0, 1, 0]),
        (["True", "FALSE", "t", "f"], [1, 0, 1, 0]),
        (["1", "0", 1, 0.0, True], [1, 0, 1, 0, 1]),
        (["1.0", "0.0", "2", "maybe", None], [1, 0, 2, NAN, NAN]),
    ],
)
def test_truths(column: list, expected: list) -> None:
    np.testing.assert_array_equal(cells.truths(column), expected)


def test_numbers_of_a_table(tmp_path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"$1,234.50",1\n"$7",2\n')
    received = tables.numbers(tmp_path / "a.csv", ["a", "b"])
    assert received.tolist() == [[1234.5, 1], [7, 2]]
    (tmp_path / "b.csv").write_text('a\n"1,234"\n"5,678"\n')
    with pytest.raises(
        InputError, match=r"one reading; in a in .* can be 1234"
    ):
        tables.numbers(tmp_path / "b.csv", ["a"])


@pytest.mark.parametrize(
    ("times", "labels", "amounts"),
    [
        (["2018-07-25 12:00:00", "2018-07-25 12:00:01"], [0, 1], [1.5, 20.0]),
        (["7/25/2018 12:00:00", "7/25/2018 12:00:01"], ["no", "yes"],
         ["$1.5", "$20.00"]),
        (["25.07.2018 12:00:00", "25.07.2018 12:00:01"], ["N", "Y"],
         ["1,50", "20,00"]),
        (["Jul 25, 2018 12:00:00", "25-JUL-18 12:00:01"], ["0", "1"],
         ["1.5", "20"]),
        ([SECONDS * 1000, SECONDS * 1000 + 1000], [False, True], [1.5, 20]),
        (["20180725120000", "20180725120001"], ["false", "true"],
         ["1.5", "20"]),
        ([20180725120000, 20180725120001], ["0", "1"], ["1.5 €", "20 €"]),
    ],
)  # fmt: skip
def test_transactions_are_the_same_however_written(
    times, labels, amounts, tmp_path
) -> None:
    table = pa.table(
        {
            "TX_DATETIME": times, "CUSTOMER_ID": ["a", "b"],
            "TERMINAL_ID": ["x", "x"], "TX_AMOUNT": amounts,
            "TX_FRAUD": labels, "TRANSACTION_ID": [1, 2],
        }
    )  # fmt: skip
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    columns = settings.Columns(
        "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD",
        "TRANSACTION_ID",
    )  # fmt: skip
    read, _, notes, *_ = transactions.read(
        tmp_path / "a.parquet", columns, False
    )
    assert read.time.tolist() == [SECONDS, SECONDS + 1]
    assert read.amount.tolist() == [1.5, 20]
    assert read.fraud.tolist() == [0, 1]
    assert notes == []
