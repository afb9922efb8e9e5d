"""Splits of token ids, made of a corpus, and notes on the texts."""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import class_weight

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
        tokenizer: The tokenizer that made the ids.
        corpus: The texts, in the order of the splits.
        words: The words of `train`, `valid`, `test` and `unlabelled`.
        unlabelled: Ids of the texts without a label, `(num, max_tokens)
            int32`; there may be none.
        class_weights: How much a training text of each class counts,
            `(classes,) float32`; None if all texts count alike.
    """

    train: MemorySplit
    valid: MemorySplit
    test: MemorySplit
    tokenizer: Tokenizer
    corpus: Corpus
    words: Mapping[str, Words]
    unlabelled: np.ndarray
    class_weights: np.ndarray | None = None


def tokenize(
    corpus: Corpus, vocabulary_size: int, max_tokens: int
) -> TextSplits:
    """Returns the ids of all texts, by the vocabulary of the training texts.

    Args:
        corpus: The texts.
        vocabulary_size: The largest number of different ids.
        max_tokens: The largest number of ids of a text.
    """
    texts = {name: split.texts for name, split in corpus.splits.items()}
    texts["unlabelled"] = corpus.unlabelled
    rules = vocabulary.make(vocabulary.SPECIAL, max_tokens)
    words = {
        name: _words(rules, split_texts) for name, split_texts in texts.items()
    }
    tokenizer = vocabulary.build(
        [*words["train"], *words["unlabelled"]], vocabulary_size, max_tokens
    )
    splits: dict[str, Any] = {
        name: encode(tokenizer, words[name], split.labels)
        for name, split in corpus.splits.items()
    }
    no_labels = np.full(len(corpus.unlabelled), -1)
    unlabelled = encode(tokenizer, words["unlabelled"], no_labels).features
    notes = [
        census(name, split_texts, words[name], tokenizer)
        for name, split_texts in texts.items()
        if split_texts
    ]
    return TextSplits(
        name=corpus.name,
        class_names=corpus.class_names,
        notes=(*corpus.notes, *notes),
        tokenizer=tokenizer,
        corpus=corpus,
        words=words,
        unlabelled=unlabelled,
        **splits,
    )


def balanced(splits: TextSplits) -> TextSplits:
    """Returns splits whose classes count alike in training.

    A text counts by the inverse of the frequency of its class; the mean over
    the training texts is 1.
    """
    labels, num_classes = splits.train.labels, len(splits.class_names)
    weights = class_weight.compute_class_weight(
        "balanced", classes=np.arange(num_classes), y=labels
    )
    shown = ", ".join(
        f"{name} {weight:.3g}"
        for name, weight in zip(splits.class_names, weights, strict=True)
    )
    return dataclasses.replace(
        splits,
        class_weights=weights.astype(np.float32),
        notes=(*splits.notes, f"weights of training texts: {shown}"),
    )


def _words(tokenizer: Tokenizer, texts: Sequence[str]) -> Words:
    """Returns the words of each text."""
    # Interned: equal words share an object, for there are millions of them.
    return [
        list(map(sys.intern, tokenizer.words(text)))
        for text in track(texts, "reading words", len(texts))
    ]


def encode(
    tokenizer: Tokenizer, words: Words, labels: np.ndarray
) -> MemorySplit:
    """Returns padded ids, labels and lengths of texts split into words.

    Args:
        tokenizer: Gives the ids.
        words: The words of each text.
        labels: `(num,) int64`.
    """
    features = np.full(
        (len(words), tokenizer.max_tokens), tokenizer.padding, np.int32
    )
    lengths = np.empty(len(words), np.int32)
    for index, text_words in enumerate(words):
        ids = tokenizer.ids(text_words)
        features[index, : len(ids)] = ids
        lengths[index] = len(ids)
    return MemorySplit(features, labels, lengths)


def census(
    name: str, texts: Sequence[str], words: Words, tokenizer: Tokenizer
) -> str:
    """Returns a line of counts of the texts of a split, for the notes.

    Args:
        name: The split's name.
        texts: The texts.
        words: The words of each text.
        tokenizer: Gives the vocabulary and the longest text.
    """
    known = set(tokenizer.vocabulary)
    num = sum(map(len, words))
    unknown = sum(
        word not in known for text_words in words for word in text_words
    )
    emoji = re.compile(f"[{vocabulary.EMOJI}]")
    tag = re.compile(vocabulary.TAG, re.IGNORECASE)
    counts = {
        "without a word": sum(not text_words for text_words in words),
        f"of more than {tokenizer.max_tokens} tokens": sum(
            len(text_words) > tokenizer.max_tokens for text_words in words
        ),
        "with emoji": sum(bool(emoji.search(text)) for text in texts),
        "with HTML": sum(bool(tag.search(text)) for text in texts),
    }
    parts = [f"{count:,} {label}" for label, count in counts.items() if count]
    share = unknown / max(num, 1)
    return ", ".join(
        [f"{name}: {len(texts):,} texts", *parts, f"{share:.1%} unknown tokens"]
    )
