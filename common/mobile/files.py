"""The files in a release's `mobile`: TFLite variants, and texts beside them.

`labels.txt` has the classes and `features.txt` the columns, a line each, in the
order of the files' outputs or inputs.
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
    """Writes names, of which none has a line break, a line each."""
    path.write_text("\n".join(names) + "\n", encoding="utf-8")


def read_names(path: Path, app: str) -> tuple[str, ...]:
    """Returns what `write_names` wrote; see `read_text`."""
    return tuple(read_text(path, app).split("\n")[:-1])


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path, app: str) -> Any:
    """Returns what `write_json` wrote; see `read_text`."""
    text = read_text(path, app)
    with reading(path):
        return json.loads(text)


def read_text(path: Path, app: str) -> str:
    """Returns the text of a file that each release of an app has.

    Raises:
        InputError: If there is no such file, as in another app's release, or
            it is damaged.
    """
    if not path.is_file():
        raise InputError(f"--release must be of {app}; there is no {path}.")
    with reading(path):
        return path.read_text("utf-8")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Refuses a release's text file whose content is not as we wrote it.

    Raises:
        InputError: Instead of what reading, parsing and looking up raise.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"--release must be whole; {path} is damaged: {quote(str(error))}. "
            "Copy it again."
        ) from None


def variant(release: Path, name: str) -> Path:
    """Returns the TFLite file of a variant.

    Raises:
        InputError: If the release has none of this name; lists those it has.
    """
    path = release / "mobile" / f"{name}.tflite"
    known = sorted(one.stem for one in path.parent.glob("*.tflite"))
    if name not in known:
        raise InputError(
            f"--variant must be one of {', '.join(known)}; received "
            f"{quote(name)}."
        )
    return path
