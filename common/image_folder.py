"""Folders of class folders, with or without split folders above them."""

import concurrent.futures
import hashlib
import itertools
from pathlib import Path
from typing import Any

from etils import epy

from common import images, progress, runtime, splits, tfds_source
from common.config import InputError

with epy.lazy_imports():
    import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "valid": tfds_source.VALID_NAMES,
    "test": ("test", "testing"),
}
# Parts of each class that go to valid and to test if a folder has no splits.
HELD_OUT = 0.1
FILES_AT_A_TIME = 1024


def load(
    root: Path,
    image_size: int,
    usual_size: int,
    pipeline: str,
    seed: int,
    skip_bad: bool,
    shape: tuple[int, ...] | None = None,
) -> splits.Splits:
    """Loads a folder of class folders; see `images.load`."""
    folders = _split_folders(root)
    class_names = _class_names(folders.get("train", root))
    listed = {
        key: _list(folder, class_names) for key, folder in folders.items()
    }
    shapes, notes = _check_files(
        [path for rows in listed.values() for path, _ in rows], skip_bad
    )
    listed = {
        key: [row for row in rows if row[0] in shapes]
        for key, rows in listed.items()
    }
    listed = _complete(listed, class_names, seed, root)
    for key, rows in listed.items():
        if not rows:
            raise InputError(
                f"--dataset must have images in every split; {root} has no "
                f"readable one in {key}."
            )
    found = set(shapes.values())
    height, width, _ = next(iter(found))
    if image_size or len({one[:2] for one in found}) > 1:
        height = width = image_size or usual_size
    channels = 1 if all(one[2] == 1 for one in found) else 3
    if shape:
        height, width, channels = shape
    streams: dict[str, Any] = {
        key: splits.load(
            _file_stream(rows, (height, width, channels)), pipeline
        )
        for key, rows in listed.items()
    }
    return splits.Splits(
        name=root.resolve().name,
        class_names=class_names,
        notes=notes,
        **streams,
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the splits, or the root as `all`."""
    found = {
        key: root / name
        for key, names in SPLIT_FOLDERS.items()
        for name in names
        if (root / name).is_dir()
    }
    return found if "train" in found else {"all": root}


def _class_names(folder: Path) -> tuple[str, ...]:
    """Returns the names of the class folders, sorted."""
    names = tuple(
        sorted(
            path.name
            for path in folder.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )
    )
    if len(names) < 2:
        raise InputError(
            f"--dataset must hold at least two class folders; {folder} holds "
            f"{len(names)}."
        )
    for name in names:
        if not name.isprintable():  # Nor is a name that is not UTF-8.
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
        paths = sorted(
            str(path)
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
        if not paths:
            raise InputError(
                f"--dataset must have images in every class folder; "
                f"{folder / name} has none ({', '.join(SUFFIXES)})."
            )
        rows += [(path, label) for path in paths]
    return rows


def _check_files(
    paths: list[str], skip_bad: bool
) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Decodes every file once; returns the shapes of the good ones, notes."""

    def shape(path: str) -> tuple[int, ...] | None:
        try:
            content = Path(path).read_bytes()
            image = tf.io.decode_image(content, expand_animations=False)
        except (tf.errors.InvalidArgumentError, OSError):
            return None
        return tuple(image.shape) if 0 not in image.shape else None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        # In parts: `map` makes a future of a kilobyte for each file at once.
        parts = (
            one
            for start in range(0, len(paths), FILES_AT_A_TIME)
            for one in pool.map(shape, paths[start : start + FILES_AT_A_TIME])
        )
        shapes = list(progress.track(parts, "checking images", len(paths)))
    bad = [path for path, one in zip(paths, shapes, strict=True) if one is None]
    if bad and not skip_bad:
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} cannot be decoded"
            f" ({len(bad)} of {len(paths)} files). Repair or remove it, or "
            "pass --on_bad_input=skip."
        )
    good = {
        path: one
        for path, one in zip(paths, shapes, strict=True)
        if one is not None
    }
    if not bad:
        return good, ()
    # The report goes where files' names, which may be a person's, must not.
    runtime.console().print(f"left out: {bad[0]} ({len(bad)} such files)")
    return good, (f"left out {len(bad)} undecodable images",)


def _complete(
    listed: dict[str, list[tuple[str, int]]],
    class_names: tuple[str, ...],
    seed: int,
    root: Path,
) -> dict[str, list[tuple[str, int]]]:
    """Carves the missing splits out of train, class by class.

    A file's own name and the seed decide where it goes, so that files added
    later do not move the others from train to test.
    """
    rows = listed.pop("all" if "all" in listed else "train")
    missing = [key for key in ("valid", "test") if key not in listed]
    splits: dict[str, list] = {key: [] for key in ("train", *missing)}
    by_label = itertools.groupby(rows, key=lambda row: row[1])
    counts = dict.fromkeys(range(len(class_names)), 0)
    for label, group in by_label:
        mine = list(group)
        counts[label] = len(mine)
        mine.sort(key=lambda row: _place(row[0], root, seed))
        for index, key in enumerate(missing, start=1):
            part = sum(
                _place(path, root, seed) < index * HELD_OUT for path, _ in mine
            )
            splits[key] += mine[: max(1, part)]
            mine = mine[max(1, part) :]
        splits["train"] += mine
    least = min(counts, key=lambda label: counts[label])
    if counts[least] <= len(missing):
        raise InputError(
            f"--dataset must have at least {len(missing) + 1} images of every "
            f"class; {class_names[least]} has {counts[least]}."
        )
    return {**listed, **splits}


def _place(path: str, root: Path, seed: int) -> float:
    """Returns a number in [0, 1) that the path in the set and seed fix."""
    name = f"{seed}:{Path(path).relative_to(root).as_posix()}"
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _file_stream(
    rows: list[tuple[str, int]], shape: tuple[int, int, int]
) -> splits.StreamSplit:
    """Returns a split that reads and decodes files."""
    height, width, channels = shape
    with tf.device("CPU"):
        paths = tf.constant([path for path, _ in rows])
        labels = tf.constant([label for _, label in rows], tf.int64)

    def records(key: Any) -> tf.data.Dataset:
        order = tf.range(len(rows), dtype=tf.int64)
        if key is not None:
            # A full shuffle of 8 bytes per file; no buffer of images is better.
            order = tf.random.experimental.stateless_shuffle(order, seed=key)
        return tf.data.Dataset.from_tensor_slices(order).map(at)

    def at(index: Any) -> tuple[Any, Any]:
        return tf.gather(paths, index), tf.gather(labels, index)

    def parse(path: Any, label: Any) -> tuple[Any, Any]:
        image = images.decode(tf.io.read_file(path), channels)
        return images.fit(image, (height, width)), label

    return splits.StreamSplit(len(rows), shape, records, parse, at)
