"""Folders of class folders, with or without split folders above them."""

import hashlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from common.options import InputError
from common.shared_options import MAX_MEGAPIXELS

from . import folders, image_checks, image_files, images, splits

# Parts of each class that go to valid and to test if a folder has no splits.
HELD_OUT = 0.1


def load(
    root: Path,
    image_size: int,
    usual_size: int,
    pipeline: str,
    seed: int,
    skip_bad: bool,
    shape: tuple[int, ...] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> splits.Splits:
    """Loads a folder of class folders; see `image_sets.load`.

    Raises:
        InputError: If the folder has no such structure, or an unreadable image.
    """
    parts = folders.of_splits(root)
    if "train" not in parts:
        parts = {"all": root}
    class_names = _class_names(parts.get("train", root))
    listed = {key: _list(folder, class_names) for key, folder in parts.items()}
    paths = [path for rows in listed.values() for path, _ in rows]
    checked, notes = image_checks.check_files(paths, skip_bad, max_megapixels)
    notes += image_checks.left_out(root)
    listed = {
        key: [row for row in rows if row[0] in checked]
        for key, rows in listed.items()
    }
    if not {"valid", "test"} <= set(listed):  # Some are taken from the rest.
        key = "all" if "all" in listed else "train"
        listed[key], copies = image_checks.without_copies(listed[key], checked)
        notes += copies
    listed = _complete(listed, class_names, seed, root)
    listed, repeated = image_checks.without_duplicates(listed, checked)
    notes += repeated
    absent = set(range(len(class_names))) - {
        label for _, label in listed["train"]
    }
    if absent:
        raise InputError(
            f"--dataset must have images of every class to train on; those of "
            f"{class_names[min(absent)]} are all in another split as well."
        )
    for key, rows in listed.items():
        if not rows:
            raise InputError(
                f"--dataset must have images in every split; {root} has no "
                f"readable image in {key}."
            )
    distinct = {image.shape for image in checked.values()}
    height, width, _ = next(iter(distinct))
    if image_size or len({image[:2] for image in distinct}) > 1:
        height = width = image_size or usual_size
    channels = 1 if all(image[2] == 1 for image in distinct) else 3
    if shape:
        height, width, channels = shape
    streams: dict[str, Any] = {
        key: splits.load(
            _file_stream(
                rows, (height, width, channels), max_megapixels, checked
            ),
            pipeline,
        )
        for key, rows in listed.items()
    }
    return splits.Splits(
        name=root.resolve().name,
        class_names=class_names,
        notes=notes,
        **streams,
    )


def whole(
    root: Path,
    classes: tuple[str, ...],
    shape: tuple[int, ...],
    pipeline: str,
    skip_bad: bool,
    max_megapixels: float,
) -> splits.Splits:
    """Loads a folder that only evaluates a release, and trains nothing.

    Args:
        root: A folder that holds folders of some of the classes, or split
            folders that hold such folders.
        classes: The names of the release's classes.
        shape: The height, width and channels that the model needs.
        pipeline: One of `splits.PIPELINES`.
        skip_bad: See `image_sets.load`.
        max_megapixels: See `image_sets.load`.

    Raises:
        InputError: If the folder has other classes, or no readable image.
    """
    parts, judged = judged_folders(root, classes)
    rows = [row for folder in parts for row in _list_known(folder, classes)]
    checked, notes = image_checks.check_files(
        [path for path, _ in rows], skip_bad, max_megapixels
    )
    notes += image_checks.left_out(root)
    rows = [row for row in rows if row[0] in checked]
    if not rows:
        raise InputError(
            f"--dataset must have images; {root} has no readable image "
            f"({', '.join(image_checks.SUFFIXES)})."
        )
    height, width, channels = shape
    stream = _file_stream(
        rows, (height, width, channels), max_megapixels, checked
    )
    name = root.resolve().name
    examples = splits.load(stream, pipeline)
    return splits.Splits.whole(name, classes, examples, notes, judged)


def judged_folders(
    root: Path, classes: tuple[str, ...] = ()
) -> tuple[list[Path], str]:
    """Returns the folders to evaluate, and `splits.TEST` or `splits.ALL`.

    A folder with a test split is evaluated on that split, any other folder on
    all its files.

    Args:
        root: The folder.
        classes: The names of classes; a folder of such a name is no split.
    """
    parts = folders.of_splits(root, classes)
    if "test" in parts:
        return [parts["test"]], splits.TEST
    return list(parts.values()) or [root], splits.ALL


def _list_known(
    folder: Path, classes: tuple[str, ...]
) -> list[tuple[str, int]]:
    """Returns `(path, label)` of every image file of the known classes."""
    names = {path.name for path in folders.of_classes(folder)}
    unknown = sorted(names - set(classes))
    if unknown or not names:
        raise InputError(
            f"--dataset must have folders of the release's classes, "
            f"{', '.join(classes)}; {folder} has "
            f"{repr(unknown[0]) if unknown else 'no folder'}."
        )
    return [
        (path, label)
        for label, name in enumerate(classes)
        if name in names
        for path in _files(folder / name)
    ]


def _class_names(folder: Path) -> tuple[str, ...]:
    """Returns the names of the class folders, sorted."""
    names = tuple(path.name for path in folders.of_classes(folder))
    if {name.lower() for name in names} <= {*folders.MASKS, *folders.IMAGES}:
        raise InputError(
            f"--dataset must hold class folders; {folder} holds "
            f"{', '.join(names) or 'none'}."
        )
    if len(names) < 2:
        raise InputError(
            f"--dataset must hold at least two class folders; {folder} holds "
            f"{len(names)}."
        )
    for name in names:
        if not name.isprintable():  # A name that is not UTF-8 is not either.
            raise InputError(
                f"--dataset must have class folders with printable UTF-8 names;"
                f" {str(folder)!r} has {name!r}."
            )
    return names


def _list(folder: Path, class_names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Returns `(path, label)` of every image file, sorted by path."""
    unknown = set(_class_names(folder)) - set(class_names)
    if unknown:
        raise InputError(
            f"--dataset must have the same classes in every split; {folder} "
            f"also has {', '.join(sorted(unknown))}."
        )
    rows = []
    for label, name in enumerate(class_names):
        paths = _files(folder / name)
        if not paths:
            raise InputError(
                f"--dataset must have images in every class folder; "
                f"{folder / name} has none "
                f"({', '.join(image_checks.SUFFIXES)})."
            )
        rows += [(path, label) for path in paths]
    return rows


def _files(folder: Path) -> list[str]:
    """Returns the image files below a folder, sorted."""
    return [str(path) for path in folders.files(folder, image_checks.is_image)]


def _complete(
    listed: dict[str, list[tuple[str, int]]],
    class_names: tuple[str, ...],
    seed: int,
    root: Path,
) -> dict[str, list[tuple[str, int]]]:
    """Takes the missing splits from train, class by class.

    A file's own name and the seed decide on its split, so that files added
    later do not move the others from train to test.
    """
    rows = listed.pop("all" if "all" in listed else "train")
    missing = [key for key in ("valid", "test") if key not in listed]
    parts: dict[str, list] = {key: [] for key in ("train", *missing)}
    by_label = itertools.groupby(rows, key=lambda row: row[1])
    counts = dict.fromkeys(range(len(class_names)), 0)
    for label, group in by_label:
        left = sorted(group, key=lambda row: _place(row[0], root, seed))
        counts[label] = len(left)
        for index, key in enumerate(missing, start=1):
            num = sum(
                _place(path, root, seed) < index * HELD_OUT for path, _ in left
            )
            parts[key] += left[: max(1, num)]
            left = left[max(1, num) :]
        parts["train"] += left
    least = min(counts, key=lambda label: counts[label])
    if counts[least] <= len(missing):
        raise InputError(
            f"--dataset must have at least {len(missing) + 1} images of every "
            f"class; {class_names[least]} has {counts[least]}."
        )
    return {**listed, **parts}


def _place(path: str, root: Path, seed: int) -> float:
    """Returns a number in [0, 1) that depends on the file's name and the seed.

    The name is the path below `root`.
    """
    name = f"{seed}:{Path(path).relative_to(root).as_posix()}"
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _file_stream(
    rows: list[tuple[str, int]],
    shape: tuple[int, int, int],
    max_megapixels: float,
    checked: Mapping[str, image_checks.Checked],
) -> splits.StreamSplit:
    """Returns a split that reads and decodes files."""
    height, width, channels = shape
    with tf.device("CPU"):
        paths = tf.constant([path for path, _ in rows])
        labels = tf.constant([label for _, label in rows], tf.int64)
    transcoded = {path for path, _ in rows if checked[path].is_transcoded}

    def records(key: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(len(rows), dtype=tf.int64)
        if key is not None:
            # A full shuffle, with 8 bytes per file, which no buffer of images
            # could improve.
            order = tf.random.experimental.stateless_shuffle(order, seed=key)
        return tf.data.Dataset.from_tensor_slices(order).map(at)

    def at(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(paths, index), tf.gather(labels, index)

    def content_of(path: tf.Tensor) -> tf.Tensor:
        if not transcoded:
            return tf.io.read_file(path)
        return tf.numpy_function(read, [path], tf.string, stateful=False)

    def read(path: bytes) -> bytes:
        name = os.fsdecode(path)
        content = Path(name).read_bytes()
        if name in transcoded:
            return image_files.to_png(content, max_megapixels)
        return content

    def parse(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        content = content_of(path)
        image = images.decode(content, channels, max_megapixels)
        return images.fit(image, (height, width)), label

    return splits.StreamSplit(len(rows), shape, records, parse, at)
