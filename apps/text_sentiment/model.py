"""The network: from token ids to probabilities, whatever the padding.

Texts are padded at their ends. An LSTM that reads forward has passed all of a
text before it meets the padding, and pooling leaves the padding out, so no
mask is needed inside the LSTM: a mask would cost the fused TFLite operator.
The backward LSTM of a bidirectional layer reads the text reversed, its padding
again at the end. A text thus gives the same output at any padded length, and
training in short batches trains the very function that ships.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

TABLES = ("word_weights", "pair_weights")  # Layers of the linear path.


def build(
    num_words: int,
    num_classes: int,
    *,
    embedding_dim: int,
    units: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    pooling: str = "mean_max",
    dropout: float = 0.0,
    num_pairs: int = 0,
) -> keras.Model:
    """Builds a classifier of texts.

    Args:
        num_words: The size of the vocabulary; id 0 is padding.
        num_classes: The number of classes.
        embedding_dim: The size of a word's vector.
        units: The size of each LSTM.
        num_layers: LSTM layers, one upon the other.
        bidirectional: A second LSTM in each layer reads the text backwards.
        pooling: The features made from the outputs over time: their `mean`,
            `max`, `mean_max`, or the `last`.
        dropout: Part dropped of the embedding's channels, and of the features.
        num_pairs: Hash buckets of word pairs, best a prime: a linear path of
            words and pairs, zero until `set_tables`; 0 for no such path.

    Returns:
        A model from `token_ids`, `(batch, length) int32`, to softmax
        `probabilities` `(batch, num_classes)`.
    """
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.Embedding(num_words, embedding_dim, name="embedding")(ids)
    if dropout:
        x = layers.SpatialDropout1D(dropout)(x)
    real = ops.not_equal(ids, 0)
    x = _lstms(x, real, units, num_layers, bidirectional)
    x = _pool(x, real, pooling)
    if dropout:
        x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, name="logits")(x)
    if num_pairs:
        linear = _linear(ids, real, num_words, num_pairs, num_classes)
        logits = layers.Add(name="joined")([logits, linear])
    output = layers.Softmax(name="probabilities")(logits)
    return keras.Model(ids, output, name="lstm")


def _lstms(
    x: keras.KerasTensor,
    real: keras.KerasTensor,
    units: int,
    num_layers: int,
    bidirectional: bool,
) -> keras.KerasTensor:
    """Returns the outputs of the last LSTM layer over time.

    The outputs of its backward LSTM stay in reversed order: pooling takes them
    in any order, and its `last` takes the state after the first word.

    Args:
        x: Word vectors, `(batch, length, size)`.
        real: Whether an id is a word and not padding, `(batch, length) bool`.
        units: See `build`.
        num_layers: See `build`.
        bidirectional: See `build`.
    """
    for index in range(num_layers):
        name = f"lstm_{index + 1}"
        outputs = layers.LSTM(units, return_sequences=True, name=name)(x)
        if bidirectional:
            back = layers.LSTM(
                units, return_sequences=True, name=f"{name}_backward"
            )(_reverse(x, real))
            # The next layer takes both outputs of a word side by side.
            if index + 1 < num_layers:
                back = _reverse(back, real)
            outputs = layers.Concatenate()([outputs, back])
        x = outputs
    return x


def pair_ids(ids: Any, num_words: int, num_pairs: int) -> Any:
    """Returns the hash of each word with the one before, below `num_pairs`.

    Args:
        ids: `(batch, length) int32`, below `num_words`.
        num_words: The size of the vocabulary.
        num_pairs: The number of hash buckets.
    """
    before = ops.pad(ids[:, :-1], ((0, 0), (1, 0)))
    # The largest factor that keeps all products within int32. It is subtracted:
    # Keras would add the ids of a single text as a bias, which TFLite has for
    # floats only.
    factor = (2**31 - 1) // num_words - 1
    return (ids - before * -factor) % num_pairs


def _linear(
    ids: Any, real: Any, num_words: int, num_pairs: int, num_classes: int
) -> Any:
    """Returns the sum of the weights of a text's words and pairs."""
    pairs = pair_ids(ids, num_words, num_pairs)
    weights = [
        layers.Embedding(
            size,
            num_classes,
            embeddings_initializer="zeros",
            trainable=False,
            name=name,
        )(indices)
        for name, size, indices in (
            (TABLES[0], num_words, ids),
            (TABLES[1], num_pairs, pairs),
        )
    ]
    total = layers.Add()(weights)
    return ops.sum(ops.where(ops.expand_dims(real, -1), total, 0.0), axis=1)


def set_tables(
    model: keras.Model, words: np.ndarray, pairs: np.ndarray
) -> None:
    """Sets the weights of the linear path, `(size, classes)` each."""
    for name, table in zip(TABLES, (words, pairs), strict=True):
        model.get_layer(name).set_weights([table])


def scale_logits(model: keras.Model, scale: float) -> None:
    """Multiplies the LSTM's part of the logits by `scale`."""
    layer = model.get_layer("logits")
    layer.set_weights([scale * weight for weight in layer.get_weights()])


def start(model: keras.Model, vectors: np.ndarray) -> None:
    """Puts word vectors `(num_words, embedding_dim)` into the embedding."""
    model.get_layer("embedding").set_weights([vectors])


def _reverse(x: Any, real: Any) -> Any:
    """Reverses sequences `(batch, length, size)`, their padding stays last."""
    count = ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True)
    place = ops.cumsum(ops.ones_like(real, dtype="int32"), axis=1) - 1
    source = ops.where(real, count - 1 - place, place)
    return ops.take_along_axis(x, ops.expand_dims(source, -1), axis=1)


def _pool(x: Any, real: Any, pooling: str) -> Any:
    """Reduces outputs in (-1, 1) over the real words, not the padding."""
    mask = ops.expand_dims(real, -1)
    parts = []
    if "mean" in pooling:
        count = ops.sum(ops.cast(real, "float32"), axis=1, keepdims=True)
        total = ops.sum(ops.where(mask, x, 0.0), axis=1)
        parts.append(total / count)
    if "max" in pooling:
        parts.append(ops.max(ops.where(mask, x, -1.0), axis=1))
    if pooling == "last":
        # An LSTM's output at the last word is its last state.
        more = ops.pad(real[:, 1:], ((0, 0), (0, 1)))
        last = ops.logical_and(mask, ~ops.expand_dims(more, -1))
        parts.append(ops.sum(ops.where(last, x, 0.0), axis=1))
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
