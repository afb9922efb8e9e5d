"""A checkpoint: arrays in one file, written whole and checked before use.

The file is NumPy's `.npz`, followed by its SHA-256. A new one replaces the
last, which stays beside it with the suffix `.before`: whatever happens to the
one, training goes on from the other.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common import whole_file

DIGEST_BYTES = 32
BLOCK_BYTES = 2**20


def beside(path: Path, what: str) -> Path:
    """Returns the name of `path`'s `before` or `damaged` file."""
    return path.with_name(f"{path.name}.{what}")


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint and keeps the one before.

    Raises:
        OSError: If it cannot be written; the last one is then as it was.
    """
    with whole_file.writing(path, "w+b") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.seek(0)
        file.write(hashlib.file_digest(file, "sha256").digest())
        file.flush()
        os.fsync(file.fileno())
        # Not before the new one is on the disk.
        if path.exists():
            path.replace(beside(path, "before"))


def is_whole(path: Path) -> bool:
    """Returns whether a file is as `write` wrote it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size - DIGEST_BYTES
        while left > 0 and (block := file.read(min(left, BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
        return file.read() == digest.digest()


def mend(path: Path) -> list[str]:
    """Makes `path` the newest whole checkpoint, or lets there be none.

    A damaged one is set aside by name; what a killed write left is removed.

    Returns:
        What a user should know of it, a sentence each.
    """
    whole_file.remove_partial(path)
    damaged = []
    for one in (path, beside(path, "before")):
        if not one.exists():  # As a kill between two renames leaves `path`.
            continue
        if is_whole(one):
            one.replace(path)
            break
        damaged.append(one)
        one.replace(beside(one, "damaged"))
    start = "from the backup before it" if path.exists() else "anew"
    return [
        f"{one} is damaged; it was set aside as {beside(one, 'damaged').name}, "
        f"and training starts {start}."
        for one in damaged
    ]


def remove(path: Path) -> None:
    """Removes a checkpoint and the one before; damaged ones stay."""
    whole_file.remove_partial(path)
    for file in (path, beside(path, "before")):
        file.unlink(missing_ok=True)
