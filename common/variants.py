"""Variants: the names in `--variants` and the files that they stand for."""

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
    """The steps that make a TFLite file.

    Attributes:
        name: The name in `--variants`, e.g. `prune+cluster+int8`.
        techniques: The compression steps before conversion, in order, from
            `TECHNIQUES`.
        format: One of `FORMATS`; after `qat` it is `int8`.
    """

    name: str
    techniques: Techniques
    format: str


def _all_variants() -> dict[str, Variant]:
    """Returns all possible variants, by name."""
    variants = {}
    for size in range(3):
        for before in itertools.combinations(TECHNIQUES[:2], size):
            for last in FORMATS:
                name = "+".join((*before, last))
                variants[name] = Variant(name, before, last)
            name = "+".join((*before, "qat"))
            variants[name] = Variant(name, (*before, "qat"), "int8")
    return variants


VARIANTS = _all_variants()


def parse(names: Sequence[str]) -> list[Variant]:
    """Returns the variants called `names`; float32 is always the first.

    Raises:
        InputError: If a name is that of no variant.
    """
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
    """Returns all sequences of steps that lead to `wanted`, shortest first."""
    steps = {
        techniques[:end]
        for techniques in wanted
        for end in range(1, len(techniques) + 1)
    }
    return sorted(steps, key=lambda techniques: (len(techniques), techniques))
