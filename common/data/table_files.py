"""The files that an option names: one, a list of several, or a pattern."""

import re
from pathlib import Path

import pyarrow as pa

from common.options import InputError, quote

# What a file may have that is not read in parts.
MAX_WHOLE_BYTES = 2**30
PATTERN = re.compile(r"[*?[]")


def paths(named: str | Path, option: str = "--dataset") -> list[Path]:
    """Returns the files that an option's value names, in a fixed order.

    Args:
        named: A path, or several joined by commas; `*`, `?` and `[...]` stand
            for parts of files' names, and `**` for any folders. The files of a
            pattern are in the order of their names, `part-2` before `part-10`.
            A value that is the path of a file names this file, whatever
            characters it has.
        option: The option, for errors.

    Raises:
        InputError: If a path is no file, a pattern has none, or a file is named
            twice.
    """
    parts = [part.strip() for part in str(named).split(",")]
    if is_file(Path(named)) or not all(parts):
        parts = [str(named)]
    files: list[Path] = []
    for part in parts:
        matched = [Path(part)]
        if PATTERN.search(part) and not is_file(matched[0]):
            matched = _matched(Path(part))
        for path in matched or [Path(part)]:
            if not is_file(path):
                rule = "have a file" if PATTERN.search(part) else "be a file"
                raise InputError(
                    f"{option} must {rule}; {quote(part, 300)} "
                    f"{'has none' if not matched else 'is not a file'}."
                )
            if path in files:
                raise InputError(
                    f"{option} must name each file once; {path} is in it twice."
                )
            files.append(path)
    return files


def is_file(path: Path) -> bool:
    """Tells whether a path, which may be any text, is a file's."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # The text is too long, or holds a NUL.
        return False


def title(named: str | Path) -> str:
    """Returns the name of a data set of files, without their folders."""
    try:
        files = paths(named)
    except InputError:
        return Path(named).name
    more = len(files) - 1
    return files[0].name + (f" and {more} more" if more else "")


def exist(named: str | Path) -> bool:
    """Tells whether an option's value, which may be any text, names files."""
    try:
        return Path(named).exists() or bool(paths(named))
    except (InputError, OSError, ValueError):  # It may be too long for a path.
        return False


def are_several(named: str | Path) -> bool:
    """Tells whether an option's value names several files."""
    return not Path(named).exists() and len(paths(named)) > 1


def identity(named: str | Path) -> str:
    """Returns a text that is the same however the same files are named.

    It is the absolute path of what is no pattern and no list, such as a folder
    or a file that is not here.
    """
    try:
        files = paths(named)
    except (InputError, OSError, ValueError):
        files = [Path(named)]
    return "\n".join(str(path.resolve()) for path in files)


def stream(path: Path) -> pa.NativeFile:
    """Opens a file for reading, unpacked if it is compressed by gzip."""
    is_packed = path.suffix.lower() == ".gz"
    return pa.input_stream(path, compression="gzip" if is_packed else None)


def whole(file: pa.NativeFile) -> bytes:
    """Reads a file that must be held as a whole.

    Raises:
        ValueError: If it is larger than `MAX_WHOLE_BYTES`; a packed file may
            be, whatever its size.
    """
    content = file.read(MAX_WHOLE_BYTES + 1)
    if len(content) > MAX_WHOLE_BYTES:
        raise ValueError(
            f"it has more than {MAX_WHOLE_BYTES / 1e6:,.0f} MB, unpacked"
        )
    return content


def _matched(pattern: Path) -> list[Path]:
    """Returns the files that a pattern names, in the order of their names."""
    # A pattern is relative to a folder; an absolute one to the root.
    folder = Path(pattern.anchor)
    inner = pattern.relative_to(folder) if pattern.anchor else pattern
    try:
        files = [path for path in folder.glob(str(inner)) if path.is_file()]
    except (OSError, ValueError):  # The pattern is empty or invalid.
        return []
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Returns a key that sorts the numbers in names by their values."""
    pieces = re.split(r"(\d{1,18})", str(path))
    return [
        (int(piece), "") if index % 2 else (-1, piece)
        for index, piece in enumerate(pieces)
    ]
