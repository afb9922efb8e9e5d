"""Labels as people write them: missing, in capitals, yes or no, as numbers."""

import collections
import re
from collections.abc import Collection, Mapping, Sequence

from common.data import cells
from common.options import quote

# Some programs write whole numbers so where other cells are empty.
WHOLE = re.compile(r"([+-]?\d+)\.0+")
SHOWN = 5  # Spellings that a note shows.


def is_missing(label: str) -> bool:
    """Tells whether a cell has no label."""
    return label.strip().lower() in cells.MISSING


def merged(labels: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Returns the classes of labels, where spellings of one meaning are one.

    A class has the spelling of most rows, without the spaces around it.

    Args:
        labels: The label of each row, as it is written.

    Returns:
        The class of each spelling, and notes on the spellings that were merged.
    """
    counts = collections.Counter(labels)
    spellings = collections.defaultdict(list)
    for label, meaning in _meanings(counts, counts).items():
        spellings[meaning].append(label)
    classes, notes = {}, []
    for group in spellings.values():
        group.sort(key=lambda label: (-counts[label], label))
        name = group[0].strip()
        classes.update(dict.fromkeys(group, name))
        if len(group) > 1:
            notes.append(_note(name, group, counts))
    return classes, notes


def known(
    labels: Sequence[str], class_names: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Returns which of the given classes each spelling means.

    Args:
        labels: The label of each row, as it is written.
        class_names: The classes, such as those of a release.

    Returns:
        The class of each spelling, without spellings of other classes, and
        notes on those that are not the class's own.
    """
    own = dict.fromkeys(class_names)
    spellings = collections.Counter(labels)
    meanings = _meanings([*own, *spellings], own)
    names = {meanings[name]: name for name in own}
    if len(names) < len(own):  # Classes that are spelt alike, but are not one.
        names, meanings = {name: name for name in own}, {}
    classes = {
        label: names[meaning]
        for label in spellings
        if (meaning := meanings.get(label, label.strip())) in names
    }
    others = collections.defaultdict(list)
    for label, name in classes.items():
        if label.strip() != name:
            others[name].append(label)
    notes = [_note(name, group, spellings) for name, group in others.items()]
    return classes, notes


def _note(name: str, labels: Sequence[str], counts: Mapping[str, int]) -> str:
    """Returns a note on labels that are read as one class."""
    shown = [f"{quote(label)} ({counts[label]:,} rows)" for label in labels]
    if len(shown) > SHOWN:
        shown[SHOWN:] = [f"{len(shown) - SHOWN} more"]
    return f"labels read as class {name}: {', '.join(shown)}"


def _meanings(
    labels: Collection[str], classes: Collection[str]
) -> dict[str, str]:
    """Returns a text for each label that is equal for labels of one meaning.

    Args:
        labels: Labels as they are written.
        classes: The labels that decide whether yes and no are read. They are
            only where all of these are one or the other: N may be north
            elsewhere.
    """
    plain = {label: _plain(label) for label in labels}
    yes, no = set(cells.YES), set(cells.NO)
    texts = set(map(_plain, classes))
    if not (texts & yes and texts & no and texts <= yes | no):
        return plain
    truths = {**dict.fromkeys(yes, "yes"), **dict.fromkeys(no, "no")}
    return {label: truths.get(text, text) for label, text in plain.items()}


def _plain(label: str) -> str:
    """Returns a label in small letters; whole numbers without zeros behind."""
    text = " ".join(label.split()).casefold()
    match = WHOLE.fullmatch(text)
    return match[1] if match else text


def ordered(names: Collection[str]) -> tuple[str, ...]:
    """Returns the classes: sorted as numbers if all are, otherwise as texts."""
    unique = set(names)
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in unique):
        # Equal numbers, such as 1 and 01, are sorted by their text.
        return tuple(sorted(unique, key=lambda name: (float(name), name)))
    return tuple(sorted(unique))
