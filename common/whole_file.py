"""Files that appear under their names only when they are complete."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[Any]:
    """Yields a file to write, which becomes `path` when the block ends.

    If the block raises, `path` stays as it was. The file that a killed process
    leaves has another name; see `remove_partial`.

    Args:
        path: The path of the complete file.
        mode: `w` for text in UTF-8, whose line ends are kept, or `w+b`.

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
    """Removes the files that killed processes left beside `path`.

    No process may be writing `path` during the call.
    """
    for partial in path.parent.glob(f".{path.name}.partial-*"):
        partial.unlink(missing_ok=True)
