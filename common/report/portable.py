"""What a report says of files, without the paths of its author's machine."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# A home directory, at the start of a path; its name is a person's.
HOME = re.compile(
    r"(?<![\w.~/-])(?:file://)?(?:/(?:home|Users)/[^/\s\"',;:]+|/root)(?:/|\b)"
)


def options(value: Any) -> Any:
    """Returns options without absolute paths, which are the author's own.

    A path below the working directory becomes relative to it; any other
    absolute path keeps only its last name.
    """
    if isinstance(value, dict):
        return {key: options(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [options(item) for item in value]
    if not isinstance(value, str):
        return value
    if "," in value:  # It may be a list of paths.
        return ",".join(options(part) for part in value.split(","))
    if not Path(value).is_absolute():
        return HOME.sub("", value)
    path = Path(value)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return path.name


def texts(value: Any, given: Mapping[str, Any]) -> Any:
    """Returns texts without the folders that the author's files lie in.

    Only paths that belong to the author are looked for: a class may well be
    called `/m/01g317`.

    Args:
        value: A text, or lists and dicts of texts.
        given: The options, whose absolute paths show which folders these are.
    """
    folders = {str(path.parent) for path in _absolute(given)}
    folders |= {str(Path.cwd()), str(Path.home())}
    prefixes = sorted(folders - {"/"}, key=len, reverse=True)
    any_of = "|".join(map(re.escape, prefixes)) or "(?!)"  # It never matches.
    pattern = re.compile(rf"(?<![\w.~/-])(?:{any_of})(?:/|(?![\w.-]))")

    def clean(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: clean(part) for key, part in item.items()}
        if isinstance(item, list | tuple):
            return [clean(part) for part in item]
        if isinstance(item, str):
            return HOME.sub("", pattern.sub("", item))
        return item

    return clean(value)


def _absolute(value: Any) -> Iterator[Path]:
    """Yields the absolute paths among options, and in lists of paths."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _absolute(item)
    elif isinstance(value, str):
        paths = (Path(part) for part in value.split(","))
        yield from (path for path in paths if path.is_absolute())
