"""The detectors: raw features, a fixed encoding, a network, a score.

The network holds every weight and is made of layers that TF-MOT prunes,
clusters and quantizes; encoding and score stay in float around it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from apps.fraud_detect import encoding

MODELS = ("classifier", "autoencoder", "hybrid", "sequence")
ENCODINGS = {
    "classifier": ("codes",),
    "sequence": ("codes",),
    "autoencoder": ("standard",),
    "hybrid": ("codes", "standard"),
}


@dataclasses.dataclass(frozen=True)
class Detector:
    """A model in the parts that training, compression and serving need.

    Attributes:
        quantities: What the encoded columns stand for; they repeat.
        encode: From raw features to a list of encodings.
        network: From those to a probability, or to a reconstruction.
        typical: The mean encodings of honest transactions: the reference of
            explanations.
        errors: How an autoencoder's errors count, `above` or `both`; "" for
            the other kinds.
    """

    quantities: tuple[str, ...]
    encode: keras.Model
    network: keras.Model
    typical: tuple[np.ndarray, ...]
    errors: str = ""

    def encoded(self, raw: Any) -> list[Any]:
        """Returns the encodings of raw features, a list also of one."""
        return as_list(self.encode(raw, training=False))

    def whole(self) -> keras.Model:
        """Returns the model from raw features to `score`."""
        raw = keras.Input(self.encode.input_shape[1:], name="features")
        encoded = self.encoded(raw)
        found = self.network(encoded if encoded[1:] else encoded[0])
        if self.errors:
            errors = surprise(encoded[0], found, self.errors)
            found = ops.mean(errors, axis=-1, keepdims=True)
        return keras.Model(raw, found, name="detector")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the networks are.

    Attributes:
        bins: See `encoding.piecewise_linear`.
        units: The widths of the hidden layers.
        autoencoder_units: Those of an autoencoder, up to its code.
        code: The width of the code.
        members: Networks whose outputs are averaged.
        dropout: The part of hidden units dropped in training.
        errors: Which errors of an autoencoder are suspicious: `above`, values
            greater than it expects, as for amounts and shares of fraud; `both`
            where high values mean no more than low ones.
    """

    bins: int
    units: Sequence[int]
    autoencoder_units: Sequence[int]
    code: int
    members: int
    dropout: float
    errors: str


def build(
    kind: str,
    names: Sequence[str],
    raw: np.ndarray,
    fraud: np.ndarray,
    sizes: Sizes,
    before: Detector | None = None,
) -> Detector:
    """Builds an untrained detector; its encoding is fitted to `raw`.

    Args:
        kind: One of `MODELS`.
        names: The raw features' names.
        raw: Training features, `(num, features)`; for `sequence`
            `(num, steps, features)`.
        fraud: `(num,)` labels. An autoencoder does not see them.
        sizes: Of the networks.
        before: For `hybrid`, a trained autoencoder; without it, an untrained
            one takes its place.
    """
    flat = raw.reshape(-1, raw.shape[-1]).astype(np.float64)
    values = encoding.derived_values(flat, names)
    inputs = keras.Input(raw.shape[1:], name="features")
    derived = encoding.derive(inputs, names)
    makers = {
        "codes": lambda: encoding.piecewise_linear(derived, values, sizes.bins),
        "standard": lambda: encoding.standardize(derived, values),
    }
    encoded = [makers[one]() for one in ENCODINGS[kind]]
    encode = keras.Model(inputs, encoded, name="encode")
    shapes = [tuple(one.shape[1:]) for one in encoded]
    if kind == "autoencoder":
        network = autoencoder(shapes[0], sizes)
    elif kind == "sequence":
        network = sequence(shapes[0], sizes)
    elif kind == "classifier":
        network = classifier(shapes[0], sizes)
    else:
        inner = before.network if before else autoencoder(shapes[1], sizes)
        network = hybrid(shapes[0], sizes, inner)
    return Detector(
        encoding.names(names),
        encode,
        network,
        typical_of(encode, raw if kind == "autoencoder" else raw[fraud == 0]),
        sizes.errors if kind == "autoencoder" else "",
    )


def as_list(found: Any) -> list[Any]:
    """Returns a model's outputs as a list: Keras gives one without it."""
    return list(found) if isinstance(found, list | tuple) else [found]


def typical_of(encode: keras.Model, raw: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the mean encodings, each with a batch axis of 1."""
    encoded = as_list(encode.predict(raw, batch_size=8192, verbose=0))
    return tuple(one.mean(axis=0, keepdims=True) for one in encoded)


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


def surprise(target: Any, found: Any, errors: str) -> Any:
    """Returns the error of each quantity, in standard deviations, from 0 on.

    Args:
        target: What is, `(batch, quantities)`.
        found: What the autoencoder made of it.
        errors: See `Sizes`.
    """
    difference = layers.Subtract(name="difference")([target, found])
    if errors == "above":
        return layers.ReLU(name="above")(difference)
    return ops.abs(difference)


def transform(detector: Detector, kind: str) -> Any:
    """Returns the map from raw features and labels to what is fitted."""

    def encode(raw: Any, fraud: Any) -> tuple[Any, Any]:
        encoded = detector.encoded(raw)
        if kind == "autoencoder":
            return encoded[0], encoded[0]
        target = ops.cast(fraud, "float32")[:, None]
        return tuple(encoded) if encoded[1:] else encoded[0], target

    return encode


def loss(imbalance: str, fraud: np.ndarray) -> Any:
    """Returns the loss of a classifier.

    Args:
        imbalance: `none` for cross-entropy; `weights` counts a fraud as often
            as there are honest transactions to one; `focal` lets easy ones
            count less (Lin et al., Focal loss, 2017).
        fraud: The training labels.
    """
    if imbalance == "focal":
        return keras.losses.BinaryFocalCrossentropy(gamma=2.0)
    if imbalance == "none":
        return keras.losses.BinaryCrossentropy()
    # Keras's own loss, so that the saved model loads: without focus (gamma 0)
    # it is cross-entropy times alpha for frauds, 1 - alpha for the others.
    return keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=float(np.mean(fraud == 0)), gamma=0.0
    )
