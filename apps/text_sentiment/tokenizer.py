"""The reference tokenizer: pure Python, the recipe for a phone's language.

`mobile/tokenizer.json` and `mobile/vocab.txt` of a release specify it fully;
a port needs a dictionary and the regular expressions of its library.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# ASCII alone: libraries differ in the lower case of other letters.
LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class Tokenizer:
    """Turns a text into token ids.

    Args:
        vocabulary: The lines of `vocab.txt`; a word's id is its line, from 0.
        specification: The content of `tokenizer.json`.
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
            (re.compile(rule["pattern"]), rule["replacement"])
            for rule in specification["rules"]
        ]

    def words(self, text: str) -> list[str]:
        """Returns all words and symbols of a text."""
        text = text.translate(LOWER)
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return [word for word in text.split(" ") if word]

    def ids(self, words: Sequence[str]) -> list[int]:
        """Returns 1 to `max_tokens` ids; a longer text loses its middle."""
        ids = [self._ids.get(word, self.unknown) for word in words]
        if len(ids) > self.max_tokens:
            tail = self.max_tokens - self.head
            ids = ids[: self.head] + ids[len(ids) - tail :]
        return ids or [self.unknown]

    def padded(self, text: str) -> list[int]:
        """Returns `max_tokens` ids, padded, as a TFLite file takes them."""
        ids = self.ids(self.words(text))
        return ids + [self.padding] * (self.max_tokens - len(ids))
