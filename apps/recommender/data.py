"""Reading interactions: TFDS's movielens, the embedded set, own tables."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from common.data import tables, tfds_sets
from common.options import InputError

from .interactions import Raw

FEATURE_SEPARATOR = "|"
BATCH = 10_000


def read_table(
    path: str,
    *,
    user: str,
    item: str,
    time: str = "",
    rating: str = "",
    title: str = "",
    features: str = "",
) -> Raw:
    """Reads a table of the user's own; arguments are names of columns.

    Args:
        path: CSV, TSV, JSON lines or Parquet.
        user: Ids of any type.
        item: Likewise.
        time: Numbers or dates, or "" if there is no such column.
        rating: Numbers, or "".
        title: The items' titles, or "".
        features: Words of an item, joined by `|`, or "".
    """
    wanted = [user, item, time, rating, title, features]
    columns = [one for one in wanted if one]
    text = [one for one in (user, item, title, features) if one]
    table = tables.read(path, columns, text)
    users, user_ids = _encode(table[user], user)
    items, item_ids = _encode(table[item], item)
    return Raw(
        users,
        items,
        user_ids,
        item_ids,
        _numbers(table[time], time) if time else None,
        _numbers(table[rating], rating) if rating else None,
        _by_item(table[title], items, item_ids) if title else {},
        {
            key: [one for one in value.split(FEATURE_SEPARATOR) if one]
            for key, value in _by_item(table[features], items, item_ids).items()
        }
        if features
        else {},
    )


def _encode(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, list[str]]:
    """Returns indices, -1 for missing ids, and the ids as text."""
    if pa.types.is_floating(column.type):
        # A column of whole numbers with gaps, as some writers leave it.
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.any(pc.greater_equal(pc.abs(column), 2.0**53)).as_py():
            raise InputError(
                f"--dataset must have ids that are text or whole numbers; "
                f"numbers of column {name} are so great that their last digits "
                "are lost. Write them as text."
            )
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            raise InputError(
                f"--dataset must have ids that are text or whole numbers; "
                f"column {name} has fractions."
            ) from None
    try:
        column = column.cast(pa.string())
    except pa.ArrowException:
        raise InputError(
            f"--dataset must have ids that are text or numbers; column {name} "
            f"is {column.type}."
        ) from None
    missing = pc.is_in(
        pc.utf8_lower(pc.utf8_trim_whitespace(column)),
        pa.array(["", "nan", "null", "none"]),
    )
    column = pc.if_else(missing, None, column)
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # No chunk, or one.
        encoded = encoded.chunk(0)
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return indices.astype(np.int64), encoded.dictionary.to_pylist()


def _numbers(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Returns float64, NaN where missing; dates become seconds."""
    try:
        if pa.types.is_string(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz))
            column = column.cast(pa.int64())
        # Beyond 2**53, as nanoseconds are, the nearest float64 is meant.
        column = column.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        raise InputError(
            f"--dataset must have numbers or dates in column {name}; it is "
            f"{column.type}."
        ) from None
    return pc.fill_null(column, np.nan).to_numpy()


def _by_item(
    column: pa.ChunkedArray, items: np.ndarray, item_ids: list[str]
) -> dict[str, str]:
    """Returns the text of each item's first row."""
    index, first = np.unique(items, return_index=True)
    text = column.cast(pa.string()).take(pa.array(first)).to_pylist()
    return {
        item_ids[one]: value or ""
        for one, value in zip(index, text, strict=True)
        if one >= 0
    }


def read_tfds(name: str, data_dir: str) -> tuple[str, Raw]:
    """Reads a TFDS set with users, movies, times: `movielens/100k-ratings`.

    Returns:
        The set's name with its version, and the rows.
    """
    found = tfds_sets.builder(name, data_dir, _check)
    keys = ("user_id", "movie_id", "timestamp", "user_rating")
    more = ("movie_title", "movie_genres")
    labels = found.info.features["movie_genres"].feature
    rows: dict[str, list] = {key: [] for key in keys}
    titles: dict[str, str] = {}
    genres: dict[str, list[str]] = {}
    dataset = found.as_dataset(split="train").map(
        lambda row: {key: row[key] for key in (*keys, *more)}
    )
    for batch in dataset.ragged_batch(BATCH):
        for key in keys:
            rows[key].append(batch[key].numpy())
        ids = batch["movie_id"].numpy()
        for index in np.unique(ids, return_index=True)[1]:
            one = tf.compat.as_text(ids[index])
            if one not in titles:
                titles[one] = tf.compat.as_text(
                    batch["movie_title"][index].numpy()
                )
                genres[one] = [
                    labels.int2str(int(number))
                    for number in batch["movie_genres"][index].numpy()
                ]
    columns = {key: np.concatenate(rows[key]) for key in keys}
    # TFDS's order is shuffled: that rows are out of time order says nothing.
    order = np.argsort(columns["timestamp"], kind="stable")
    columns = {key: one[order] for key, one in columns.items()}
    user_ids, user = np.unique(columns["user_id"], return_inverse=True)
    item_ids, item = np.unique(columns["movie_id"], return_inverse=True)
    return f"{found.info.full_name}", Raw(
        user,
        item,
        [tf.compat.as_text(one) for one in user_ids],
        [tf.compat.as_text(one) for one in item_ids],
        columns["timestamp"].astype(np.float64),
        columns["user_rating"].astype(np.float64),
        titles,
        genres,
    )


def _check(found: Any) -> None:
    """Refuses sets that have no interactions of users and movies."""
    needed = ("user_id", "movie_id", "timestamp", "movie_genres")
    missing = [key for key in needed if key not in found.info.features]
    if missing:
        raise InputError(
            f"--dataset must have users and movies, such as "
            f"movielens/100k-ratings; {found.name} has no {missing[0]}."
        )
