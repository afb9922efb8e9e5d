"""Variants: the names in `--variants` and the files that they stand for."""

import dataclasses
import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from common.options import InputError

# In the order of a variant's name. `qat` is the last, and names a variant by
# itself: its file is int8.
TECHNIQUES = ("lowrank", "prune", "cluster", "qat")
FORMATS = ("float32", "float16", "dynamic", "int8", "int8x16", "int4")

Techniques = tuple[str, ...]

# `lowrank` makes two layers of one: this is added to the name of the first.
FIRST_HALF = "_low_rank"


def is_named(layer_name: str, names: Sequence[str]) -> bool:
    """Tells whether an option names a layer, or the layer it is a half of."""
    return layer_name in names or layer_name.removesuffix(FIRST_HALF) in names


@dataclasses.dataclass(frozen=True)
class Variant:
    """The steps that make a TFLite file.

    Attributes:
        name: The name in `--variants`, e.g. `prune+cluster+int8`.
        techniques: The compression steps before conversion, in order, from
            `TECHNIQUES`.
        format: One of `FORMATS`; after `qat` it is `int8`. In `int8x16` weights
            have 8 bits and what is computed has 16; in `int4` weights have 4
            bits and what is computed is float.
    """

    name: str
    techniques: Techniques
    format: str


class Plan(NamedTuple):
    """The variants of `--variants`: those to make, and those refused.

    `compression.chain.plan` and `mobile.conversion.plan` return it, before
    training and before conversion.

    Attributes:
        variants: The variants to make; the first is float32.
        refused: `{"name", "reason"}` of each variant that the model cannot
            take. A variant whose file cannot be made or run is added when that
            shows.
    """

    variants: list[Variant]
    refused: list[dict[str, str]]


def _all_variants() -> dict[str, Variant]:
    """Returns all possible variants, by name."""
    variants = {}
    for size in range(len(TECHNIQUES)):
        for before in itertools.combinations(TECHNIQUES[:-1], size):
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
                f"--variants must be {', '.join(TECHNIQUES[:-1])} (some in "
                f"this order, or none) and one of {', '.join(FORMATS)}, "
                f"{TECHNIQUES[-1]}, joined by +; received {name!r}. Did you "
                f"mean {near[0]}?"
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
