"""A file that is written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[Any]:
    """Gives a file to write, which becomes `path` when the block ends.

    Whatever the block raises leaves `path` as it was. What a killed process
    leaves has another name; see `remove_partial`.

    Args:
        path: The file.
        mode: `w` for text in UTF-8 with its line ends as they are, or `w+b`.

    Raises:
        OSError: If the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with partial.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_partial(path: Path) -> None:
    """Removes what killed processes left of `path`; nobody may write it now."""
    for partial in path.parent.glob(f".{path.name}.partial-*"):
        partial.unlink(missing_ok=True)
