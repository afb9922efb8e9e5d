"""Tells whether bytes are scaled before a model or by the model."""

import keras
import numpy as np
import pytest

from apps.compress import pixels
from common.options import InputError

L = keras.layers


def model(front=lambda x: x, channels: int = 3) -> keras.Model:
    image = keras.Input((8, 8, channels), name="image")
    x = L.Conv2D(4, 3)(front(image))
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))


def nested(preprocess: bool) -> keras.Model:
    inside = keras.Input((None, None, 3))
    x = L.Rescaling(1 / 127.5, -1)(inside) if preprocess else inside
    backbone = keras.Model(inside, L.Conv2D(4, 3)(x))
    image = keras.Input((8, 8, 3), name="image")
    x = L.RandomFlip()(image)
    return keras.Model(image, L.GlobalAveragePooling2D()(backbone(x)))


def caffe(x):
    return x[..., ::-1] - np.array([103.9, 116.8, 123.7], np.float32)


def normalized(x):
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)))
    return layer(x)


def batch_normalized(x):
    layer = L.BatchNormalization()
    out = layer(x)
    layer.moving_mean.assign(np.full(3, 120.0))
    layer.moving_variance.assign(np.full(3, 70.0**2))
    return out


@pytest.mark.parametrize(
    ("front", "scales"),
    [
        (lambda x: x, False),
        (lambda x: L.ZeroPadding2D()(x), False),
        (lambda x: x * 2.0 - 1.0, False),  # Made for 0 to 1.
        (lambda x: (x - 0.5) / 0.25, False),
        (lambda x: L.Rescaling(1 / 255)(x), True),
        (lambda x: x / 127.5 - 1.0, True),
        (keras.applications.mobilenet_v2.preprocess_input, True),
        (caffe, True),
        (keras.applications.vgg16.preprocess_input, True),
        (normalized, True),
        (batch_normalized, True),
    ],
)  # fmt: skip
def test_what_reaches_the_first_kernel_tells(front, scales) -> None:
    assert pixels.scales_itself(model(front), "image") is scales


@pytest.mark.parametrize("preprocess", [True, False])
def test_a_nested_backbone_is_looked_into(preprocess) -> None:
    assert pixels.scales_itself(nested(preprocess), "image") is preprocess


def test_sequential_models_and_dense_ones() -> None:
    layers = [keras.Input((8,), name="x"), L.Rescaling(1 / 255), L.Dense(2)]
    name = "x"
    assert pixels.scales_itself(keras.Sequential(layers), name)
    assert not pixels.scales_itself(
        keras.Sequential([layers[0], L.Dense(2)]), name
    )


def test_no_guess_is_made() -> None:
    odd = model(lambda x: x + 1000.0)
    with pytest.raises(InputError, match="--scale must be given"):
        pixels.scales_itself(odd, "image")
