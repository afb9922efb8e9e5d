"""The reference tokenizer: pure Python, the recipe for a phone's language.

`mobile/tokenizer.json` and `mobile/vocab.txt` of a release specify it fully;
a port needs a dictionary and the regular expressions of its library.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# ASCII alone: libraries differ in how they fold the rest.
LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class Tokenizer:
    """Makes token ids of a text.

    Args:
        vocabulary: The lines of `vocab.txt`; a word's id is its line, from 0.
        specification: What `tokenizer.json` holds.
    """

    def __init__(
        self, vocabulary: Sequence[str], specification: Mapping[str, Any]
    ) -> None:
        self.vocabulary, self.specification = tuple(vocabulary), specification
        self.padding = specification["padding_id"]
        self.unknown = specification["unknown_id"]
        self.max_tokens = specification["max_tokens"]
        self.head = specification["head_tokens"]
        self._ids = {word: index for index, word in enumerate(vocabulary)}
        self._rules = [
            (re.compile(one["pattern"]), one["replacement"])
            for one in specification["rules"]
        ]

    def words(self, text: str) -> list[str]:
        """Returns the words and symbols of a text, all of them."""
        text = text.translate(LOWER)
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return [word for word in text.split(" ") if word]

    def ids(self, words: Sequence[str]) -> list[int]:
        """Returns 1 to `max_tokens` ids; too long a text loses its middle."""
        found = [self._ids.get(word, self.unknown) for word in words]
        if len(found) > self.max_tokens:
            tail = self.max_tokens - self.head
            found = found[: self.head] + found[len(found) - tail :]
        return found or [self.unknown]

    def padded(self, text: str) -> list[int]:
        """Returns `max_tokens` ids: what a TFLite file takes."""
        found = self.ids(self.words(text))
        return found + [self.padding] * (self.max_tokens - len(found))
