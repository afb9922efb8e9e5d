"""Splits of token ids, made of a corpus; and what was found in the texts."""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.console import track
from common.data.splits import MemorySplit, Splits

from . import vocabulary
from .corpus import Corpus
from .tokenizer import Tokenizer

Words = list[list[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSplits(Splits):
    """Splits whose features are padded ids `(num, max_tokens) int32`.

    Attributes:
        tokenizer: Made the ids.
        corpus: The texts, in the order of the splits.
        words: The words of `train`, `valid`, `test` and `unlabelled`.
        unlabelled: Ids of the texts without a label, `(num, max_tokens)
            int32`; there may be none.
    """

    train: MemorySplit
    valid: MemorySplit
    test: MemorySplit
    tokenizer: Tokenizer
    corpus: Corpus
    words: Mapping[str, Words]
    unlabelled: np.ndarray


def tokenize(
    corpus: Corpus, vocabulary_size: int, max_tokens: int
) -> TextSplits:
    """Makes ids of all texts, with the training texts' vocabulary.

    Args:
        corpus: The texts.
        vocabulary_size: The most ids.
        max_tokens: The most ids of a text.
    """
    texts = {name: one.texts for name, one in corpus.splits.items()}
    texts["unlabelled"] = corpus.unlabelled
    rules = vocabulary.make(vocabulary.SPECIAL, max_tokens)
    words = {name: _words(rules, some) for name, some in texts.items()}
    tokenizer = vocabulary.build(
        [*words["train"], *words["unlabelled"]], vocabulary_size, max_tokens
    )
    splits: dict[str, Any] = {
        name: encode(tokenizer, words[name], one.labels)
        for name, one in corpus.splits.items()
    }
    without = np.full(len(corpus.unlabelled), -1)
    unlabelled = encode(tokenizer, words["unlabelled"], without).features
    notes = [
        census(name, some, words[name], tokenizer)
        for name, some in texts.items()
        if some
    ]
    return TextSplits(
        name=corpus.name,
        class_names=corpus.class_names,
        notes=tuple(notes),
        tokenizer=tokenizer,
        corpus=corpus,
        words=words,
        unlabelled=unlabelled,
        **splits,
    )


def _words(tokenizer: Tokenizer, texts: Sequence[str]) -> Words:
    """Returns the words of each text."""
    # One object for each distinct word, not for each of millions.
    return [
        list(map(sys.intern, tokenizer.words(text)))
        for text in track(texts, "reading words", len(texts))
    ]


def encode(
    tokenizer: Tokenizer, words: Words, labels: np.ndarray
) -> MemorySplit:
    """Returns the ids of texts that are split into words."""
    features = np.full(
        (len(words), tokenizer.max_tokens), tokenizer.padding, np.int32
    )
    lengths = np.empty(len(words), np.int32)
    for index, one in enumerate(words):
        ids = tokenizer.ids(one)
        features[index, : len(ids)] = ids
        lengths[index] = len(ids)
    return MemorySplit(features, labels, lengths)


def census(
    name: str, texts: Sequence[str], words: Words, tokenizer: Tokenizer
) -> str:
    """Returns a line on what the texts of a split hold."""
    known = set(tokenizer.vocabulary)
    num = sum(map(len, words))
    unknown = sum(word not in known for one in words for word in one)
    emoji = re.compile(f"[{vocabulary.EMOJI}]")
    tag = re.compile(vocabulary.TAG, re.IGNORECASE)
    found = {
        "without a word": sum(not one for one in words),
        f"of more than {tokenizer.max_tokens} tokens": sum(
            len(one) > tokenizer.max_tokens for one in words
        ),
        "with emoji": sum(bool(emoji.search(text)) for text in texts),
        "with HTML": sum(bool(tag.search(text)) for text in texts),
    }
    parts = [f"{count:,} {what}" for what, count in found.items() if count]
    share = unknown / max(num, 1)
    return ", ".join(
        [f"{name}: {len(texts):,} texts", *parts, f"{share:.1%} unknown tokens"]
    )
