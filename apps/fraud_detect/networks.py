"""The networks: from encodings to a probability, or to a reconstruction.

They hold every weight, and are made of layers that TF-MOT prunes, clusters and
quantizes.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from . import encoding
from .settings import Sizes


def classifier(shape: tuple[int, ...], sizes: Sizes) -> keras.Model:
    """Some multilayer perceptrons whose logits are averaged."""
    codes = keras.Input(shape, name="codes")
    return _probability([codes], _perceptrons(codes, sizes))


def _perceptrons(x: keras.KerasTensor, sizes: Sizes) -> list[keras.KerasTensor]:
    """Returns the logit of each member."""
    return [
        _perceptron(x, sizes.units, sizes.dropout) for _ in range(sizes.members)
    ]


def _perceptron(
    x: keras.KerasTensor, units: Sequence[int], dropout: float
) -> keras.KerasTensor:
    """Returns a logit."""
    for width in units:
        x = layers.Dense(width, activation="relu")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return layers.Dense(1)(x)


def _probability(
    inputs: list[keras.KerasTensor], logits: list[keras.KerasTensor]
) -> keras.Model:
    """Returns the model of the mean of `logits`."""
    mean = layers.Average()(logits) if logits[1:] else logits[0]
    score = layers.Activation("sigmoid", name="probability")(mean)
    return keras.Model(
        inputs if inputs[1:] else inputs[0], score, name="network"
    )


def sequence(shape: tuple[int, ...], sizes: Sizes) -> keras.Model:
    """An LSTM over a customer's last transactions, this one the last."""
    codes = keras.Input(shape, name="codes")
    x = layers.LSTM(sizes.units[0])(codes)
    # What happens now must not have to pass through the state alone.
    now = layers.Flatten(name="now")(codes[:, -1:])
    x = layers.Concatenate()([x, now])
    x = layers.Dropout(sizes.dropout)(x) if sizes.dropout else x
    logit = _perceptron(x, sizes.units[1:], sizes.dropout)
    return _probability([codes], [logit])


def autoencoder(shape: tuple[int, ...], sizes: Sizes) -> keras.Model:
    """Some autoencoders whose reconstructions are averaged.

    The layers of their codes are called `code_0`, `code_1`, ...
    """
    standard = keras.Input(shape, name="standard")
    found = []
    for index in range(sizes.members):
        x = standard
        for width in sizes.autoencoder_units:
            x = layers.Dense(width, activation="relu")(x)
        # Bounded: what is far from all training data gets no code of its own.
        x = layers.Dense(sizes.code, "tanh", name=f"code_{index}")(x)
        for width in reversed(sizes.autoencoder_units):
            x = layers.Dense(width, activation="relu")(x)
        found.append(layers.Dense(shape[-1])(x))
    mean = layers.Average()(found) if found[1:] else found[0]
    return keras.Model(standard, mean, name="network")


def hybrid(
    shape: tuple[int, ...], sizes: Sizes, inner: keras.Model
) -> keras.Model:
    """A classifier that also sees an autoencoder's code and errors.

    The autoencoder `inner` stays as it is in training.
    """
    inner.trainable = False
    codes = keras.Input(shape, name="codes")
    (standard,) = inner.inputs
    code = [one.output for one in inner.layers if one.name.startswith("code_")]
    errors = surprise(standard, inner.outputs[0], sizes.errors)
    x = layers.Concatenate()([codes, *code, errors])
    return _probability([codes, standard], _perceptrons(x, sizes))


def surprise(
    target: Any, found: Any, errors: str, spread: np.ndarray | None = None
) -> Any:
    """Returns the error of each quantity, from 0 on.

    Args:
        target: What is, `(batch, quantities)`.
        found: What the autoencoder made of it.
        errors: See `Sizes`.
        spread: See `Detector`; errors are divided by it and clipped.
    """
    difference = layers.Subtract(name="difference")([target, found])
    largest = None
    if spread is not None:
        # What is easy to reconstruct must not be outvoted by what never is.
        difference = layers.Normalization(
            mean=np.zeros_like(spread), variance=spread**2, name="spread"
        )(difference)
        largest = encoding.LARGEST
    if errors == "both":
        difference = ops.abs(difference)
    return layers.ReLU(largest, name="errors")(difference)
