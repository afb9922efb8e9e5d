"""The console that everything is printed on, and bars of progress."""

from collections.abc import Iterable
from typing import TypeVar

import rich.console
import rich.progress

_silent = False


def get(stderr: bool = False) -> rich.console.Console:
    """Returns the console that everything is printed on.

    Where there is no terminal to ask, lines are 132 characters: a file of them
    is to be read, not to be cut at 80.
    """
    # No markup: a file's or a class's name may hold brackets.
    found = rich.console.Console(
        stderr=stderr,
        quiet=_silent and not stderr,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )
    if not found.is_terminal:
        found.width = 132
    return found


def be_silent() -> None:
    """Prints nothing on standard output from now on, errors only."""
    global _silent
    _silent = True


T = TypeVar("T")


def track(rows: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Yields `rows` behind a bar that leaves no trace.

    Args:
        rows: The work.
        description: What is done, one word or two.
        total: The number of rows.
    """
    terminal = get(stderr=True)
    return rich.progress.track(
        rows,
        description,
        total,
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
