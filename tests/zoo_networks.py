"""Builders of small models for images and tables; see `model_zoo`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L  # noqa: N812
from keras import ops

IMAGE = (16, 16, 3)


def stack(shape: Any, *layers: Any, dtype: Any = None) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def conv_bn(x: Any, filters: int, activation: str = "relu") -> Any:
    x = L.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return L.Activation(activation)(L.BatchNormalization()(x))


# Images.


def lenet() -> keras.Model:
    return stack(
        IMAGE,
        L.Conv2D(6, 5, activation="relu", padding="same"),
        L.MaxPooling2D(),
        L.Conv2D(8, 5, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(12, activation="relu"),
        L.Dense(10, activation="softmax"),
    )


def conv_relu_bn() -> keras.Model:
    return stack(
        IMAGE,
        L.Conv2D(4, 3, activation="relu"),
        L.BatchNormalization(),
        L.Conv2D(4, 3, activation="relu"),
        L.BatchNormalization(),
        L.GlobalAveragePooling2D(),
        L.Dense(8, activation="relu"),
        L.BatchNormalization(),
        L.Dense(3, activation="softmax"),
    )


def residual() -> keras.Model:
    x = inputs = keras.Input(IMAGE)
    x = conv_bn(x, 8)
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(conv_bn(x, 8)))
    x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(x)))


def inception() -> keras.Model:
    inputs = keras.Input(IMAGE)
    branches = [
        L.Conv2D(4, 1, activation="relu")(inputs),
        L.Conv2D(4, 3, padding="same", activation="relu")(inputs),
        L.Conv2D(4, 1)(L.MaxPooling2D(3, 1, padding="same")(inputs)),
    ]
    x = L.Flatten()(L.Concatenate()(branches))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def separable() -> keras.Model:
    return stack(
        IMAGE,
        L.SeparableConv2D(6, 3, activation="relu"),
        L.BatchNormalization(),
        L.SeparableConv2D(6, 3, strides=2),
        L.GlobalMaxPooling2D(),
        L.Dense(2, activation="softmax"),
    )


def inverted_residual() -> keras.Model:
    x = inputs = keras.Input(IMAGE)
    y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(9, 1)(x)))
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    x = L.Add()([x, L.BatchNormalization()(L.Conv2D(3, 1)(y))])
    return keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def squeeze_excite() -> keras.Model:
    x = inputs = keras.Input(IMAGE)
    x = conv_bn(x, 8, "silu")
    y = L.GlobalAveragePooling2D(keepdims=True)(x)
    y = L.Conv2D(8, 1, activation="sigmoid")(L.Conv2D(2, 1)(y))
    x = L.Multiply()([x, y])
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def backbone(name: str = "backbone") -> keras.Model:
    x = inputs = keras.Input(IMAGE)
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, name="conv1")(x)))
    x = L.DepthwiseConv2D(3, name="depthwise")(x)
    return keras.Model(inputs, L.BatchNormalization()(x), name=name)


def transfer(preprocess: Callable[[Any], Any] = lambda x: x) -> keras.Model:
    base = backbone()
    base.trainable = False
    inputs = keras.Input(IMAGE)
    x = L.RandomFlip("horizontal")(inputs)
    x = base(preprocess(x), training=False)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, L.Dense(5, activation="softmax")(x))


def nested_sequential() -> keras.Model:
    return stack(
        IMAGE,
        L.Rescaling(1 / 255),
        backbone(),
        stack((12, 12, 6), L.Flatten(), L.Dense(8, activation="relu")),
        L.Dense(3, activation="softmax"),
    )


def nested_twice() -> keras.Model:
    inner = keras.Input(IMAGE)
    middle = keras.Model(inner, L.MaxPooling2D()(backbone()(inner)))
    inputs = keras.Input(IMAGE)
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(middle(inputs))))


def two_backbones() -> keras.Model:
    """Two nested models whose layers have the same names."""
    inputs = keras.Input(IMAGE)
    sides = [backbone("left")(inputs), backbone("right")(inputs)]
    x = L.GlobalAveragePooling2D()(L.Concatenate()(sides))
    return keras.Model(inputs, L.Dense(2)(x))


def unet() -> keras.Model:
    inputs = keras.Input(IMAGE)
    x = skip = conv_bn(inputs, 4)
    x = conv_bn(L.MaxPooling2D()(x), 8)
    x = L.Conv2DTranspose(4, 2, strides=2, padding="same")(x)
    x = conv_bn(L.Concatenate()([x, skip]), 4)
    return keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(x))


def denoiser() -> keras.Model:
    x = inputs = keras.Input(IMAGE)
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = L.UpSampling2D(interpolation="bilinear")(x)
    x = L.Conv2D(3, 3, padding="same")(x)
    return keras.Model(inputs, L.Subtract()([inputs, x]))


def vae_decoder() -> keras.Model:
    return stack(
        (4,),
        L.Dense(4 * 4 * 4, activation="relu"),
        L.Reshape((4, 4, 4)),
        L.Conv2DTranspose(4, 3, 2, padding="same", activation="relu"),
        L.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
    )


def gan_generator() -> keras.Model:
    return stack(
        (6,),
        L.Dense(64, use_bias=False),
        L.BatchNormalization(),
        L.LeakyReLU(),
        L.Reshape((4, 4, 4)),
        L.Conv2DTranspose(4, 5, 2, padding="same", use_bias=False),
        L.BatchNormalization(),
        L.LeakyReLU(),
        L.Conv2DTranspose(1, 5, 2, padding="same", activation="tanh"),
    )


def gan_discriminator() -> keras.Model:
    return stack(
        IMAGE,
        L.Conv2D(4, 5, 2, padding="same"),
        L.LeakyReLU(0.2),
        L.Dropout(0.3),
        L.Flatten(),
        L.Dense(1),
    )


def super_resolution() -> keras.Model:
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same")(x)
    x = ops.reshape(x, (-1, 8, 8, 2, 2, 3))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return keras.Model(inputs, ops.reshape(x, (-1, 16, 16, 3)))


def mixed_precision() -> keras.Model:
    half = {"dtype": "mixed_float16"}
    return stack(
        IMAGE,
        L.Conv2D(4, 3, activation="relu", **half),
        L.Flatten(**half),
        L.Dense(3, activation="softmax", dtype="float32"),
    )


def augmented() -> keras.Model:
    return stack(
        IMAGE,
        L.RandomFlip(),
        L.RandomRotation(0.1),
        L.RandomZoom(0.1),
        L.RandomContrast(0.1),
        L.Rescaling(1 / 127.5, -1),
        L.Conv2D(4, 3, activation="relu"),
        L.Flatten(),
        L.Dense(2),
    )


def fixed_batch() -> keras.Model:
    inputs = keras.Input(batch_shape=(2, *IMAGE))
    x = L.Flatten()(L.Conv2D(4, 3, activation="relu")(inputs))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def siamese() -> keras.Model:
    left, right = keras.Input(IMAGE), keras.Input(IMAGE)
    tower = stack(IMAGE, L.Conv2D(4, 3), L.Flatten(), L.Dense(6))
    distance = ops.abs(tower(left) - tower(right))
    return keras.Model([left, right], L.Dense(1, "sigmoid")(distance))


def mlp_mixer() -> keras.Model:
    inputs = keras.Input(IMAGE)
    x = L.Reshape((16, 8))(L.Conv2D(8, 4, strides=4)(inputs))
    y = L.Permute((2, 1))(L.LayerNormalization()(x))
    x = x + L.Permute((2, 1))(L.Dense(16, activation="gelu")(y))
    x = x + L.Dense(8, activation="gelu")(L.LayerNormalization()(x))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def vit() -> keras.Model:
    inputs = keras.Input(IMAGE)
    x = L.Reshape((16, 8))(L.Conv2D(8, 4, strides=4)(inputs))
    x = x + L.Embedding(16, 8)(ops.arange(16))
    y = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(2, 4)(y, y)
    x = x + L.Dense(8, activation="gelu")(L.LayerNormalization()(x))
    return keras.Model(inputs, L.Dense(3)(x[:, 0]))


# Rows of tables.


def mlp() -> keras.Model:
    layer = L.Normalization(name="scaled")
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 6)))
    return stack(
        (6,),
        layer,
        L.Dense(8, activation="relu"),
        L.BatchNormalization(),
        L.Dropout(0.2),
        L.Dense(1, activation="sigmoid"),
    )


def seven_inputs() -> keras.Model:
    inputs = [keras.Input((1,), dtype="int32", name=f"id{i}") for i in range(5)]
    parts = [L.Flatten()(L.Embedding(9, 3)(x)) for x in inputs]
    numbers = [keras.Input((n,), name=f"numbers{n}") for n in (2, 4)]
    x = L.Concatenate()([*parts, *numbers])
    x = L.Dense(1, "sigmoid")(L.Dense(8, "relu")(x))
    return keras.Model([*inputs, *numbers], x)


def two_towers() -> keras.Model:
    user = keras.Input((1,), dtype="int32", name="user")
    item = keras.Input((1,), dtype="int32", name="item")
    sides = [L.Flatten()(L.Embedding(9, 4)(x)) for x in (user, item)]
    sides = [L.UnitNormalization()(L.Dense(4)(x)) for x in sides]
    return keras.Model([user, item], L.Dot(axes=1)(sides))


def wide_and_deep() -> keras.Model:
    wide, deep = keras.Input((5,), name="wide"), keras.Input((6,), name="deep")
    x = L.Dense(4, activation="relu")(L.Dense(8, activation="relu")(deep))
    x = L.Concatenate()([wide, x])
    inputs = {"wide": wide, "deep": deep}
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))


def factorization_machine() -> keras.Model:
    inputs = keras.Input((4,), dtype="int32")
    x = L.Embedding(9, 3)(inputs)
    pairs = ops.square(ops.sum(x, axis=1)) - ops.sum(ops.square(x), axis=1)
    score = 0.5 * ops.sum(pairs, axis=1, keepdims=True)
    return keras.Model(inputs, ops.sigmoid(score))


def cross_network() -> keras.Model:
    x = inputs = keras.Input((6,))
    for _ in range(2):
        x = inputs * L.Dense(6)(x) + x
    return keras.Model(inputs, L.Dense(1)(x))


def gated() -> keras.Model:
    x = inputs = keras.Input((6,))
    x = L.LayerNormalization()(x + L.Dense(6)(x) * L.Dense(6, "sigmoid")(x))
    return keras.Model(inputs, L.Dense(2, activation="selu")(x))


def categories() -> keras.Model:
    kind = keras.Input((1,), dtype="int32", name="kind")
    size = keras.Input((1,), name="size")
    x = L.Concatenate()(
        [
            L.CategoryEncoding(5, output_mode="one_hot")(kind),
            L.Flatten()(L.Embedding(3, 2)(L.Discretization([0.0, 1.0])(size))),
        ]
    )
    return keras.Model([kind, size], L.Dense(1)(x))


# Outputs.


def one_in_a_dict() -> keras.Model:
    inputs = keras.Input((6,))
    x = L.Dense(3, activation="softmax")(L.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, {"species": x})


def outputs_in_a_dict() -> keras.Model:
    inputs = keras.Input((6,))
    x = L.Dense(8, activation="relu")(inputs)
    kind = L.Dense(3, activation="softmax", name="b")(x)
    return keras.Model(inputs, {"kind": kind, "age": L.Dense(1, name="a")(x)})


def outputs_in_a_list() -> keras.Model:
    inputs = keras.Input(IMAGE)
    x = L.Flatten()(L.Conv2D(4, 3, activation="relu")(inputs))
    digit = L.Dense(10, activation="softmax", name="digit")(x)
    box = L.Dense(4, activation="sigmoid", name="box")(x)
    return keras.Model(inputs, [digit, box])


def with_middle_output() -> keras.Model:
    """An output that is an input of the layers behind it."""
    inputs = keras.Input((6,))
    code = L.Dense(3, activation="relu", name="code")(inputs)
    return keras.Model(inputs, [code, L.Dense(6, name="copy")(code)])


def vae_encoder() -> keras.Model:
    inputs = keras.Input((6,))
    x = L.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, [L.Dense(2, name="mean")(x), L.Dense(2)(x)])
