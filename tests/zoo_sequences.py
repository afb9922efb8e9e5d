"""Builders of small models for signals, texts and series; see `model_zoo`."""

from typing import Any

import keras
import numpy as np
from keras import layers as L  # noqa: N812
from keras import ops
from zoo_networks import IMAGE, stack

SIGNAL, WORDS = (16, 4), 20
TEXTS = np.array(["good film", "bad film", "no good", "a bad end"])


def tokens(length: int = 12) -> Any:
    return keras.Input((length,), dtype="int32", name="tokens")


# Signals.


def conv1d() -> keras.Model:
    return stack(
        SIGNAL,
        L.Conv1D(6, 3, activation="relu"),
        L.MaxPooling1D(),
        L.Conv1D(8, 3, padding="same", activation="relu"),
        L.GlobalAveragePooling1D(),
        L.Dense(3, activation="softmax"),
    )


def conv1d_bn() -> keras.Model:
    return stack(
        SIGNAL,
        L.Conv1D(6, 3, padding="same"),
        L.BatchNormalization(),
        L.ReLU(),
        L.Flatten(),
        L.Dense(2),
    )


def conv1d_unet() -> keras.Model:
    inputs = keras.Input(SIGNAL)
    x = skip = L.Conv1D(4, 3, padding="same", activation="relu")(inputs)
    x = L.Conv1D(8, 3, padding="same", activation="relu")(L.MaxPooling1D()(x))
    x = L.Concatenate()([L.UpSampling1D()(x), skip])
    return keras.Model(inputs, L.Conv1D(1, 1, activation="sigmoid")(x))


def dilated() -> keras.Model:
    """A temporal convolutional network."""
    x = inputs = keras.Input(SIGNAL)
    for rate in (1, 2, 4):
        y = L.Conv1D(4, 2, padding="causal", dilation_rate=rate)(x)
        x = L.Add()([x, L.ReLU()(y)])
    return keras.Model(inputs, L.Dense(1)(x[:, -1]))


def separable1d() -> keras.Model:
    return stack(
        SIGNAL,
        L.SeparableConv1D(6, 3, activation="relu"),
        L.DepthwiseConv1D(3, strides=2, activation="relu"),
        L.GlobalMaxPooling1D(),
        L.Dense(2),
    )


# Series.


def lstm() -> keras.Model:
    return stack(SIGNAL, L.LSTM(5), L.Dense(1))


def stacked_lstm() -> keras.Model:
    return stack(
        SIGNAL,
        L.LSTM(5, return_sequences=True),
        L.Dropout(0.2),
        L.LSTM(4),
        L.Dense(2),
    )


def gru() -> keras.Model:
    return stack(SIGNAL, L.GRU(5), L.Dense(1))


def stateful_lstm() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(batch_shape=(2, *SIGNAL)),
            L.LSTM(5, stateful=True),
            L.Dense(1),
        ]
    )


def lstm_attention() -> keras.Model:
    inputs = keras.Input(SIGNAL)
    x = L.LSTM(5, return_sequences=True)(inputs)
    weights = ops.softmax(L.Dense(1, activation="tanh")(x), axis=1)
    return keras.Model(inputs, L.Dense(2)(ops.sum(x * weights, axis=1)))


def attention_layer() -> keras.Model:
    inputs = keras.Input(SIGNAL)
    x = L.LSTM(5, return_sequences=True)(inputs)
    x = L.GlobalAveragePooling1D()(L.Attention()([x, x]))
    return keras.Model(inputs, L.Dense(2)(x))


def encoder_decoder() -> keras.Model:
    inputs = keras.Input(SIGNAL)
    _, *state = L.LSTM(5, return_state=True)(inputs)
    x = L.RepeatVector(4)(state[0])
    x = L.LSTM(5, return_sequences=True)(x, initial_state=state)
    return keras.Model(inputs, L.TimeDistributed(L.Dense(1))(x))


def video() -> keras.Model:
    cnn = stack((8, 8, 1), L.Conv2D(2, 3, activation="relu"), L.Flatten())
    return stack((3, 8, 8, 1), L.TimeDistributed(cnn), L.LSTM(4), L.Dense(2))


def conv_lstm() -> keras.Model:
    return stack((3, 8, 8, 1), L.ConvLSTM2D(2, 3), L.Flatten(), L.Dense(2))


def conv3d() -> keras.Model:
    return stack((8, 8, 8, 1), L.Conv3D(2, 3), L.MaxPooling3D(), L.Flatten())


# Texts as numbers.


def bidirectional() -> keras.Model:
    x = L.Embedding(WORDS, 4)(inputs := tokens())
    x = L.Bidirectional(L.LSTM(5))(x)
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))


def masked_lstm() -> keras.Model:
    x = L.Embedding(WORDS, 4, mask_zero=True)(inputs := tokens())
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(L.LSTM(5)(x)))


def bag_of_words() -> keras.Model:
    x = L.GlobalAveragePooling1D()(L.Embedding(WORDS, 4)(inputs := tokens()))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def text_cnn() -> keras.Model:
    x = L.Embedding(WORDS, 4)(inputs := tokens())
    parts = [
        L.GlobalMaxPooling1D()(L.Conv1D(3, size, activation="relu")(x))
        for size in (2, 3)
    ]
    return keras.Model(inputs, L.Dense(1)(L.Concatenate()(parts)))


def transformer() -> keras.Model:
    x = L.Embedding(WORDS, 8)(inputs := tokens())
    x = x + L.Embedding(12, 8)(ops.arange(12))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    x = L.LayerNormalization()(x + L.Dense(8)(L.Dense(16, "relu")(x)))
    x = L.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, L.Dense(2, activation="softmax")(x))


def causal_transformer() -> keras.Model:
    x = L.Embedding(WORDS, 8)(inputs := tokens())
    x = x + L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(inputs, L.Dense(WORDS)(L.RMSNormalization()(x)))


# Texts as they are.


def text() -> keras.Model:
    layer = L.TextVectorization(output_sequence_length=6, name="words")
    layer.adapt(TEXTS)
    inputs = keras.Input((1,), dtype="string", name="text")
    x = L.Embedding(layer.vocabulary_size(), 4)(layer(inputs))
    x = L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, x)


def text_counts() -> keras.Model:
    layer = L.TextVectorization(max_tokens=8, output_mode="tf_idf")
    layer.adapt(TEXTS)
    inputs = keras.Input((1,), dtype="string", name="text")
    return keras.Model(inputs, L.Dense(1)(layer(inputs)))


def string_lookup() -> keras.Model:
    color = keras.Input((1,), dtype="string", name="color")
    size = keras.Input((1,), name="size")
    lookup = L.StringLookup(vocabulary=["red", "blue"], name="color_index")
    x = L.Flatten()(L.Embedding(3, 2)(lookup(color)))
    x = L.Dense(4, activation="relu")(L.Concatenate()([x, size]))
    return keras.Model([color, size], L.Dense(1)(x))


def integer_lookup() -> keras.Model:
    inputs = keras.Input((1,), dtype="int64", name="shop")
    lookup = L.IntegerLookup(
        vocabulary=[12, 40, 73], output_mode="one_hot", name="shop_index"
    )
    return keras.Model(inputs, L.Dense(1)(L.Dense(4)(lookup(inputs))))


def hashing() -> keras.Model:
    inputs = keras.Input((1,), dtype="string", name="city")
    x = L.Embedding(7, 2)(L.Hashing(7, name="city_index")(inputs))
    return keras.Model(inputs, L.Dense(1)(L.Flatten()(x)))


def nested_lookup() -> keras.Model:
    """Lookups inside a nested model, beside a number."""
    lookup = L.StringLookup(vocabulary=["red", "blue"], name="code")
    ins = {
        "first": keras.Input((1,), dtype="string", name="first"),
        "second": keras.Input((1,), dtype="string", name="second"),
    }
    x = L.Concatenate()([lookup(ins["first"]), lookup(ins["second"])])
    encoder = keras.Model(ins, L.Embedding(3, 2, name="colors")(x))
    own = {name: keras.Input((1,), dtype="string", name=name) for name in ins}
    size = keras.Input((1,), name="size")
    x = L.Concatenate()([L.Flatten()(encoder(own)), size])
    return keras.Model({**own, "size": size}, L.Dense(1)(x))


def class_names() -> keras.Model:
    """A model that ends in the name of a class."""
    names = L.StringLookup(
        vocabulary=["no", "yes"], num_oov_indices=0, invert=True
    )
    x = L.Dense(2)(inputs := keras.Input((4,)))
    return keras.Model(inputs, names(ops.argmax(x, axis=-1)))


# Layers of one's own.


@keras.saving.register_keras_serializable("zoo")
class Patches(L.Layer):
    """Cuts an image into patches, as the ViT tutorial of Keras does."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, images: Any) -> Any:
        batch, height, width, channels = ops.shape(images)
        rows, columns = height // self.size, width // self.size
        x = ops.reshape(
            images, (batch, rows, self.size, columns, self.size, channels)
        )
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        area = self.size * self.size * channels
        return ops.reshape(x, (batch, rows * columns, area))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("zoo")
class Positions(L.Layer):
    """Adds a class token and learned positions."""

    def build(self, shape: Any) -> None:
        _, length, width = shape
        self.token = self.add_weight(shape=(1, 1, width), name="token")
        self.positions = L.Embedding(length + 1, width, name="positions")
        self.positions.build(None)

    def call(self, x: Any) -> Any:
        batch, length, width = ops.shape(x)
        token = ops.broadcast_to(self.token, (batch, 1, width))
        x = ops.concatenate([token, x], axis=1)
        return x + self.positions(ops.arange(length + 1))


@keras.saving.register_keras_serializable("zoo")
class Block(L.Layer):
    """A Transformer's block."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.attention = L.MultiHeadAttention(2, width // 2)
        self.first, self.second = L.LayerNormalization(), L.LayerNormalization()
        self.network = keras.Sequential(
            [L.Dense(2 * width, activation="relu"), L.Dense(width)]
        )
        self.dropout = L.Dropout(0.1)

    def call(self, x: Any, training: bool | None = None) -> Any:
        y = self.dropout(self.attention(x, x), training=training)
        x = self.first(x + y)
        return self.second(x + self.network(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def own_vit() -> keras.Model:
    x = L.Dense(8)(Patches(4)(inputs := keras.Input(IMAGE)))
    x = Block(8, name="block2")(Block(8, name="block1")(Positions()(x)))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x[:, 0]))


@keras.saving.register_keras_serializable("zoo")
class Scale(L.Layer):
    """Multiplies by learned factors."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(
            shape=(shape[-1],), initializer="random_normal", name="factor"
        )

    def call(self, x: Any) -> Any:
        return x * self.factor


def own_weights() -> keras.Model:
    return stack((6,), L.Dense(4, activation="relu"), Scale(), L.Dense(2))


@keras.saving.register_keras_serializable("zoo")
class Subclassed(keras.Model):
    """A model without a graph."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = L.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 6), "f"))
    return model


def with_lambda() -> keras.Model:
    return stack((6,), L.Lambda(lambda x: x * 2, name="code"), L.Dense(2))
