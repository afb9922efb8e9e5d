"""Variants: the names in `--variants` and what they stand for."""

import dataclasses
import difflib
import itertools
from collections.abc import Iterable, Sequence

from common.options import InputError

TECHNIQUES = ("prune", "cluster", "qat")
FORMATS = ("float32", "float16", "dynamic", "int8")

Techniques = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a TFLite file is made by.

    Attributes:
        name: As in `--variants`, e.g. `prune+cluster+int8`.
        techniques: The steps behind it, in order, from `TECHNIQUES`.
        format: One of `FORMATS`; after `qat` it is `int8`.
    """

    name: str
    techniques: Techniques
    format: str


def _all_variants() -> dict[str, Variant]:
    """Returns every variant there is, by name."""
    found = {}
    for size in range(3):
        for before in itertools.combinations(TECHNIQUES[:2], size):
            for last in FORMATS:
                name = "+".join((*before, last))
                found[name] = Variant(name, before, last)
            name = "+".join((*before, "qat"))
            found[name] = Variant(name, (*before, "qat"), "int8")
    return found


VARIANTS = _all_variants()


def parse(names: Sequence[str]) -> list[Variant]:
    """Returns the variants called `names`; float32 is always the first."""
    for name in names:
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, VARIANTS, 1) or ["int8"]
            raise InputError(
                f"--variants must be prune, cluster (in this order, or none) "
                f"and one of {', '.join(FORMATS)}, qat, joined by +; received "
                f"{name!r}. Did you mean {near[0]}?"
            )
    return [VARIANTS[name] for name in dict.fromkeys(("float32", *names))]


def prefixes(wanted: Iterable[Techniques]) -> list[Techniques]:
    """Returns all steps on the way to `wanted`, short ones first."""
    every = {one[:end] for one in wanted for end in range(1, len(one) + 1)}
    return sorted(every, key=lambda one: (len(one), one))
