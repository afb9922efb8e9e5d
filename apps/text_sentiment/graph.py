"""The tokenizer inside the SavedModel: strings in, token ids out."""

import tensorflow as tf

from .tokenizer import Tokenizer


class GraphTokenizer(tf.Module):
    """The reference tokenizer's work, done by TensorFlow operations.

    Attributes:
        table: The table from words to ids; part of the SavedModel.
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

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        """Returns ids `(batch, length) int32`, as long as the longest text.

        Args:
            text: `(batch,)` strings. Bytes that are not UTF-8 stay part of
                their word, which is then unknown.
        """
        tokenizer = self._reference
        text = tf.strings.lower(text)  # Without an encoding: A to Z.
        for rule in tokenizer.specification["rules"]:
            text = tf.strings.regex_replace(
                text, rule["pattern"], rule["replacement"]
            )
        words = tf.strings.split(text, " ")
        words = tf.ragged.boolean_mask(words, words != "")
        ids = tf.ragged.map_flat_values(self.table.lookup, words)
        head = tokenizer.head
        tail = tokenizer.max_tokens - head
        ids = tf.concat([ids[:, :head], ids[:, head:][:, -tail:]], 1)
        # If no text has a word, there is no column yet.
        missing = tf.maximum(1 - ids.bounding_shape(axis=1), 0)
        padded = tf.pad(
            ids.to_tensor(tokenizer.padding),
            [[0, 0], [0, missing]],
            constant_values=tokenizer.padding,
        )
        empty = padded[:, :1] == tokenizer.padding
        first = tf.where(empty, tokenizer.unknown, padded[:, :1])
        return tf.concat([first, padded[:, 1:]], axis=1)
