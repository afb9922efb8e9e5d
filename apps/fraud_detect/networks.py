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
    """Returns a network that averages the logits of multilayer perceptrons.

    Args:
        shape: The shape of the codes, without the batch axis.
        sizes: The sizes of the network.
    """
    codes = keras.Input(shape, name="codes")
    return _probability([codes], _perceptrons(codes, sizes))


def _perceptrons(x: keras.KerasTensor, sizes: Sizes) -> list[keras.KerasTensor]:
    """Returns the logit of each perceptron, `(batch, 1)`."""
    return [
        _perceptron(x, sizes.units, sizes.dropout) for _ in range(sizes.members)
    ]


def _perceptron(
    x: keras.KerasTensor, units: Sequence[int], dropout: float
) -> keras.KerasTensor:
    """Returns the logit of one perceptron, `(batch, 1)`."""
    for width in units:
        x = layers.Dense(width, activation="relu")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return layers.Dense(1)(x)


def _probability(
    inputs: list[keras.KerasTensor], logits: list[keras.KerasTensor]
) -> keras.Model:
    """Returns the model whose output is the sigmoid of the mean logit."""
    mean = layers.Average()(logits) if logits[1:] else logits[0]
    score = layers.Activation("sigmoid", name="probability")(mean)
    return keras.Model(
        inputs if inputs[1:] else inputs[0], score, name="network"
    )


def sequence(shape: tuple[int, ...], sizes: Sizes) -> keras.Model:
    """Returns an LSTM over a customer's last transactions.

    Args:
        shape: `(steps, codes)`.
        sizes: The sizes of the network.
    """
    codes = keras.Input(shape, name="codes")
    x = layers.LSTM(sizes.units[0])(codes)
    # The present transaction also reaches the perceptron directly, not only
    # through the LSTM's state.
    now = layers.Flatten(name="now")(codes[:, -1:])
    x = layers.Concatenate()([x, now])
    x = layers.Dropout(sizes.dropout)(x) if sizes.dropout else x
    logit = _perceptron(x, sizes.units[1:], sizes.dropout)
    return _probability([codes], [logit])


def autoencoder(shape: tuple[int, ...], sizes: Sizes) -> keras.Model:
    """Returns a network that averages the reconstructions of autoencoders.

    The layers of their codes are called `code_0`, `code_1`, ...

    Args:
        shape: The shape of the standardized quantities, without the batch axis.
        sizes: The sizes of the network.
    """
    standard = keras.Input(shape, name="standard")
    reconstructions = []
    for index in range(sizes.members):
        x = standard
        for width in sizes.autoencoder_units:
            x = layers.Dense(width, activation="relu")(x)
        # tanh is bounded: a value far from all training data gets no code of
        # its own.
        x = layers.Dense(sizes.code, "tanh", name=f"code_{index}")(x)
        for width in reversed(sizes.autoencoder_units):
            x = layers.Dense(width, activation="relu")(x)
        reconstructions.append(layers.Dense(shape[-1])(x))
    mean = (
        layers.Average()(reconstructions)
        if reconstructions[1:]
        else reconstructions[0]
    )
    return keras.Model(standard, mean, name="network")


def hybrid(
    shape: tuple[int, ...], sizes: Sizes, inner: keras.Model
) -> keras.Model:
    """Returns a classifier that also sees an autoencoder's code and errors.

    Args:
        shape: The shape of the codes, without the batch axis.
        sizes: The sizes of the network.
        inner: The autoencoder; its weights are not trained further.
    """
    inner.trainable = False
    codes = keras.Input(shape, name="codes")
    (standard,) = inner.inputs
    code = [
        layer.output for layer in inner.layers if layer.name.startswith("code_")
    ]
    errors = surprise(standard, inner.outputs[0], sizes.errors)
    x = layers.Concatenate()([codes, *code, errors])
    return _probability([codes, standard], _perceptrons(x, sizes))


def surprise(
    target: Any, output: Any, errors: str, spread: np.ndarray | None = None
) -> Any:
    """Returns the error of each quantity, `(batch, quantities)`, from 0 on.

    Args:
        target: The true values, `(batch, quantities)`; as `output`, an array, a
            tensor or a Keras tensor.
        output: The autoencoder's reconstruction of them.
        errors: See `Sizes`.
        spread: See `Detector`; if given, errors are divided by it and clipped.
    """
    difference = layers.Subtract(name="difference")([target, output])
    largest = None
    if spread is not None:
        # Quantities that are easy to reconstruct must not be outvoted by
        # those that nothing predicts.
        difference = layers.Normalization(
            mean=np.zeros_like(spread), variance=spread**2, name="spread"
        )(difference)
        largest = encoding.LARGEST
    if errors == "both":
        difference = ops.abs(difference)
    return layers.ReLU(largest, name="errors")(difference)
