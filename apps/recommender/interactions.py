"""Interactions: who took which item, in order; counted and repaired."""

import collections
import dataclasses
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from common.options import InputError

PADDING = 0  # The item index that stands for no item.
# A word is a feature if at least FEWEST_TITLES titles have it; of these words
# the MOST_WORDS most frequent are taken.
FEWEST_TITLES, MOST_WORDS = 3, 256


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Lists of item indices, one per user.

    Attributes:
        values: `(num,) int32`, the lists one after another.
        offsets: `(users + 1,) int64`: where each list starts; the last is the
            end of all lists.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> np.ndarray:
        return self.values[self.offsets[user] : self.offsets[user + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """The length of each list, `(users,) int64`."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """The user of each value, `(num,) int64`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self, users: np.ndarray, length: int) -> np.ndarray:
        """Returns the last `length` items of users, padding first.

        Returns:
            `(len(users), length) int32`.
        """
        position = self.offsets[users + 1, None] + np.arange(-length, 0)
        inside = position >= self.offsets[users, None]
        items = self.values[np.where(inside, position, 0)]
        return np.where(inside, items, PADDING)


def ragged(rows: np.ndarray, values: np.ndarray, num_rows: int) -> Ragged:
    """Returns lists of values.

    Args:
        rows: The list of each value, `(num,)` integers, ascending.
        values: `(num,)` integers.
        num_rows: The number of lists; some may be empty.
    """
    ends = np.cumsum(np.bincount(rows, minlength=num_rows))
    return Ragged(values.astype(np.int32), np.concatenate([[0], ends]))


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The items; index 0 is padding.

    Attributes:
        ids: The ids as the user writes them, `items + 1` strings.
        titles: The titles, `items + 1` strings; an item without a title has its
            id instead.
        features: `(items + 1, features) uint8`: genres and frequent words of
            titles as 0 and 1.
        feature_names: The names of the features.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    features: np.ndarray
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids) - 1


@dataclasses.dataclass(frozen=True)
class Raw:
    """Columns as they were read, one row per interaction.

    Attributes:
        user: Indices into `user_ids`, `(num,)`; -1 where the id is missing.
        item: Indices into `item_ids`, `(num,)`; -1 where the id is missing.
        user_ids: The users' ids.
        item_ids: The items' ids.
        time: `(num,)` numbers that order a user's rows, or None; NaN where
            missing.
        rating: `(num,)` floats, or None; NaN where missing.
        titles: Titles by item id.
        features: Words by item id, e.g. genres.
        notes: What was read and repaired.
    """

    user: np.ndarray
    item: np.ndarray
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    time: np.ndarray | None = None
    rating: np.ndarray | None = None
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    features: Mapping[str, Sequence[str]] = dataclasses.field(
        default_factory=dict
    )
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Clean interactions.

    Attributes:
        name: The data set's name.
        items: The items that each user took, oldest first, each item once.
        user_ids: The id of each user.
        catalogue: The items.
        notes: Repairs, for the user to read.
        span: The first and the last time; None if there are no times.
    """

    name: str
    items: Ragged
    user_ids: tuple[str, ...]
    catalogue: Catalogue
    notes: tuple[str, ...] = ()
    span: tuple[float, float] | None = None

    def digest(self) -> int:
        """Returns a number that changes when the interactions do."""
        digest = zlib.crc32(self.items.values.tobytes())
        digest = zlib.crc32(self.items.offsets.tobytes(), digest)
        return zlib.crc32(self.catalogue.features.tobytes(), digest)


def clean(
    name: str,
    raw: Raw,
    *,
    min_rating: float = 0.0,
    k_core: int = 0,
    skip_bad: bool = False,
) -> Interactions:
    """Returns sorted interactions without bad and repeated rows, with notes.

    Args:
        name: The data set's name.
        raw: The rows.
        min_rating: Rows rated lower are no interactions. At 0 these are
            negative numbers, such as the quantities of returns.
        k_core: Users and items with fewer rows are dropped, again and again,
            until no such user or item is left; 0 keeps all.
        skip_bad: Drop rows without a time or a rating, instead of refusing
            them. Rows without a user or an item are always dropped: they belong
            to no list, and the order of the others does not depend on them.

    Raises:
        InputError: If rows are bad, or too few are left.
    """
    notes = list(raw.notes)
    if min_rating and raw.rating is None:
        raise InputError(
            f"--min_rating must be 0 where there are no ratings; received "
            f"{min_rating:g} for {name}. Pass --rating_column."
        )
    keep = _good(name, raw, skip_bad, notes)
    if raw.rating is not None:
        keep = _rated(raw.rating, keep, min_rating, notes)
    user, item = raw.user[keep], raw.item[keep]
    time = np.arange(len(user)) if raw.time is None else raw.time[keep]
    order = np.lexsort((np.arange(len(user)), time, user))
    if raw.time is None:
        notes.append("no times: the order of the rows is taken for them")
    else:
        by_user = np.argsort(user, kind="stable")
        late = np.diff(time[by_user]) < 0
        late &= np.diff(user[by_user]) == 0
        _note(notes, late.sum(), "rows out of time order sorted")
    user, item = user[order], item[order]
    first = _first_of_each(user, item, len(raw.item_ids))
    _note(notes, len(user) - len(first), "repeated user-item rows left out")
    user, item = user[first], item[first]
    if k_core:
        core = _core(user, item, k_core)
        _note(notes, (~core).sum(), f"rows outside the {k_core}-core left out")
        user, item = user[core], item[core]
    data = _indexed(name, raw, user, item, notes)
    if raw.time is None:
        return data
    return dataclasses.replace(data, span=(time.min(), time.max()))


def _rated(
    rating: np.ndarray, keep: np.ndarray, least: float, notes: list[str]
) -> np.ndarray:
    """Tells which of the rows to keep are rated well enough, `(num,) bool`."""
    given = rating[keep]
    if given.size:
        notes.append(
            f"ratings are from {given.min():g} to {given.max():g}: rows rated "
            f"{least:g} or more count as taken, all alike; see --min_rating"
        )
    low = keep & (rating < least)
    _note(notes, low.sum(), f"rows rated below {least:g} left out")
    return keep & ~low


def numbered_as(data: Interactions, known: Sequence[str]) -> Interactions:
    """Returns interactions whose items are numbered as in a release.

    Items that the release does not know come after its own; they cannot be
    recommended.

    Args:
        data: Interactions that the release has not seen.
        known: The ids of the release's items, from number 1 on.

    Raises:
        InputError: If the release knows none of the items.
    """
    ids = data.catalogue.ids
    unknown = sorted(set(ids[1:]) - set(known))
    if len(unknown) == len(ids) - 1:
        raise InputError(
            f"--dataset must have items of the release, such as {known[0]}; "
            f"{data.name} has {unknown[0]} and none that it knows."
        )
    all_ids = ("", *known, *unknown)
    place = {id: index for index, id in enumerate(all_ids)}
    values = np.array([place[id] for id in ids])[data.items.values]
    notes = list(data.notes)
    num_unknown = int(np.sum(values > len(known)))
    _note(notes, num_unknown, "rows of items that the release does not know")
    return dataclasses.replace(
        data,
        items=Ragged(values.astype(np.int32), data.items.offsets),
        catalogue=Catalogue(
            all_ids, all_ids, np.zeros((len(all_ids), 0), np.uint8)
        ),
        notes=tuple(notes),
    )


def _note(notes: list[str], count: int, text: str) -> None:
    """Adds a note about `count` rows, if there are any."""
    if count:
        notes.append(f"{count:,} {text}")


def _good(name: str, raw: Raw, skip_bad: bool, notes: list[str]) -> np.ndarray:
    """Tells which rows have all values, `(num,) bool`; see `clean`."""
    keep = np.ones(len(raw.user), bool)
    for column, missing in (("user", raw.user < 0), ("item", raw.item < 0)):
        _note(notes, missing.sum(), f"rows without a {column} id left out")
        keep &= ~missing
    known = keep
    for column, values in (("time", raw.time), ("rating", raw.rating)):
        if values is None:
            continue
        missing = known & np.isnan(values)
        if missing.any() and not skip_bad:
            raise InputError(
                f"--dataset must have the {column} in every row; {name} lacks "
                f"{missing.sum():,}, the first in row "
                f"{int(missing.argmax()) + 1}. Mend them, or pass "
                "--on_bad_input=skip."
            )
        _note(notes, missing.sum(), f"rows without a {column} left out")
        keep = keep & ~missing
    return keep


def _first_of_each(
    user: np.ndarray, item: np.ndarray, num_items: int
) -> np.ndarray:
    """Returns the positions of each pair's first row, in order."""
    pairs = user.astype(np.int64) * num_items + item
    return np.sort(np.unique(pairs, return_index=True)[1])


def _core(user: np.ndarray, item: np.ndarray, k: int) -> np.ndarray:
    """Tells which rows belong to the k-core (Seidman, 1983), `(num,) bool`."""
    keep = np.ones(len(user), bool)
    while True:
        of_user = np.bincount(user[keep], minlength=user.max(initial=0) + 1)
        of_item = np.bincount(item[keep], minlength=item.max(initial=0) + 1)
        drop = keep & ((of_user < k)[user] | (of_item < k)[item])
        if not drop.any():
            return keep
        keep &= ~drop


def _indexed(
    name: str, raw: Raw, user: np.ndarray, item: np.ndarray, notes: list[str]
) -> Interactions:
    """Numbers the users from 0 and the items from 1."""
    users, user = np.unique(user, return_inverse=True)
    items, item = np.unique(item, return_inverse=True)
    if len(users) < 2 or len(items) < 2:
        raise InputError(
            f"--dataset must have at least 2 users and 2 items; {name} has "
            f"{len(users)} and {len(items)} in {len(item)} rows, "
            "without repetitions and rows left out"
            + (f" ({'; '.join(notes)})." if notes else ".")
        )
    ids = ("", *(raw.item_ids[index] for index in items))
    return Interactions(
        name,
        ragged(user, item + 1, len(users)),
        tuple(raw.user_ids[index] for index in users),
        _catalogue(ids, raw),
        tuple(notes),
    )


def _catalogue(ids: tuple[str, ...], raw: Raw) -> Catalogue:
    """Returns the items with their titles and features."""
    titles = tuple(raw.titles.get(id) or id for id in ids)
    words = [list(raw.features.get(id, ())) for id in ids]
    if raw.titles:
        for row, of_title in zip(words, _title_words(titles), strict=True):
            row.extend(of_title)
    names = sorted({word for row in words for word in row})
    column = {word: index for index, word in enumerate(names)}
    features = np.zeros((len(ids), len(names)), np.uint8)
    for index, row in enumerate(words):
        features[index, [column[word] for word in row]] = 1.0
    return Catalogue(ids, titles, features, tuple(names))


def _title_words(titles: Sequence[str]) -> list[list[str]]:
    """Returns the words of each title that are frequent enough."""
    rows = [
        [f"title: {word}" for word in set(re.findall(r"\w+", title.lower()))]
        for title in titles
    ]
    counts = collections.Counter(word for row in rows for word in row)
    known = {
        word
        for word, count in counts.most_common(MOST_WORDS)
        if count >= FEWEST_TITLES
    }
    return [[word for word in row if word in known] for row in rows]
