"""Images: decoding, fitting to a size, TFDS sets and folders of classes."""

import concurrent.futures
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import rich.progress
from etils import epy

from common import data, runtime, tfds_source
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


def decode(content: "tf.Tensor", channels: int) -> "tf.Tensor":
    """Returns the `(height, width, channels) uint8` image in `content`.

    Runs inside a graph, so that a server decodes exactly as training did.

    Args:
        content: Scalar string: a PNG, JPEG, BMP or GIF (its first frame).
        channels: 1 for grey, 3 for RGB. An alpha channel is dropped.
    """
    # BMP and GIF decoders give only RGB, hence never ask them for grey.
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    if channels == 3:
        return image
    # Exact for grey images, whose three channels are equal.
    grey = tf.image.rgb_to_grayscale(tf.cast(image, tf.float32))
    return tf.cast(tf.round(grey), tf.uint8)


def fit(image: "tf.Tensor", size: tuple[int, int]) -> "tf.Tensor":
    """Returns `image` resized to `size`, uint8; anti-aliased when it shrinks.

    Args:
        image: `(height, width, channels)` or with a batch axis, uint8.
        size: Height and width in pixels.
    """
    static = tuple(image.shape[-3:-1])
    if static == tuple(size):
        return image
    resized = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def load(
    dataset: str,
    *,
    data_dir: str = "",
    image_size: int = 0,
    usual_size: int = 64,
    pipeline: str = "auto",
    seed: int = 0,
    skip_bad: bool = False,
) -> data.Splits:
    """Loads an image-classification set by TFDS name or as a folder.

    Args:
        dataset: A TFDS name, or a folder of class folders, with or without
            `train`, `valid` and `test` folders above them.
        data_dir: The TFDS data directory.
        image_size: Height and width to resize to; 0 keeps the size that all
            images share, and takes `usual_size` if they differ.
        usual_size: See `image_size`.
        pipeline: One of `data.PIPELINES`.
        seed: Fixes the split of a folder that has none.
        skip_bad: Leave undecodable files out instead of refusing the folder.

    Returns:
        Splits whose features are `(height, width, channels) uint8` images.
    """
    if Path(dataset).is_dir():
        return _load_folder(
            Path(dataset), image_size, usual_size, pipeline, seed, skip_bad
        )
    if dataset.startswith((".", "/", "~")) or dataset.endswith("/"):
        raise InputError(f"--dataset must be a folder; {dataset!r} is none.")
    return _load_tfds(dataset, data_dir, image_size, usual_size, pipeline)


def _load_tfds(
    name: str, data_dir: str, image_size: int, usual_size: int, pipeline: str
) -> data.Splits:
    """Loads a TFDS set that has an image and a class label."""
    builder = tfds_source.builder(name, data_dir)
    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    if not all(key in features for key in keys) or not hasattr(
        features[keys[1]], "int2str"
    ):
        raise InputError(
            f"--dataset must have an image and a class label; {name} has "
            f"{', '.join(features)}."
        )
    height, width, channels = features[keys[0]].shape
    if image_size or height is None or width is None:
        height = width = image_size or usual_size

    def parse(example: dict[str, Any]) -> tuple[Any, Any]:
        image = fit(example[keys[0]], (height, width))
        return image, example[keys[1]]

    streams = {
        key: data.load(
            tfds_source.stream(
                builder, split, parse, (height, width, channels or 3)
            ),
            pipeline,
        )
        for key, split in tfds_source.split_names(builder).items()
    }
    return data.Splits(
        name=f"{builder.info.full_name}",
        class_names=tuple(features[keys[1]].names),
        **streams,
    )


def _load_folder(
    root: Path,
    image_size: int,
    usual_size: int,
    pipeline: str,
    seed: int,
    skip_bad: bool,
) -> data.Splits:
    """Loads a folder of class folders."""
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
    listed = _complete(listed, class_names, seed)
    found = set(shapes.values())
    height, width, _ = next(iter(found))
    if image_size or len({shape[:2] for shape in found}) > 1:
        height = width = image_size or usual_size
    channels = 1 if all(shape[2] == 1 for shape in found) else 3
    streams = {
        key: data.load(_file_stream(rows, (height, width, channels)), pipeline)
        for key, rows in listed.items()
    }
    return data.Splits(
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
            if path.suffix.lower() in SUFFIXES and path.is_file()
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
        shapes = list(
            rich.progress.track(
                pool.map(shape, paths),
                description="checking images",
                total=len(paths),
                transient=True,
                console=runtime.console(stderr=True),
                disable=len(paths) < 1000,
            )
        )
    bad = [path for path, one in zip(paths, shapes, strict=True) if one is None]
    if bad and not skip_bad:
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} cannot be decoded"
            f" ({len(bad)} of {len(paths)} files). Repair or remove it, or "
            "pass --on_bad_input=skip."
        )
    notes = (f"left out {len(bad)} undecodable images, e.g. {bad[0]}",)
    good = {
        path: one
        for path, one in zip(paths, shapes, strict=True)
        if one is not None
    }
    return good, notes if bad else ()


def _complete(
    listed: dict[str, list[tuple[str, int]]],
    class_names: tuple[str, ...],
    seed: int,
) -> dict[str, list[tuple[str, int]]]:
    """Carves the missing splits out of train, class by class."""
    rows = listed.pop("all", None) or listed.pop("train")
    missing = [key for key in ("valid", "test") if key not in listed]
    rng = np.random.default_rng(seed)
    splits: dict[str, list] = {key: [] for key in ("train", *missing)}
    by_label = itertools.groupby(rows, key=lambda row: row[1])
    counts = dict.fromkeys(range(len(class_names)), 0)
    for label, group in by_label:
        mine = list(group)
        counts[label] = len(mine)
        mine = [mine[i] for i in rng.permutation(len(mine))]
        part = max(1, round(HELD_OUT * len(mine)))
        for key in missing:
            splits[key] += mine[:part]
            mine = mine[part:]
        splits["train"] += mine
    least = min(counts, key=lambda label: counts[label])
    if counts[least] <= len(missing):
        raise InputError(
            f"--dataset must have at least {len(missing) + 1} images of every "
            f"class; {class_names[least]} has {counts[least]}."
        )
    return {**listed, **splits}


def _file_stream(
    rows: list[tuple[str, int]], shape: tuple[int, int, int]
) -> data.StreamSplit:
    """Returns a split that reads and decodes files."""
    height, width, channels = shape
    paths, labels = (list(column) for column in zip(*rows, strict=True))

    def records(seed: Any) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices((paths, labels))
        # Names are small: a full shuffle, better than any buffer of images.
        return files if seed is None else data.shuffle(files, len(rows), seed)

    def parse(path: Any, label: Any) -> tuple[Any, Any]:
        image = decode(tf.io.read_file(path), channels)
        return fit(image, (height, width)), tf.cast(label, tf.int64)

    return data.StreamSplit(len(rows), shape, records, parse)
