"""The console that everything is printed on, and progress bars."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.console
import rich.progress

_silent = False


def get(stderr: bool = False) -> rich.console.Console:
    """Returns the console that everything is printed on.

    If the output is no terminal, such as a file, lines have 132 characters
    instead of the usual 80.

    Args:
        stderr: Whether to print on standard error.
    """
    # No markup: a file's or a class's name may hold brackets.
    console = rich.console.Console(
        stderr=stderr,
        quiet=_silent and not stderr,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )
    if not console.is_terminal:
        console.width = 132
    return console


def be_silent() -> None:
    """Makes the console of standard output print nothing from now on."""
    global _silent
    _silent = True


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keeps the console of standard output silent while the block runs."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


T = TypeVar("T")


def track(rows: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Yields `rows` and shows a progress bar, which disappears at the end.

    Args:
        rows: The items to yield.
        description: A few words on the work, for the bar.
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
