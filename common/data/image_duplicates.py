"""Equal images, and images of one group, are kept in one split."""

import collections
import itertools
from collections.abc import Sequence

from common.options import InputError, quote

from .image_checks import Checked
from .image_listing import Row


def without_contradictions(
    listed: dict[str, list[Row]],
    checked: dict[str, Checked],
    names: Sequence[str],
    skip_bad: bool,
) -> tuple[dict[str, list[Row]], int]:
    """Leaves out equal images of different classes: either may be right.

    Args:
        listed: The rows by split.
        checked: What is known of each row's file.
        names: The names of the classes.
        skip_bad: Whether such images are left out, or an error.

    Returns:
        The rows that are left, and the number of the others.

    Raises:
        InputError: If there are such images and they are not to be left out; it
            names two.
    """
    first: dict[int, Row] = {}
    pairs: dict[int, tuple[Row, Row]] = {}
    for row in itertools.chain(*listed.values()):
        digest = checked[row.path].digest
        other = first.setdefault(digest, row)
        if other.label != row.label:
            pairs.setdefault(digest, (other, row))
    if not pairs:
        return listed, 0
    if not skip_bad:
        row, other = next(iter(pairs.values()))
        raise InputError(
            f"--dataset must have an image in one class only; {row.path} of "
            f"{quote(names[row.label])} and {other.path} of "
            f"{quote(names[other.label])} are equal ({len(pairs)} such "
            "images). Remove them, or pass --on_bad_input=skip."
        )
    kept = {
        key: [row for row in rows if checked[row.path].digest not in pairs]
        for key, rows in listed.items()
    }
    return kept, sum(map(len, listed.values())) - sum(map(len, kept.values()))


def without_copies(
    rows: list[Row], checked: dict[str, Checked]
) -> tuple[list[Row], int]:
    """Keeps the first of equal images, so that no split takes another's.

    Returns:
        The rows that are left, and the number of the others.
    """
    first: dict[int, str] = {}
    for row in rows:
        first.setdefault(checked[row.path].digest, row.path)
    kept = [row for row in rows if first[checked[row.path].digest] == row.path]
    return kept, len(rows) - len(kept)


def without_duplicates(
    listed: dict[str, list[Row]], checked: dict[str, Checked]
) -> tuple[dict[str, list[Row]], collections.Counter[str]]:
    """Keeps each image and each group in one split: in test, else validation.

    What is trained on must not be tested. Copies within a split stay.

    Returns:
        The rows by split, and the numbers of the others by kind.
    """
    split_of: dict[int | str, str] = {}
    for key in ("test", "valid", "train"):
        for row in listed[key]:
            split_of.setdefault(checked[row.path].digest, key)
            split_of.setdefault(row.group, key)
    kept: dict[str, list[Row]] = {key: [] for key in listed}
    left_out: collections.Counter[str] = collections.Counter()
    for key, rows in listed.items():
        for row in rows:
            if split_of[checked[row.path].digest] != key:
                left_out[f"{key} images that are in another split as well"] += 1
            elif split_of[row.group] != key:
                left_out[f"{key} images of a group in another split"] += 1
            else:
                kept[key].append(row)
    return kept, left_out
