"""The places of words in a text, which the tokenizer itself does not tell."""

import re

from .tokenizer import LOWER, Tokenizer


def spans(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    """Returns start and end of each of `tokenizer.words(text)` in the text.

    The tokenizer's rules are applied once more, and it is noted where each
    character comes from.
    """
    characters = text.translate(LOWER)
    places = list(range(len(text)))
    for rule in tokenizer.specification["rules"]:
        parts, kept, end = [], [], 0
        for match in re.finditer(rule["pattern"], characters):
            new = match.expand(rule["replacement"])
            parts += [characters[end : match.start()], new]
            kept += places[end : match.start()]
            kept += [places[match.start()]] * len(new)
            end = match.end()
        characters = "".join([*parts, characters[end:]])
        places = kept + places[end:]
    return [
        (places[match.start()], places[match.end() - 1] + 1)
        for match in re.finditer("[^ ]+", characters)
    ]


def read_words(tokenizer: Tokenizer, num_words: int) -> list[int]:
    """Returns which words of a text have ids: a long text loses its middle."""
    if num_words <= tokenizer.max_tokens:
        return list(range(num_words))
    tail = tokenizer.max_tokens - tokenizer.head
    return [*range(tokenizer.head), *range(num_words - tail, num_words)]
