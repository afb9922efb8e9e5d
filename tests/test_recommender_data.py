"""Reading, cleaning and splitting interactions."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from apps.recommender import data, examples, interactions, protocols
from apps.recommender import train as app
from apps.recommender.config import Config
from common.options import InputError

COLUMNS = {"user": "user_id", "item": "item_id"}


def raw(pairs: str, **changes) -> interactions.Raw:
    """`aX bY` is user a with item X, then b with Y."""
    users = sorted({pair[0] for pair in pairs.split()})
    items = sorted({pair[1] for pair in pairs.split()})
    return interactions.Raw(
        np.array([users.index(pair[0]) for pair in pairs.split()]),
        np.array([items.index(pair[1]) for pair in pairs.split()]),
        users, items, **changes,
    )  # fmt: skip


def clean(pairs: str, k_core: int = 0, **changes) -> interactions.Interactions:
    return interactions.clean("mine", raw(pairs, **changes), k_core=k_core)


def lists(data: interactions.Interactions) -> list[str]:
    ids = data.catalogue.ids
    return [
        "".join(ids[item] for item in data.items[user])
        for user in range(len(data.items))
    ]


def write(folder: Path, text: str) -> str:
    path = folder / "mine.csv"
    path.write_text(text)
    return str(path)


def load(path: str, **options) -> protocols.Protocol:
    return app.load_data(app.Config(dataset=path, **options))


def test_rows_are_sorted_by_time_and_repetitions_counted() -> None:
    time = np.array([3.0, 1, 2, 2, 4])
    tidy = clean("aX aY bX bY aX", time=time)
    assert lists(tidy) == ["YX", "XY"]
    assert tidy.notes == (
        "1 rows out of time order sorted",
        "1 repeated user-item rows left out",
    )
    assert tidy.user_ids == ("a", "b")
    assert tidy.catalogue.ids == ("", "X", "Y")


def test_without_times_the_order_of_rows_counts() -> None:
    tidy = clean("bY aX bX aY")
    assert lists(tidy) == ["XY", "YX"]
    assert "the order of the rows" in tidy.notes[0]


def test_k_core_and_ratings() -> None:
    pairs = "aX aY bX bY cX cZ"
    assert lists(clean(pairs, k_core=2)) == ["XY", "XY"]
    rating = np.array([5.0, 5, 5, 1, 5, 5])
    tidy = interactions.clean("mine", raw(pairs, rating=rating), min_rating=3)
    assert lists(tidy) == ["XY", "X", "XZ"]
    assert "1 rows rated below 3 left out" in tidy.notes
    with pytest.raises(InputError, match="--min_rating must be 0"):
        interactions.clean("mine", raw(pairs), min_rating=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have rows"),
        ("user_id,item_id\n", "must have rows"),
        ("user,item_id\na,1\n", "one column called user_id"),
        ("user_id,item_id\na,1\na,2\na,3\n", "at least 2 users"),
        ("user_id,item_id\n" + "a,1\n" * 5, "1 and 1 in 1 rows"),
        ("user_id,item_id\n,1\n,2\n", "2 rows without a user id left out"),
        ("user_id,item_id\na,NaN\nb,\n", "0 and 0 in 0 rows"),
        ("user_id,item_id\na,1\na,2\nb,1\nb,2\n", "at least 3 interactions"),
    ],
)  # fmt: skip
def test_bad_tables_get_one_line(tmp_path, text, words) -> None:
    with pytest.raises(InputError, match=words) as error:
        load(write(tmp_path, text))
    assert len(str(error.value).splitlines()) == 1


def test_times_in_nanoseconds_and_ids_that_lost_digits(tmp_path) -> None:
    now = 1_500_000_000_000_000_001
    rows = [f"{user},{item},{now}" for user in "abc" for item in "1234"]
    text = "\n".join(["user_id,item_id,when", *rows]) + "\n"
    load(write(tmp_path, text), time_column="when")
    path = tmp_path / "lost.jsonl"
    path.write_text(f'{{"user_id": {2**64}, "item_id": 1}}\n')
    with pytest.raises(InputError, match="last digits are lost"):
        load(str(path))


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path) -> None:
    rows = [f"{user},{item},{item}" for user in "abc" for item in "1234"]
    text = "\n".join(["user_id,item_id,when", *rows, ",1,1", "a,nan,2", "b,9,"])
    path = write(tmp_path, text + "\n")
    with pytest.raises(InputError, match=r"lacks 1, the first in row 15"):
        load(path, time_column="when")
    protocol = load(path, time_column="when", on_bad_input="skip")
    assert len(protocol.data.items.values) == 12
    assert protocol.notes[1:] == tuple(
        f"1 rows without a {column} left out"
        for column in ("user id", "item id", "time")
    )


def test_columns_of_every_kind(tmp_path) -> None:
    table = pa.table(
        {
            "who": pa.array([7.0, 7.0, 8.0, None]),
            "what": pa.array([1, 2, 2, 1]),
            "day": pa.array(["2024-01-02", "2024-01-01", "2024-01-03", None]),
            "name": ["One", "Two", "Two", "One"],
            "kind": ["x|y", "y", "y", "x|y"],
        }
    )
    path = tmp_path / "mine.parquet"
    parquet.write_table(table, path)
    raw_table = data.read_table(
        str(path), user="who", item="what", time="day", title="name",
        features="kind",
    )  # fmt: skip
    assert raw_table.user_ids == ["7", "8"] and raw_table.item_ids == ["1", "2"]
    assert raw_table.user.tolist() == [0, 0, 1, -1]
    assert raw_table.time is not None
    assert raw_table.time[1] < raw_table.time[0] < raw_table.time[2]
    assert np.isnan(raw_table.time[3])
    tidy = interactions.clean("mine", raw_table, skip_bad=True)
    assert tidy.catalogue.titles == ("", "One", "Two")
    assert tidy.catalogue.feature_names == ("x", "y")
    assert tidy.catalogue.features.tolist() == [[0, 0], [1, 1], [0, 1]]
    with pytest.raises(InputError, match="numbers or dates in column name"):
        data.read_table(str(path), user="who", item="what", time="name")


def test_an_option_tells_how_dates_and_ratings_are_written(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("who;what;day;stars\na;x;3/4/2018;1.234\n")
    columns = {"user": "who", "item": "what", "time": "day", "rating": "stars"}
    with pytest.raises(InputError, match=r"one reading of column day.*--date"):
        data.read_table(str(path), **columns)
    options = Config(date_order="day_first", decimal_mark="comma")
    raw = data.read_table(
        str(path), **columns, table_format=options.table_format
    )
    moment = np.datetime64("2018-04-03", "s").astype(int)
    assert raw.time.tolist() == [moment] and raw.rating.tolist() == [1234]


def test_options_name_the_columns(tmp_path) -> None:
    rows = [
        f"u{user},{item},{1 + 4 * (item > 0)},T{item},{'xy'[item % 2]}"
        for user in range(6)
        for item in range(5)
    ]
    path = write(tmp_path, "\n".join(["who,what,stars,name,kind", *rows]))
    tidy = load(
        path, user_column="who", item_column="what", rating_column="stars",
        title_column="name", features_column="kind", min_rating=5.0,
    ).data  # fmt: skip
    assert tidy.catalogue.titles == ("", "T1", "T2", "T3", "T4")
    assert tidy.catalogue.feature_names == ("x", "y")
    assert all(len(items) == 4 for items in tidy.items)


def test_words_that_several_titles_have_are_features() -> None:
    titles = {"W": "Star Trek", "X": "Star Wars", "Y": "A star", "Z": "Wars"}
    tidy = clean("aW aX aY aZ bX", titles=titles, features={"Y": ["old"]})
    assert tidy.catalogue.feature_names == ("old", "title: star")
    assert tidy.catalogue.features[1:].tolist() == [
        [0, 1], [0, 1], [1, 1], [0, 0],
    ]  # fmt: skip


def test_ids_with_fractions_are_refused(tmp_path) -> None:
    path = tmp_path / "mine.parquet"
    parquet.write_table(pa.table({"who": [1.5], "what": ["a"]}), path)
    with pytest.raises(InputError, match="column who has fractions"):
        data.read_table(str(path), user="who", item="what")


def test_leave_last_out_holds_out_the_last_two() -> None:
    protocol = protocols.split(
        clean("aX aY aZ bX bY bZ bW cX"), "leave_last_out"
    )
    ids = protocol.data.catalogue.ids
    tested = {
        protocol.data.user_ids[user]: ids[protocol.test.targets[user][0]]
        for user in protocol.test.users
    }
    assert tested == {"a": "Z", "b": "W"}
    assert [ids[i] for i in protocol.test.history[1]] == ["X", "Y", "Z"]
    assert [ids[i] for i in protocol.valid.targets[1]] == ["Z"]
    assert protocol.train.lengths.tolist() == [1, 2, 1]
    assert "1 users have no test item" in protocol.notes


def test_random_75_25_holds_out_a_quarter_by_seed() -> None:
    rng = np.random.default_rng(0)
    pairs = " ".join(f"{u}{i}" for u in "abc" for i in rng.permutation(list(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn")))  # fmt: skip
    first, same, other = (
        protocols.split(clean(pairs), "random_75_25", seed)
        for seed in (0, 0, 1)
    )
    assert first.test.targets.lengths.tolist() == [10] * 3
    assert first.valid.targets.lengths.tolist() == [3] * 3
    for user in range(3):
        parts = (first.train, first.valid.targets, first.test.targets)
        every = np.concatenate([part[user] for part in parts])
        assert sorted(every) == sorted(first.data.items[user])
    assert np.array_equal(first.test.targets.values, same.test.targets.values)
    assert not np.array_equal(
        first.test.targets.values, other.test.targets.values
    )
    refit = protocols.refitted(first)
    assert len(refit.train.values) == 3 * 30


def cut(protocol: protocols.Protocol, mode: str, length: int) -> list:
    split = examples.training(protocol.train, mode, length)
    change = examples.transform(protocol.train, mode, length)
    features = dict(split.features)
    inputs, targets = change(features, split.labels, np.array([1, 2]))
    return [inputs["history"].numpy(), targets.numpy(), inputs["user"].numpy()]


@pytest.mark.parametrize("mode", examples.MODES)
def test_no_window_holds_what_is_held_out(mode) -> None:
    config = app.Config(dataset="tastes")
    protocol = protocols.split(
        clean(" ".join(f"{u}{i}" for u in "abc" for i in "ABCDEFGHIJ")),
        config.protocol,
    )
    history, targets, user = cut(protocol, mode, 4)
    held = {9, 10}
    assert not held & set(history.ravel()) and not held & set(targets.ravel())
    assert set(user) == {1, 2, 3}
    if mode == "next":
        # The target is the item after the history, never in it.
        assert len(targets) == 3 * 7
        assert (history[:, -1] + 1 == targets[:, 0]).all()
    if mode == "sequence":
        real = history > 0
        assert (history[real] + 1 == targets[real]).all()


def test_users_are_made_unknown_at_random() -> None:
    protocol = protocols.split(
        clean(" ".join(f"{u}{i}" for u in "abc" for i in "ABCDEFGHIJ")),
        "leave_last_out",
    )
    split = examples.training(protocol.train, "next", 4)
    change = examples.transform(protocol.train, "next", 4, user_dropout=1.0)
    inputs, _ = change(split.features, split.labels, np.array([1, 2]))
    assert not inputs["user"].numpy().any()


def test_the_digest_follows_the_data() -> None:
    first = protocols.split(clean("aX aY aZ bX bY bZ"), "leave_last_out")
    other = protocols.split(clean("aX aY aZ bZ bY bX"), "leave_last_out")
    assert first.digest() != other.digest()
    same = dataclasses.replace(first)
    assert same.digest() == first.digest()


def test_a_release_is_asked_for_every_user_of_two_rows() -> None:
    """Nothing is set aside to train on; items get the release's numbers."""
    fresh = clean("aX bZ aY bX cX aQ")
    numbered = interactions.numbered_as(fresh, ["W", "X", "Y", "Z"])
    assert numbered.catalogue.ids == ("", "W", "X", "Y", "Z", "Q")
    assert lists(numbered) == ["XYQ", "ZX", "X"]
    assert "1 rows of items that the release does not know" in numbered.notes
    protocol = protocols.for_evaluation(numbered, "leave_last_out")
    assert protocol.judged == "all" and not len(protocol.train.values)
    assert protocol.test.users.tolist() == [0, 1]
    assert [protocol.test.history[user].tolist() for user in (0, 1)] == [
        [2, 3], [4],
    ]  # fmt: skip
    assert [protocol.test.targets[user].tolist() for user in (0, 1)] == [
        [5],
        [2],
    ]
    assert "1 users have no test item" in protocol.notes
    with pytest.raises(InputError, match="none that it knows"):
        interactions.numbered_as(fresh, ["V", "W"])
    with pytest.raises(InputError, match="at least 2 interactions"):
        protocols.for_evaluation(clean("aX bY"), "leave_last_out")


def test_a_table_that_judges_needs_no_titles_and_no_core(tmp_path) -> None:
    path = write(tmp_path, "user_id,item_id\na,1\na,2\nb,2\nb,3\n")
    config = app.Config(dataset=path, title_column="title", k_core=5)
    protocol = app.load_data(config, known=["1", "2", "3"])
    assert protocol.test.num_examples == 2
    with pytest.raises(InputError, match="at least 2 users"):
        app.load_data(config.replace(given=frozenset({"k_core"})), ["1"])


@pytest.mark.parametrize("stored", [False, True])
def test_a_rating_is_no_date(stored, tmp_path) -> None:
    days = ["2018-07-25", "2018-07-26"]
    table = pa.table({"user_id": ["a", "b"], "item_id": ["X", "Y"]})
    column = pa.array(np.array(days, "datetime64[D]")) if stored else days
    path = tmp_path / "a.parquet"
    parquet.write_table(table.append_column("rating", [column]), path)
    with pytest.raises(InputError, match="must have numbers in column rating"):
        data.read_table(
            str(path), user="user_id", item="item_id", rating="rating"
        )
    read = data.read_table(
        str(path), user="user_id", item="item_id", time="rating"
    )
    assert read.time is not None
    assert read.time.tolist() == [1_532_476_800, 1_532_563_200]
