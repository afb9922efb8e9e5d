"""What is checked of image files before a run takes them."""

import collections
import concurrent.futures
import hashlib
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from common import console, runtime
from common.console import track
from common.options import InputError

from . import encoded, folders, image_files, images

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif",
            ".webp", ".tif", ".tiff", ".avif")  # fmt: skip
FILES_AT_A_TIME = 1024


def is_image(path: Path) -> bool:
    """Tells whether a file's name is that of an image."""
    return path.suffix.lower() in SUFFIXES


class Checked(NamedTuple):
    """What is known of a file that was decoded once.

    Attributes:
        shape: Height, width and channels; 1 if it is grey, else 3.
        digest: Names its content.
        is_transcoded: Whether `image_files` makes a PNG of it.
    """

    shape: tuple[int, ...]
    digest: int
    is_transcoded: bool


def check_files(
    paths: list[str], skip_bad: bool, max_megapixels: float
) -> tuple[dict[str, Checked], tuple[str, ...]]:
    """Decodes every file; returns what is known of the good ones, and notes."""

    def check(path: str) -> Checked | str:
        try:
            encoded.check_file(Path(path), max_megapixels)
            original = Path(path).read_bytes()
            content = image_files.decodable(original, max_megapixels)
            channels = images.own_channels(content)
            image = images.decode(content, channels, max_megapixels)
        except encoded.UnreadableError as error:
            return str(error)
        except (tf.errors.InvalidArgumentError, OSError):
            return "it cannot be decoded"
        if 0 in image.shape:
            return "it is empty"
        digest = hashlib.sha256(original).digest()
        # Of a GIF a part is taken, which is no PNG.
        is_transcoded = content != original and content.startswith(b"\x89PNG")
        return Checked(
            tuple(image.shape), int.from_bytes(digest[:8]), is_transcoded
        )

    with (
        runtime.native_stderr_hidden(show_python=True),
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        # In parts: `map` makes a future of a kilobyte for each file at once.
        parts = (
            result
            for start in range(0, len(paths), FILES_AT_A_TIME)
            for result in pool.map(
                check, paths[start : start + FILES_AT_A_TIME]
            )
        )
        results = list(track(parts, "checking images", len(paths)))
    bad = [
        f"{path}: {reason}"
        for path, reason in zip(paths, results, strict=True)
        if isinstance(reason, str)
    ]
    if bad and not skip_bad:
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{len(paths)} files). Repair or remove it, or pass "
            "--on_bad_input=skip."
        )
    good = {
        path: result
        for path, result in zip(paths, results, strict=True)
        if not isinstance(result, str)
    }
    if not bad:
        return good, ()
    # The report goes where files' names, which may be a person's, must not.
    console.get(stderr=True).print(
        f"left out: {bad[0]} ({len(bad)} such files)"
    )
    return good, (f"left out {len(bad)} undecodable images",)


def left_out(root: Path) -> tuple[str, ...]:
    """Returns a note of the files in a data set that are no images, by kind."""
    kinds = collections.Counter(
        path.suffix.lower() or "without a suffix"
        for path in folders.files(root, lambda path: not is_image(path))
    )
    if not kinds:
        return ()
    counts = ", ".join(f"{num} {kind}" for kind, num in kinds.most_common())
    return (f"left out {counts}: no images by their names",)


def without_copies(
    rows: list[tuple[str, int]], checked: dict[str, Checked]
) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Keeps the first of equal images, so that no split takes another's.

    Returns:
        The rows that are left, and a note of what was left out.
    """
    first: dict[int, str] = {}
    for path, _ in rows:
        first.setdefault(checked[path].digest, path)
    kept = [row for row in rows if first[checked[row[0]].digest] == row[0]]
    num = len(rows) - len(kept)
    return kept, (f"left out {num} copies of other images",) if num else ()


def without_duplicates(
    listed: dict[str, list[tuple[str, int]]], checked: dict[str, Checked]
) -> tuple[dict[str, list[tuple[str, int]]], tuple[str, ...]]:
    """Keeps each image in one split only: in test, else in validation.

    What is trained on must not be tested. Copies within a split stay.

    Returns:
        The rows by split, and a note of what was left out.
    """
    splits_of: dict[int, str] = {}
    for key in ("test", "valid", "train"):
        for path, _ in listed[key]:
            splits_of.setdefault(checked[path].digest, key)
    kept = {
        key: [row for row in rows if splits_of[checked[row[0]].digest] == key]
        for key, rows in listed.items()
    }
    notes = tuple(
        f"left out {num} images of {key} that are in another split as well"
        for key in ("train", "valid")
        if (num := len(listed[key]) - len(kept[key]))
    )
    return kept, notes
