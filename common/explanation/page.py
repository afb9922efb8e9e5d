"""The page and the table of explanations, written one example at a time."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import whole_file
from common.options import InputError
from common.release import predictions
from common.report import page, plots
from common.shared_options import ExplanationOptions

MOST = 200  # Examples on a page: pictures of more would be a page of 50 MB.
OF_THE_FLOAT_MODEL = (
    "Explained is the float model of the release (model.keras), not the int8 "
    "file or another of its files for phones."
)
COLOURS = "Orange parts raise the score, blue parts lower it."


@dataclasses.dataclass(frozen=True)
class Word:
    """A word of a text, or what is between two words.

    Attributes:
        text: The characters.
        part: Its part of the score; None for what has none, such as spaces.
    """

    text: str
    part: float | None = None


@dataclasses.dataclass(frozen=True)
class Example:
    """An explained example.

    Attributes:
        title: What the example is called on the page.
        rows: Its rows in the table; those of all examples have the same keys.
        facts: Names and values that the page shows, such as the class.
        words: The words of a text, in their order, spaces among them.
        pictures: PNG files by their captions.
        table: A table's header and lines, all of the same length.
    """

    title: str
    rows: Sequence[predictions.Row]
    facts: Mapping[str, Any]
    words: Sequence[Word] = ()
    pictures: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    table: Sequence[Sequence[Any]] = ()

    @property
    def strongest(self) -> float:
        """The greatest part of a word, without its sign."""
        return max((abs(word.part or 0.0) for word in self.words), default=0.0)


def check(options: ExplanationOptions, of_network: bool = True) -> None:
    """Refuses options that explanations cannot use, before any work is done.

    Args:
        options: The options of the command line.
        of_network: Whether `model.keras` is explained. Otherwise a server, or
            a TFLite file, gives the explanations with its answers.

    Raises:
        InputError: If `--output` or `--page` cannot be written, or if a server
            or a TFLite file is named, which have no gradients.
    """
    predictions.check_output(options.output)
    for name in ("server", "variant"):
        value = getattr(options, name, "")
        if value and of_network:
            raise InputError(
                "--mode=explain explains the float model of a release; "
                f"received --{name}={value}. Leave --{name} out."
            )
    path = Path(options.page)
    if options.page and path.suffix != ".html":
        raise InputError(
            f"--page must end in .html; received {options.page!r}."
        )
    if options.page and (not path.absolute().parent.is_dir() or path.is_dir()):
        raise InputError(
            "--page must be a file in a folder that exists; received "
            f"{options.page!r}."
        )


def show(
    options: ExplanationOptions,
    title: str,
    notes: Sequence[str],
    examples: Iterable[Example],
    shorten: Callable[[predictions.Row], predictions.Row] = lambda row: row,
) -> None:
    """Prints the table of explanations; writes it and the page if asked to.

    Each example is written as soon as it is explained.

    Args:
        options: Their `page`, `output` and `raw_output` are used.
        title: The title of the page.
        notes: Sentences on how to read the explanations.
        examples: At least one example.
        shorten: Maps a row to the row that is printed, with shorter texts.
    """
    if options.page:
        rows = write(Path(options.page), title, notes, examples)
    else:
        rows = (row for example in examples for row in example.rows)
    predictions.show(rows, options.output, options.raw_output, shorten)


def write(
    path: Path, title: str, notes: Sequence[str], examples: Iterable[Example]
) -> Iterator[predictions.Row]:
    """Writes the page, in which every text is escaped; yields the table's rows.

    The file appears, complete, when the last row has been taken from the
    iterator.
    """
    template = page.template(Path(__file__).with_name("page.html"))
    rest = iter(examples)
    rows: list[predictions.Row] = []

    def shown() -> Iterator[Example]:
        for example in itertools.islice(rest, MOST):
            rows.extend(example.rows)
            yield example

    parts = template.generate(
        title=title, notes=notes, examples=shown(), most=MOST, tint=tint,
        embedded=page.embedded,
    )  # fmt: skip
    with whole_file.writing(path) as file:
        for part in parts:
            file.write(part)
            yield from rows
            rows.clear()
        for example in rest:
            yield from example.rows


def tint(part: float, strongest: float) -> str:
    """Returns the style of a word: its colour has the sign of its part.

    Args:
        part: The word's part of the score.
        strongest: The greatest part, without its sign, which has full colour.
    """
    red, green, blue = rgb(plots.ORANGE if part > 0 else plots.BLUE)
    opacity = 0.8 * abs(part) / strongest if strongest else 0.0
    return f"background: rgba({red}, {green}, {blue}, {opacity:.3f})"


def rgb(colour: str) -> tuple[int, int, int]:
    """Returns the red, green and blue, 0 to 255, of a colour `#rrggbb`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
