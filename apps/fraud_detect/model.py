"""The detectors: raw features, a fixed encoding, a network, a score.

The network holds every weight and is made of layers that TF-MOT prunes,
clusters and quantizes; encoding and score stay in float around it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from . import encoding, networks
from .settings import Sizes

LEAST_SPREAD = 0.05  # Of errors, in deviations of the quantity.
ROWS_AT_A_TIME = 8192  # Where nothing is trained.
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
        spread: The standard deviation of each of those errors in training;
            none before.
    """

    quantities: tuple[str, ...]
    encode: keras.Model
    network: keras.Model
    typical: tuple[np.ndarray, ...]
    errors: str = ""
    spread: np.ndarray | None = None

    def encoded(self, raw: Any) -> list[Any]:
        """Returns the encodings of raw features, a list also of one."""
        return as_list(self.encode(raw, training=False))

    def whole(self) -> keras.Model:
        """Returns the model from raw features to `score`."""
        raw = keras.Input(self.encode.input_shape[1:], name="features")
        encoded = self.encoded(raw)
        found = self.network(encoded if encoded[1:] else encoded[0])
        if self.errors:
            errors = networks.surprise(
                encoded[0], found, self.errors, self.spread
            )
            found = ops.mean(errors, axis=-1, keepdims=True)
        return keras.Model(raw, found, name="detector")


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
        network = networks.autoencoder(shapes[0], sizes)
    elif kind == "sequence":
        network = networks.sequence(shapes[0], sizes)
    elif kind == "classifier":
        network = networks.classifier(shapes[0], sizes)
    else:
        inner = (
            before.network if before else networks.autoencoder(shapes[1], sizes)
        )
        network = networks.hybrid(shapes[0], sizes, inner)
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


def outputs(model: keras.Model, rows: Any) -> list[np.ndarray]:
    """Returns a model's outputs for rows, in parts, as a list.

    Not by `predict`: that would share the rows among several workers.
    """
    parts = []
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        found = model(rows[start : start + ROWS_AT_A_TIME], training=False)
        parts.append([np.asarray(one) for one in as_list(found)])
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def typical_of(encode: keras.Model, raw: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the mean encodings, each with a batch axis of 1."""
    return tuple(
        one.mean(axis=0, keepdims=True) for one in outputs(encode, raw)
    )


def settle(
    detector: Detector, raw: np.ndarray, network: Any = None
) -> Detector:
    """Returns a trained detector that knows the spread of its errors.

    Args:
        detector: Of any kind; only an autoencoder has errors.
        raw: Training features.
        network: What stands for the detector's own network: its twin, whose
            errors are others after pruning.
    """
    if not detector.errors:
        return detector
    (encoded,) = outputs(detector.encode, raw)
    (found,) = outputs(network or detector.network, encoded)
    return dataclasses.replace(
        detector, spread=np.std(encoded - found, axis=0) + LEAST_SPREAD
    )


def transform(detector: Detector, kind: str, corruption: float) -> Any:
    """Returns the map from raw features and labels to what is fitted.

    Args:
        detector: Gives the encoding.
        kind: One of `MODELS`.
        corruption: The part of an autoencoder's inputs that is hidden if the
            map is given a seed, as it is in training: what it expects of a
            quantity then comes from the others (Vincent et al., Extracting
            and composing robust features with denoising autoencoders, 2008).
    """

    def encode(raw: Any, fraud: Any, seed: Any = None) -> tuple[Any, Any]:
        encoded = detector.encoded(raw)
        if kind == "autoencoder":
            whole = encoded[0]
            if seed is None:
                return whole, whole
            return tf.nn.experimental.stateless_dropout(
                whole, corruption, seed
            ), whole
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
