"""A checkpoint: arrays in one file, written whole and checked before use.

The file is NumPy's `.npz`, followed by its SHA-256. A new checkpoint takes the
name of the last, which is kept beside it with the suffix `.before`: if one of
the two files is damaged, training goes on from the other.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common import whole_file

DIGEST_BYTES = 32
BLOCK_BYTES = 2**20


def beside(path: Path, suffix: str) -> Path:
    """Returns the path beside `path` with a suffix: `before` or `damaged`."""
    return path.with_name(f"{path.name}.{suffix}")


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint, and keeps the last one with the suffix `.before`.

    Args:
        path: The checkpoint's file.
        arrays: Arrays of any shape and dtype, by name.

    Raises:
        OSError: If it cannot be written; the last checkpoint is then unchanged.
    """
    with whole_file.writing(path, "w+b") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.seek(0)
        file.write(hashlib.file_digest(file, "sha256").digest())
        file.flush()
        os.fsync(file.fileno())
        # The last checkpoint moves only when the new one is on the disk.
        if path.exists():
            path.replace(beside(path, "before"))


def is_whole(path: Path) -> bool:
    """Returns whether a file ends in the SHA-256 of the bytes before it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        remaining = path.stat().st_size - DIGEST_BYTES
        while remaining > 0 and (
            block := file.read(min(remaining, BLOCK_BYTES))
        ):
            digest.update(block)
            remaining -= len(block)
        return file.read() == digest.digest()


def mend(path: Path) -> list[str]:
    """Makes `path` the newest undamaged checkpoint; removes it without one.

    A damaged checkpoint gets the suffix `.damaged`. Partial files of writes
    that were killed are removed.

    Returns:
        A note for the user, one sentence, on each damaged checkpoint.
    """
    whole_file.remove_partial(path)
    damaged = []
    for file in (path, beside(path, "before")):
        if not file.exists():  # A kill between two renames leaves no `path`.
            continue
        if is_whole(file):
            file.replace(path)
            break
        damaged.append(file)
        file.replace(beside(file, "damaged"))
    start = "from the backup before it" if path.exists() else "anew"
    return [
        f"{file} is damaged; it was set aside as "
        f"{beside(file, 'damaged').name}, and training starts {start}."
        for file in damaged
    ]


def remove(path: Path) -> None:
    """Removes a checkpoint and the one before; keeps damaged ones."""
    whole_file.remove_partial(path)
    for file in (path, beside(path, "before")):
        file.unlink(missing_ok=True)
