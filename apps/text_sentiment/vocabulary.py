"""The tokenizer's rules, and the vocabulary made of the training texts."""

import collections
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common.mobile import files
from common.options import InputError

from .config import APP
from .tokenizer import Tokenizer

VOCABULARY, TOKENIZER = "vocab.txt", "tokenizer.json"
PADDING, UNKNOWN = 0, 1  # The first lines of vocab.txt.
SPECIAL = ("<padding>", "<unknown>")  # The rules leave no word like these.

# RE2 (TensorFlow), ICU (Swift), Java and Python read classes, groups and
# counts alike; hence nothing else, and no class that excludes.
TAG = "<[a-z/!][ -;=?-~]{0,80}>"
EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff"
# Chinese and Japanese characters, which no spaces part, and emoji: each is a
# token of its own.
SYMBOL = f"!?\uff01\uff1f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff{EMOJI}"
# Control characters, punctuation, joiners, the selectors behind an emoji.
BLANK = (
    '\\x00-\\x1f"-&(-/:->@\\[-`{-\xbf\u2000-\u206f\u3000-\u303f'
    "\ufe00-\ufe0f\uff02-\uff0f\uff1a-\uff1e"
)
# In this order, after A to Z were made lower case.
RULES = (
    ("[\u2018\u2019\u02bc]", "'"),
    (TAG, " "),
    ("&#?[a-z0-9]{1,8};", " "),
    (f"([{SYMBOL}])", r" \1 "),
    (f"[{BLANK}]", " "),
    ("(^| )'+|'+( |$)", " "),  # Quotes; an apostrophe inside a word stays.
)


def specification(max_tokens: int) -> dict[str, Any]:
    """Returns the content of `tokenizer.json`."""
    return {
        "lower_case": "A-Z",
        "rules": [{"pattern": a, "replacement": b} for a, b in RULES],
        "split": " ",
        "padding_id": PADDING,
        "unknown_id": UNKNOWN,
        "max_tokens": max_tokens,
        "head_tokens": max_tokens // 4,  # A text's end says most.
    }


def build(
    texts: Iterable[Sequence[str]], size: int, max_tokens: int
) -> Tokenizer:
    """Returns a tokenizer that knows the most frequent words.

    Args:
        texts: The words of each training text.
        size: The largest number of ids, padding and unknown words included.
        max_tokens: The largest number of ids of a text.
    """
    counts: collections.Counter[str] = collections.Counter()
    for words in texts:
        counts.update(words)
    # Ties in the order of the alphabet: the same texts, the same ids.
    order = sorted(counts, key=lambda word: (-counts[word], word))
    frequent = [word for word in order if counts[word] > 1]
    words = (frequent or order)[: size - len(SPECIAL)]
    return make((*SPECIAL, *words), max_tokens)


def make(vocabulary: Sequence[str], max_tokens: int) -> Tokenizer:
    """Returns the tokenizer of a vocabulary that begins with `SPECIAL`."""
    return Tokenizer(vocabulary, specification(max_tokens))


def write(directory: Path, tokenizer: Tokenizer) -> None:
    """Writes `vocab.txt` and `tokenizer.json`."""
    files.write_names(directory / VOCABULARY, tokenizer.vocabulary)
    files.write_json(directory / TOKENIZER, tokenizer.specification)


def read(directory: Path) -> Tokenizer:
    """Reads the tokenizer that `write` wrote."""
    words = files.read_names(directory / VOCABULARY, APP)
    rules = files.read_json(directory / TOKENIZER, APP)
    with files.reading(directory / TOKENIZER):
        return Tokenizer(words, rules)


def check_same(taught: Tokenizer, own: Tokenizer) -> None:
    """Refuses a teacher whose token ids stand for other words.

    Its texts may be longer or shorter: it reads the student's ids.

    Args:
        taught: The tokenizer of the teacher.
        own: The tokenizer of the data to learn from.

    Raises:
        InputError: If the words or the rules differ.
    """
    if (taught.vocabulary, taught.specification["rules"]) != (
        own.vocabulary,
        own.specification["rules"],
    ):
        raise InputError(
            f"--teacher must have the tokenizer of this run, of "
            f"{len(own.vocabulary)} ids; it has other words or rules, and "
            f"{len(taught.vocabulary)} ids. Train both on the same texts, with "
            "the same --vocabulary_size and --pretrain."
        )
