"""The tokenizer inside the SavedModel: strings in, token ids out."""

from typing import Any

import tensorflow as tf

from .tokenizer import Tokenizer


class GraphTokenizer(tf.Module):
    """Does in TensorFlow what the reference tokenizer does in Python.

    Attributes:
        table: From a word to its id; part of the SavedModel.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._reference = tokenizer
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(tokenizer.vocabulary),
                tf.range(len(tokenizer.vocabulary)),
            ),
            tokenizer.unknown,
        )

    def __call__(self, text: Any) -> Any:
        """Returns ids `(batch, length) int32`, as long as the longest text.

        Args:
            text: `(batch,)` strings. Bytes that are not UTF-8 stay part of
                their word, which is then unknown.
        """
        one = self._reference
        text = tf.strings.lower(text)  # Without an encoding: A to Z.
        for rule in one.specification["rules"]:
            text = tf.strings.regex_replace(
                text, rule["pattern"], rule["replacement"]
            )
        words = tf.strings.split(text, " ")
        words = tf.ragged.boolean_mask(words, words != "")
        ids = tf.ragged.map_flat_values(self.table.lookup, words)
        tail = one.max_tokens - one.head
        ids = tf.concat([ids[:, : one.head], ids[:, one.head :][:, -tail:]], 1)
        # Where no text has a word there is no column yet.
        missing = tf.maximum(1 - ids.bounding_shape(axis=1), 0)
        found = tf.pad(
            ids.to_tensor(one.padding),
            [[0, 0], [0, missing]],
            constant_values=one.padding,
        )
        empty = found[:, :1] == one.padding
        first = tf.where(empty, one.unknown, found[:, :1])
        return tf.concat([first, found[:, 1:]], axis=1)
