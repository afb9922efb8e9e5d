"""Dates and times as people write them: each reading, and what is refused."""

import numpy as np
import pytest

from common.data import dates

NAN = float("nan")
NOON = "2018-07-25T12:00:00"
SECONDS = int(np.datetime64(NOON, "s").astype(int))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["2018-07-25 12:00:00"], [NOON]),
        (["2018-07-25T12:00:00Z"], [NOON]),
        (["2018-07-25"], ["2018-07-25"]),
        (["20180725120000"], [NOON]),
        (["20180725", "2018-07-26"], ["2018-07-25", "2018-07-26"]),
        ([str(SECONDS), str(SECONDS)], [NOON, NOON]),
        ([str(SECONDS), "2018-07-25"], ["NaT", "2018-07-25"]),
        (["5", "2018-07-25"], ["NaT", "2018-07-25"]),
        (["201807", "x"], ["NaT", "NaT"]),
        (["today", "now"], ["NaT", "NaT"]),
        (["9999-12-31", "0018-07-25"], ["NaT", "NaT"]),
        (["1899-12-31", "1900-01-01"], ["NaT", "1900-01-01"]),
        (["25.07.2101", "25.07.2018"], ["NaT", "2018-07-25"]),
        (
            ["99/5/2018", "25/3/2018", "3/4/2018"],
            ["NaT", "2018-03-25", "2018-04-03"],
        ),
        (["7/25/2018 12:00", "1/2/2018 1:05 PM"], [NOON, "2018-01-02T13:05"]),
        (["25/07/2018 12:00", "2/1/2018"], [NOON, "2018-01-02"]),
        (["2018/07/25 12:00", "2018/1/2"], [NOON, "2018-01-02"]),
        (
            ["2018/7/25 9:05", "2018-7-25 1:05 pm"],
            ["2018-07-25T09:05", "2018-07-25T13:05"],
        ),
        # With the year first no date has two readings.
        (["2018/3/4 24:30", "2018/13/4", "2018.3.4"], ["NaT"] * 3),
        (["25.07.2018 12:00:00", "02.01.2018"], [NOON, "2018-01-02"]),
        (["02.01.2018"], ["2018-01-02"]),
        (["25-07-2018 12:00:00.5"], [NOON]),
        (["7/25/2018 12:00 am"], ["2018-07-25T00:00"]),
        (["13/13/2018", "no", None, ""], ["NaT"] * 4),
        (
            ["25-Jul-2018 12:00", "25 July 2018", "25.JUL.18"],
            [NOON, "2018-07-25", "2018-07-25"],
        ),
        (
            ["July 25, 2018 12:00 PM", "Sept. 3rd 2018", "1st may 1969"],
            [NOON, "2018-09-03", "1969-05-01"],
        ),
        (
            ["Wed, 25 Jul 2018 14:00:00 +0200", "25 Jul 2018 12:00 GMT"],
            [NOON, NOON],
        ),
        (["1-Jan-69", "31/Dec/68"], ["1969-01-01", "2068-12-31"]),
        (
            ["31 Feb 2018", "5 Marble 2018", "Jul 2018", "Jul 25 18"],
            ["NaT"] * 4,
        ),
        (["2018-02-30", "x" * 1000], ["NaT"] * 2),
        ([], []),
    ],
)
def test_times(column: list, expected: list) -> None:
    received = dates.times(column)
    np.testing.assert_array_equal(received, np.array(expected, "datetime64[s]"))


def test_days_and_months_in_both_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="3/4/2018 can be"):
        dates.times(["7/25/2018", "3/4/2018", "25/3/2018"])


def test_a_date_that_can_be_read_in_two_ways_is_refused() -> None:
    message = r"3/4/2018 can be 2018-04-03 or 2018-03-04; write it so"
    with pytest.raises(ValueError, match=message):
        dates.times(["3/4/2018", "1/2/2018"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 31], [0, 31]),
        ([SECONDS], [SECONDS]),
        ([SECONDS * 1e3], [SECONDS]),
        ([SECONDS * 1e6], [SECONDS]),
        ([SECONDS * 1e9], [SECONDS]),
        ([20180725120000], [SECONDS]),
        ([20180725, 20180726], [SECONDS - 43_200, SECONDS + 43_200]),
        ([201807251200], [SECONDS]),
        # These may be any numbers.
        ([20180725, 20180732], [20180725, 20180732]),
        ([20180725.5], [20180725.5]),
        ([20180725, 201807251200], [20180725, 201807251200]),
        ([20180725120000, NAN], [SECONDS, NAN]),
        # One moment in another unit is no reason to change the others.
        ([SECONDS, SECONDS * 1e3], [SECONDS, SECONDS * 1e3]),
        ([NAN], [NAN]),
        ([], []),
    ],
)
def test_seconds(values: list, expected: list) -> None:
    np.testing.assert_array_equal(
        dates.seconds(np.array(values, float)), expected
    )
