"""What is checked of image files before a run takes them."""

import concurrent.futures
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from common import console, runtime
from common.console import track
from common.options import InputError

from . import encoded, image_files, images

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif",
            ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")  # fmt: skip
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
        is_plain: See `images.is_plain`; of the PNG if it is transcoded.
    """

    shape: tuple[int, ...]
    digest: int
    is_transcoded: bool
    is_plain: bool


def check_files(
    paths: list[str], skip_bad: bool, max_megapixels: float
) -> dict[str, Checked]:
    """Decodes every file; returns what is known of those that are readable.

    Raises:
        InputError: If a file is not readable and `skip_bad` is not set.
    """
    check = functools.partial(_check, max_megapixels=max_megapixels)
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
    good: dict[str, Checked] = {}
    bad = []
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, str):
            bad.append(f"{path}: {result}")
        else:
            good[path] = result
    if bad:
        _report(bad, len(paths), skip_bad)
    return good


def _check(path: str, max_megapixels: float) -> Checked | str:
    """Decodes a file; returns what is known of it, or why it is unreadable."""
    try:
        encoded.check_file(Path(path), max_megapixels)
        original = Path(path).read_bytes()
        content = image_files.decodable(original, max_megapixels)
        channels = images.own_channels(content)
        sides, is_plain = images.traced_sides()(content)
    except encoded.UnreadableError as error:
        return str(error)
    except (tf.errors.InvalidArgumentError, OSError):
        return "it cannot be decoded"
    height, width = sides.numpy().tolist()
    if not height or not width:
        return "it is empty"
    digest = hashlib.sha256(original).digest()
    # Of a GIF a part is taken, which is no PNG.
    is_transcoded = content != original and content.startswith(b"\x89PNG")
    return Checked(
        (height, width, channels),
        int.from_bytes(digest[:8]),
        is_transcoded,
        bool(is_plain),
    )


def _report(bad: list[str], num_files: int, skip_bad: bool) -> None:
    """Prints which files are left out, or refuses all of them.

    Args:
        bad: The unreadable files, each with the reason.
        num_files: The number of all files.
        skip_bad: Whether unreadable files are left out.

    Raises:
        InputError: If `skip_bad` is not set.
    """
    if not skip_bad:
        raise InputError(
            f"--dataset must hold readable images; {bad[0]} ({len(bad)} of "
            f"{num_files} files). Repair or remove it, or pass "
            "--on_bad_input=skip."
        )
    # The report goes where files' names, which may be a person's, must not.
    console.get(stderr=True).print(
        f"left out: {bad[0]} ({len(bad)} such files)"
    )
