"""The files in a release's `mobile`: TFLite variants and text files.

`labels.txt` has a line per class, in the order of the outputs of the TFLite
files; `features.txt` has a line per column, in the order of their inputs.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.options import InputError, quote

LABELS = "labels.txt"
FEATURES = "features.txt"


def write_names(path: Path, names: Sequence[str]) -> None:
    """Writes one name per line; no name may have a line break."""
    path.write_text("\n".join(names) + "\n", encoding="utf-8")


def read_names(path: Path, app: str) -> tuple[str, ...]:
    """Returns the names in a file of `write_names`; see `read_text`."""
    return tuple(read_text(path, app).split("\n")[:-1])


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path, app: str) -> Any:
    """Returns the value in a file of `write_json`; see `read_text`."""
    text = read_text(path, app)
    with reading(path):
        return json.loads(text)


def read_text(path: Path, app: str) -> str:
    """Returns the text of a file that each release of an app has.

    Args:
        path: A file in the release.
        app: The app's name, for the error.

    Raises:
        InputError: If the file does not exist, as in another app's release, or
            is damaged.
    """
    if not path.is_file():
        raise InputError(f"--release must be of {app}; there is no {path}.")
    with reading(path):
        return path.read_text("utf-8")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Reports errors inside the block as damage to a release's file.

    Args:
        path: The file that the block reads.

    Raises:
        InputError: Instead of the errors of decoding, parsing and looking up.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"--release must be whole; {path} is damaged: {quote(str(error))}. "
            "Copy it again."
        ) from None


def variant(release: Path, name: str) -> Path:
    """Returns the path of a variant's TFLite file.

    Raises:
        InputError: If the release has no file of this name; the error lists the
            names that it has.
    """
    path = release / "mobile" / f"{name}.tflite"
    known = sorted(file.stem for file in path.parent.glob("*.tflite"))
    if name not in known:
        raise InputError(
            f"--variant must be one of {', '.join(known)}; received "
            f"{quote(name)}."
        )
    return path
