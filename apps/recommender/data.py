"""Reading interactions: TFDS's movielens, the embedded set, own tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_datasets as tfds

from common.data import cells, dates, table_files, tables, tfds_sets
from common.options import InputError, quote
from common.table_options import ANY_FORMAT, TableFormat

from .interactions import Raw

FEATURE_SEPARATOR = "|"
BATCH = 10_000
# Cells that programs write where there is no id, in small letters.
MISSING = (*cells.MISSING, "none")


def read_table(
    path: str,
    *,
    user: str,
    item: str,
    time: str = "",
    rating: str = "",
    title: str = "",
    features: str = "",
    table_format: TableFormat = ANY_FORMAT,
) -> Raw:
    """Reads a table of the user's own.

    All arguments but the first and the last are names of columns; "" if there
    is no such column.

    Args:
        path: One file or several; see `tables.read`.
        user: The column of the users' ids, text or whole numbers.
        item: The column of the items' ids, text or whole numbers.
        time: The column of times, numbers or dates.
        rating: The column of ratings, numbers.
        title: The column of the items' titles.
        features: The column of words of an item, joined by `|`.
        table_format: What is known of the files' form.

    Raises:
        InputError: If a column is missing, or has values of another type.
    """
    names = (user, item, time, rating, title, features)
    columns = [name for name in names if name]
    text_columns = [name for name in (user, item, title, features) if name]
    # 1.234 is a thousand there.
    has_commas = bool(rating) and table_format.decimal == ","
    table = tables.read(
        path, columns, text_columns, table_format=table_format,
        as_written=[rating] if has_commas else [],
    )  # fmt: skip
    notes = [
        f"read {table.num_rows:,} rows of {table_files.title(path)}: users are "
        f"in column {user}, items in {item}"
        + (f", times in {time}" * bool(time))
    ]
    users, user_ids = _encode(table[user], user, notes)
    items, item_ids = _encode(table[item], item, notes)
    return Raw(
        users,
        items,
        user_ids,
        item_ids,
        _numbers(table[time], time, table_format) if time else None,
        _numbers(table[rating], rating, table_format, may_be_dates=False)
        if rating
        else None,
        _by_item(table[title], items, item_ids) if title else {},
        {
            key: [word for word in value.split(FEATURE_SEPARATOR) if word]
            for key, value in _by_item(table[features], items, item_ids).items()
        }
        if features
        else {},
        tuple(notes),
    )


def _encode(
    column: pa.ChunkedArray, name: str, notes: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Returns indices, -1 for missing ids, and the ids as text.

    Args:
        column: The ids.
        name: The column's name.
        notes: See `_trimmed`.

    Raises:
        InputError: See `_as_text`.
    """
    column = _trimmed(_as_text(column, name), name, notes)
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # It has at most one chunk.
        encoded = encoded.chunk(0)
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return indices.astype(np.int64), encoded.dictionary.to_pylist()


def _as_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Returns a column of ids as texts.

    Raises:
        InputError: If they are neither text nor whole numbers.
    """
    if pa.types.is_floating(column.type):
        # Some writers store whole numbers as floats if some are missing.
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
        return column.cast(pa.string())
    except pa.ArrowException:
        raise InputError(
            f"--dataset must have ids that are text or numbers; column {name} "
            f"is {column.type}."
        ) from None


def _trimmed(
    column: pa.ChunkedArray, name: str, notes: list[str]
) -> pa.ChunkedArray:
    """Returns ids without spaces around them; null where an id is missing.

    Where all are whole numbers, their `.0` is removed too.

    Args:
        column: Texts.
        name: The column's name.
        notes: Receives the number of ids that were changed.
    """
    written, column = column, pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(column), pa.array(MISSING))
    column = pc.if_else(missing, None, column)
    spaced = pc.sum(pc.not_equal(written, column)).as_py()
    if spaced:
        notes.append(f"{spaced:,} ids of {name} had spaces around them")
    # Some programs write whole numbers so where other cells are empty.
    decimal = pc.ends_with(column, ".0")
    if pc.any(decimal).as_py() and pc.all(
        pc.match_substring_regex(column, r"^[0-9]+(\.0)?$")
    ).as_py():  # fmt: skip
        num = pc.sum(decimal).as_py()
        notes.append(f"{num:,} ids of {name} were read without their .0")
        column = pc.replace_substring_regex(column, r"\.0$", "")
    return column


def _numbers(
    column: pa.ChunkedArray,
    name: str,
    table_format: TableFormat,
    *,
    may_be_dates: bool = True,
) -> np.ndarray:
    """Returns float64, NaN where missing; dates become seconds."""
    rule = f"numbers{' or dates' * may_be_dates} in column {name}"
    try:
        if pa.types.is_string(column.type):
            return _numbers_of_texts(
                column.to_pylist(), name, table_format, rule, may_be_dates
            )
        if may_be_dates and pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_temporal(column.type) and not may_be_dates:
            raise pa.ArrowInvalid("dates")
        if pa.types.is_timestamp(column.type):
            _check_years(column, name)
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
            column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e6)
        # Numbers beyond 2**53, as nanoseconds are, become the nearest float64.
        column = column.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        raise InputError(
            f"--dataset must have {rule}; it is {column.type}."
        ) from None
    return pc.fill_null(column, np.nan).to_numpy()


def _check_years(column: pa.ChunkedArray, name: str) -> None:
    """Raises `InputError` for a date in a year that is not plausible."""
    moments = column.drop_null().to_numpy().astype("datetime64[s]")
    bad = moments[~dates.are_plausible(moments)]
    if bad.size:
        raise InputError(
            f"--dataset must have dates of the years {dates.YEARS[0]} to "
            f"{dates.YEARS[-1]} in column {name}; it has {bad[0]}."
        )


def _numbers_of_texts(
    texts: list[str | None],
    name: str,
    table_format: TableFormat,
    rule: str,
    may_be_dates: bool,
) -> np.ndarray:
    """Returns float64 for texts that are all numbers or all times.

    Args:
        texts: The cells.
        name: The column.
        table_format: What is known of the file's form.
        rule: What the column must have, for messages.
        may_be_dates: Whether texts may be times.

    Raises:
        InputError: If they are neither, or can be read in two ways.
    """
    filled = [text for text in texts if text and text.strip()]
    try:
        values = cells.numbers(filled, table_format.decimal)
        if np.isnan(values).any() and may_be_dates:
            moments = dates.times(filled, table_format.day_first)
            values = moments.astype(np.int64).astype(float)
            values[np.isnat(moments)] = np.nan
    except ValueError as error:
        raise InputError(
            f"--dataset must have one reading of column {name}; {error}, or "
            "pass --date_order or --decimal_mark."
        ) from None
    if np.isnan(values).any():
        bad = filled[int(np.flatnonzero(np.isnan(values))[0])]
        raise InputError(f"--dataset must have {rule}; it has {quote(bad)}.")
    column = np.full(len(texts), np.nan)
    column[[bool(text and text.strip()) for text in texts]] = values
    return column


def _by_item(
    column: pa.ChunkedArray, items: np.ndarray, item_ids: list[str]
) -> dict[str, str]:
    """Returns the text of each item's first row."""
    index, first = np.unique(items, return_index=True)
    text = column.cast(pa.string()).take(pa.array(first)).to_pylist()
    return {
        item_ids[item]: value or ""
        for item, value in zip(index, text, strict=True)
        if item >= 0
    }


def read_tfds(name: str, data_dir: str) -> tuple[str, Raw]:
    """Reads a TFDS set with users, movies, times: `movielens/100k-ratings`.

    Returns:
        The set's name with its version, and the rows.
    """
    builder = tfds_sets.builder(name, data_dir, _check)
    keys = ("user_id", "movie_id", "timestamp", "user_rating")
    more = ("movie_title", "movie_genres")
    labels = builder.info.features["movie_genres"].feature
    rows: dict[str, list] = {key: [] for key in keys}
    titles: dict[str, str] = {}
    genres: dict[str, list[str]] = {}
    dataset = builder.as_dataset(split="train").map(
        lambda row: {key: row[key] for key in (*keys, *more)}
    )
    for batch in dataset.ragged_batch(BATCH):
        for key in keys:
            rows[key].append(batch[key].numpy())
        ids = batch["movie_id"].numpy()
        for index in np.unique(ids, return_index=True)[1]:
            movie = tf.compat.as_text(ids[index])
            if movie not in titles:
                titles[movie], genres[movie] = _film(batch, index, labels)
    columns = {key: np.concatenate(rows[key]) for key in keys}
    # TFDS shuffles its rows: they are sorted here, without a note to the user.
    order = np.argsort(columns["timestamp"], kind="stable")
    columns = {key: values[order] for key, values in columns.items()}
    user_ids, user = np.unique(columns["user_id"], return_inverse=True)
    item_ids, item = np.unique(columns["movie_id"], return_inverse=True)
    return f"{builder.info.full_name}", Raw(
        user,
        item,
        [tf.compat.as_text(id) for id in user_ids],
        [tf.compat.as_text(id) for id in item_ids],
        columns["timestamp"].astype(np.float64),
        columns["user_rating"].astype(np.float64),
        titles,
        genres,
    )


def _film(
    batch: Mapping[str, tf.Tensor],
    index: int,
    labels: tfds.features.ClassLabel,
) -> tuple[str, list[str]]:
    """Returns the title and the genres of the film in a row of a batch."""
    genres = batch["movie_genres"][index].numpy()
    return (
        tf.compat.as_text(batch["movie_title"][index].numpy()),
        [labels.int2str(int(number)) for number in genres],
    )


def _check(builder: Any) -> None:
    """Refuses sets that have no interactions of users and movies."""
    needed = ("user_id", "movie_id", "timestamp", "movie_genres")
    missing = [key for key in needed if key not in builder.info.features]
    if missing:
        raise InputError(
            f"--dataset must have users and movies, such as "
            f"movielens/100k-ratings; {builder.name} has no {missing[0]}."
        )
