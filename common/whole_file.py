"""A file that is written whole or not at all."""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[Any]:
    """Gives a file to write, which becomes `path` when the block ends.

    Whatever the block raises leaves `path` as it was. What a killed process
    leaves has another name; see `remove_partial`.

    Args:
        path: The file. Of a link its target is written; the access rights of a
            file that is there stay.
        mode: `w` for text in UTF-8 with its line ends as they are, or `w+b`.

    Raises:
        OSError: If the file cannot be written.
    """
    target = path.resolve()
    part = f".{target.name[:100]}.partial-{os.getpid()}-{secrets.token_hex(4)}"
    partial = target.with_name(part)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with partial.open(
            mode.replace("w", "x"), encoding=encoding, newline=newline
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_partial(path: Path) -> None:
    """Removes what killed processes left of `path`; nobody may write it now."""
    target = path.resolve()
    pattern = f".{glob.escape(target.name[:100])}.partial-*"
    for partial in target.parent.glob(pattern):
        partial.unlink(missing_ok=True)
