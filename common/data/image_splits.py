"""Splits of image files: the missing ones are drawn, the rest is checked."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.options import InputError
from common.shared_options import MAX_MEGAPIXELS

from . import image_checks, image_duplicates, image_files, images, splits
from .image_listing import ALL, Listing, Row

# Parts of each class that go to valid and to test if a data set has no splits.
HELD_OUT = 0.1


@dataclasses.dataclass(frozen=True)
class Reading:
    """How image files are read; see `image_sets.load`."""

    image_size: int = 0
    usual_size: int = 64
    pipeline: str = "auto"
    seed: int = 0
    skip_bad: bool = False
    shape: tuple[int, ...] | None = None
    max_megapixels: float = MAX_MEGAPIXELS
    background: str = "white"


def load(listing: Listing, reading: Reading) -> splits.Splits:
    """Reads the files that a model is trained on.

    Raises:
        InputError: If an image is unreadable, or a split or a class of it has
            no image.
    """
    names = listing.class_names
    left_out = listing.left_out()
    listed, checked = _check(listing, reading, left_out)
    if not {"valid", "test"} <= set(listed):  # Some are taken from the rest.
        key = ALL if ALL in listed else "train"
        listed[key], left_out["copies of other images"] = (
            image_duplicates.without_copies(listed[key], checked)
        )
    listed = _complete(listed, names, reading.seed)
    listed, repeated = image_duplicates.without_duplicates(listed, checked)
    left_out += repeated
    absent = set(range(len(names))) - {row.label for row in listed["train"]}
    if absent:
        raise InputError(
            f"--dataset must have images of every class to train on; those of "
            f"{names[min(absent)]}, or others of their groups, are all in "
            "another split as well."
        )
    for key, rows in listed.items():
        if not rows:
            raise InputError(
                f"--dataset must have images in every split; {listing.root} "
                f"has no readable image in {key}."
            )
    shape = reading.shape or _shape(checked, reading)
    streams: dict[str, Any] = {
        key: splits.load(
            _file_stream(rows, shape, reading, checked), reading.pipeline
        )
        for key, rows in listed.items()
    }
    num_used = sum(map(len, listed.values()))
    notes = (*listing.notes, *_summary(num_used, left_out))
    return splits.Splits(
        listing.root.resolve().name, names, notes=notes, **streams
    )


def whole(listing: Listing, reading: Reading, judged: str) -> splits.Splits:
    """Reads files that only evaluate a release, and train nothing.

    Args:
        listing: All files, under `ALL`.
        reading: Gives the shape that the model needs.
        judged: See `splits.Splits`.

    Raises:
        InputError: If there is no readable image.
    """
    left_out = listing.left_out()
    listed, checked = _check(listing, reading, left_out)
    rows = listed[ALL]
    if not rows:
        raise InputError(
            f"--dataset must have images; {listing.root} has no readable image "
            f"({', '.join(image_checks.SUFFIXES)})."
        )
    shape = reading.shape or _shape(checked, reading)
    stream = _file_stream(rows, shape, reading, checked)
    return splits.Splits.whole(
        listing.root.resolve().name,
        listing.class_names,
        splits.load(stream, reading.pipeline),
        (*listing.notes, *_summary(len(rows), left_out)),
        judged,
    )


def _check(
    listing: Listing, reading: Reading, left_out: collections.Counter[str]
) -> tuple[dict[str, list[Row]], dict[str, image_checks.Checked]]:
    """Returns the readable files by split, and what is known of them.

    Args:
        listing: All files.
        reading: Says what is done with unreadable ones.
        left_out: Receives their number.

    Raises:
        InputError: If equal images are of different classes.
    """
    paths = [row.path for rows in listing.rows.values() for row in rows]
    checked = image_checks.check_files(
        paths, reading.skip_bad, reading.max_megapixels
    )
    left_out["undecodable images"] += len(paths) - len(checked)
    listed = {
        key: [row for row in rows if row.path in checked]
        for key, rows in listing.rows.items()
    }
    listed, left_out["equal images of several classes"] = (
        image_duplicates.without_contradictions(
            listed, checked, listing.class_names, reading.skip_bad
        )
    )
    return listed, checked


def _summary(
    num_used: int, left_out: collections.Counter[str]
) -> tuple[str, ...]:
    """Returns a sentence on the files that were left out, if any were."""
    kinds = [f"{num:,} {kind}" for kind, num in left_out.most_common() if num]
    if not kinds:
        return ()
    return (
        f"{num_used + left_out.total():,} files: {num_used:,} used; left out "
        f"{', '.join(kinds)}",
    )


def _shape(
    checked: Mapping[str, image_checks.Checked], reading: Reading
) -> tuple[int, ...]:
    """Returns the height, width and channels that images are brought to."""
    shapes = {image.shape for image in checked.values()}
    height, width, _ = next(iter(shapes))
    if reading.image_size or len({shape[:2] for shape in shapes}) > 1:
        height = width = reading.image_size or reading.usual_size
    return height, width, 1 if all(shape[2] == 1 for shape in shapes) else 3


def _complete(
    listed: dict[str, list[Row]], class_names: tuple[str, ...], seed: int
) -> dict[str, list[Row]]:
    """Takes the missing splits from the rest, class by class, whole groups.

    A group's own name and the seed decide on its split, so that files added
    later do not move the others from train to test.
    """
    rows = listed.pop(ALL if ALL in listed else "train")
    missing = [key for key in ("valid", "test") if key not in listed]
    groups: list[set[str]] = [set() for _ in class_names]
    for row in rows:
        groups[row.label].add(row.group)
    least = min(range(len(groups)), key=lambda label: len(groups[label]))
    if len(groups[least]) <= len(missing):
        is_grouped = len({row.group for row in rows}) < len(rows)
        raise InputError(
            f"--dataset must have at least {len(missing) + 1} "
            f"{'groups of ' if is_grouped else ''}images of every class; "
            f"{class_names[least]} has {len(groups[least])}."
        )
    split_of: dict[str, str] = {}
    for own in groups:
        present = {split_of[group] for group in own if group in split_of}
        for index, key in enumerate(missing, start=1):
            # A group of two classes may have its split from the first.
            free = sorted(
                (group for group in own if group not in split_of),
                key=lambda group: _place(group, seed),
            )
            num = sum(_place(group, seed) < index * HELD_OUT for group in free)
            num = max(num, int(key not in present))
            split_of |= dict.fromkeys(free[:num], key)
    parts: dict[str, list[Row]] = {key: [] for key in ("train", *missing)}
    for row in rows:
        parts[split_of.get(row.group, "train")].append(row)
    return {**listed, **parts}


def _place(group: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on a name and the seed."""
    name = f"{seed}:{group}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:6]) / 2**48


def _file_stream(
    rows: list[Row],
    shape: tuple[int, ...],
    reading: Reading,
    checked: Mapping[str, image_checks.Checked],
) -> splits.StreamSplit:
    """Returns a split that reads and decodes files."""
    numbers = np.array([row.label for row in rows], np.int64)
    are_plain = np.array([checked[row.path].is_plain for row in rows])
    all_plain = bool(are_plain.all())
    with tf.device("CPU"):
        paths = tf.constant([row.path for row in rows])
        labels = tf.constant(numbers)
        plain = tf.constant(are_plain)
    transcoded = {row.path for row in rows if checked[row.path].is_transcoded}

    def records(key: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(len(rows), dtype=tf.int64)
        if key is not None:
            # A full shuffle, with 8 bytes per file, which no buffer of images
            # could improve.
            order = tf.random.experimental.stateless_shuffle(order, seed=key)
        return tf.data.Dataset.from_tensor_slices(order).map(at)

    def at(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parts = (paths, labels) if all_plain else (paths, labels, plain)
        return tuple(tf.gather(part, index) for part in parts)

    parse = _parser(shape, reading, transcoded)
    return splits.StreamSplit(len(rows), shape, records, parse, at, numbers)


def _parser(
    shape: tuple[int, ...], reading: Reading, transcoded: set[str]
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Returns the function that makes an image of a file's path and label.

    Args:
        shape: The height, width and channels of the image.
        reading: Gives `max_megapixels` and `background`.
        transcoded: The files of which `image_files` makes a PNG.

    Returns:
        Maps a path, a label and `is_plain` (by default True; see `images`) to
        the image and the label.
    """
    height, width, channels = shape
    form = channels, reading.max_megapixels, reading.background
    decode = images.decoder(*form, plain=True)  # Traced once for all splits.

    def content_of(path: tf.Tensor) -> tf.Tensor:
        if not transcoded:
            return tf.io.read_file(path)
        return tf.numpy_function(read, [path], tf.string, stateful=False)

    def read(path: bytes) -> bytes:
        name = os.fsdecode(path)
        content = Path(name).read_bytes()
        if name in transcoded:
            return image_files.to_png(content, reading.max_megapixels)
        return content

    def parse(
        path: tf.Tensor, label: tf.Tensor, is_plain: bool | tf.Tensor = True
    ) -> tuple[tf.Tensor, tf.Tensor]:
        content = content_of(path)
        if is_plain is True:
            image = decode(content)
        else:
            image = images.decode(content, *form, is_plain)
        return images.fit(image, (height, width)), label

    return parse
