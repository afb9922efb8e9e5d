"""A release's manifest: the SHA-256 of every file in it, written last.

A file that changed after the release was made is reported before TensorFlow
reads it: a damaged file can fail in any part of TensorFlow, or give other
answers.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from common.options import InputError

NAME = "manifest.json"
# The files and folders that TF Serving and the embedded server read.
SERVED = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/",
    "assets/",
    "assets.extra/",
)


def write(release: Path) -> None:
    """Writes the manifest of a release that is complete.

    Args:
        release: The release's directory.
    """
    rows = {name: digest(release / name) for name in _names(release)}
    text = json.dumps({"sha256": rows}, indent=1) + "\n"
    (release / NAME).write_text(text, encoding="utf-8")


def read(release: Path) -> dict[str, str] | None:
    """Returns the SHA-256 of each file by name; None for an old release.

    Raises:
        InputError: If the manifest itself is damaged.
    """
    path = release / NAME
    if not path.exists():
        return None
    try:
        if not path.is_file():
            raise OSError
        rows = json.loads(path.read_text("utf-8"))["sha256"]
        return {str(name): str(row) for name, row in rows.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise InputError(
            f"{path} must be the manifest that the export wrote; it is "
            "damaged. Copy the release again."
        ) from None


def damages(release: Path) -> Iterator[str]:
    """Yields a line for each file that is missing, changed or unlisted.

    Raises:
        InputError: If the manifest itself is damaged.
    """
    rows = read(release)
    if rows is None:
        return
    for name, expected in rows.items():
        damage = _damage(release / name, expected)
        if damage:
            yield f"{name} {damage}"
    for name in _names(release):
        if name not in rows:
            yield f"{name} is not of this release"


def check(release: Path, parts: tuple[str, ...] = ()) -> None:
    """Refuses a release with a file that is missing or was changed.

    A file that the manifest does not list does no harm and is accepted.

    Args:
        release: The release's directory. A release without a manifest is
            accepted.
        parts: Only files whose names start with one of these are checked; ()
            checks all.

    Raises:
        InputError: If a file is missing or was changed.
    """
    for name, expected in (read(release) or {}).items():
        damage = name.startswith(parts or "") and _damage(
            release / name, expected
        )
        if damage:
            raise InputError(
                f"{release / name} must be as the export wrote it; it {damage}."
                f" Copy the release again; without {NAME} it is used as it is."
            )


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(path: Path, expected: str) -> str:
    """Returns what is wrong with a file, "" if nothing is."""
    try:
        if path.is_dir():
            return "is a directory"
        if path.exists() and not path.is_file():
            return "is no regular file"  # Reading a pipe could wait for ever.
        return "" if digest(path) == expected else "was changed"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _names(release: Path) -> list[str]:
    """Returns all files of a release except the manifest and hidden files."""
    names = (
        path.relative_to(release).as_posix()
        for path in release.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    return sorted(name for name in names if name != NAME)
