"""The detectors: raw features, a fixed encoding, a network, a score.

The network holds every weight and is made of layers that TF-MOT prunes,
clusters and quantizes; encoding and score stay in float around it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from . import encoding, networks
from .own_columns import Column
from .settings import Sizes

LEAST_SPREAD = 0.05  # Added to errors' spread; in the quantity's deviations.
ROWS_AT_A_TIME = 8192  # Rows of a batch where nothing is trained.
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
        quantities: The names of the quantities that are encoded.
        owners: For each encoding, the index of the quantity that each of its
            columns belongs to.
        encode: The model from raw features to a list of encodings.
        network: The model from the encodings to a probability, or to a
            reconstruction.
        typical: The mean encodings of honest transactions, each with a batch
            axis of 1: the reference of explanations.
        errors: Which errors of an autoencoder count, `above` or `both`; "" for
            the other kinds.
        spread: The standard deviation of each error on the training data,
            `(columns,)`; None before training.
    """

    quantities: tuple[str, ...]
    owners: tuple[np.ndarray, ...]
    encode: keras.Model
    network: keras.Model
    typical: tuple[np.ndarray, ...]
    errors: str = ""
    spread: np.ndarray | None = None

    def encoded(self, raw: Any) -> list[Any]:
        """Returns the encodings of raw features, always as a list.

        Args:
            raw: `(batch, features)` or `(batch, steps, features)`: an array, a
                tensor or a Keras tensor.
        """
        return as_list(self.encode(raw, training=False))

    def full_model(self) -> keras.Model:
        """Returns the model from raw features to scores `(batch, 1)`."""
        raw = keras.Input(self.encode.input_shape[1:], name="features")
        encoded = self.encoded(raw)
        output = self.network(encoded if encoded[1:] else encoded[0])
        if self.errors:
            errors = networks.surprise(
                encoded[0], output, self.errors, self.spread
            )
            output = ops.mean(errors, axis=-1, keepdims=True)
        return keras.Model(raw, output, name="detector")


def build(
    kind: str,
    names: Sequence[str],
    raw: np.ndarray,
    fraud: np.ndarray,
    sizes: Sizes,
    before: Detector | None = None,
    own: Sequence[Column] = (),
) -> Detector:
    """Builds an untrained detector; its encoding is fitted to `raw`.

    Args:
        kind: One of `MODELS`.
        names: The raw features' names.
        raw: Training features, `(num, features)`; for `sequence`
            `(num, steps, features)`.
        fraud: `(num,)` labels. An autoencoder does not see them.
        sizes: The sizes of the networks.
        before: The trained autoencoder that a `hybrid` is built on; without it
            an untrained autoencoder takes its place.
        own: The table's own columns; see `encoding.Quantities`.
    """
    flat = raw.reshape(-1, raw.shape[-1]).astype(np.float64)
    quantities = encoding.Quantities(names, flat, own)
    inputs = keras.Input(raw.shape[1:], name="features")
    makers = {
        "codes": lambda: encoding.codes(inputs, quantities, flat, sizes.bins),
        "standard": lambda: encoding.standardize(
            quantities.of(inputs), np.asarray(quantities.of(flat))
        ),
    }
    repeats = {"codes": sizes.bins, "standard": 1}
    encoded = [makers[name]() for name in ENCODINGS[kind]]
    encode = keras.Model(inputs, encoded, name="encode")
    shapes = [tuple(tensor.shape[1:]) for tensor in encoded]
    return Detector(
        quantities.names,
        tuple(quantities.owners(repeats[name]) for name in ENCODINGS[kind]),
        encode,
        _network(kind, shapes, sizes, before),
        typical_of(encode, raw if kind == "autoencoder" else raw[fraud == 0]),
        sizes.errors if kind == "autoencoder" else "",
    )


def _network(
    kind: str,
    shapes: Sequence[tuple[int, ...]],
    sizes: Sizes,
    before: Detector | None,
) -> keras.Model:
    """Returns the untrained network of a detector.

    Args:
        kind: One of `MODELS`.
        shapes: The shapes of the encodings, without batch axes.
        sizes: See `build`.
        before: See `build`.
    """
    if kind == "autoencoder":
        return networks.autoencoder(shapes[0], sizes)
    if kind == "sequence":
        return networks.sequence(shapes[0], sizes)
    if kind == "classifier":
        return networks.classifier(shapes[0], sizes)
    inner = before.network if before else networks.autoencoder(shapes[1], sizes)
    return networks.hybrid(shapes[0], sizes, inner)


def as_list(value: Any) -> list[Any]:
    """Returns a model's outputs as a list, also a single output."""
    return list(value) if isinstance(value, list | tuple) else [value]


def outputs(model: keras.Model, rows: np.ndarray) -> list[np.ndarray]:
    """Returns a model's outputs for all rows, always as a list.

    `predict` is not used: it would share the rows among several workers.

    Args:
        model: A model with one input.
        rows: `(num, ...)`.
    """
    batches = []
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        tensors = model(rows[start : start + ROWS_AT_A_TIME], training=False)
        batches.append([np.asarray(tensor) for tensor in as_list(tensors)])
    return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]


def typical_of(encode: keras.Model, raw: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the mean encodings, each with a batch axis of 1."""
    return tuple(
        values.mean(axis=0, keepdims=True) for values in outputs(encode, raw)
    )


def settle(
    detector: Detector, raw: np.ndarray, network: Any = None
) -> Detector:
    """Returns a trained detector that knows the spread of its errors.

    Args:
        detector: A detector of any kind; only an autoencoder has errors.
        raw: Training features, `(num, features)`.
        network: A Keras 3 or tf_keras network that takes the place of the
            detector's own: its twin, which errs differently after pruning.
    """
    if not detector.errors:
        return detector
    (encoded,) = outputs(detector.encode, raw)
    (rebuilt,) = outputs(network or detector.network, encoded)
    return dataclasses.replace(
        detector, spread=np.std(encoded - rebuilt, axis=0) + LEAST_SPREAD
    )


def transform(
    detector: Detector, kind: str, corruption: float
) -> Callable[..., tuple[Any, Any]]:
    """Returns the map from raw features and labels to inputs and targets.

    Args:
        detector: Gives the encoding.
        kind: One of `MODELS`.
        corruption: The part of an autoencoder's inputs that is hidden if the
            map gets a seed, as it does in training: the autoencoder then
            learns to expect a quantity from the others (Vincent et al.,
            Extracting and composing robust features with denoising
            autoencoders, 2008).
    """

    def encode(raw: Any, fraud: Any, seed: Any = None) -> tuple[Any, Any]:
        encoded = detector.encoded(raw)
        if kind == "autoencoder":
            target = encoded[0]
            if seed is None:
                return target, target
            return tf.nn.experimental.stateless_dropout(
                target, corruption, seed
            ), target
        target = ops.cast(fraud, "float32")[:, None]
        return tuple(encoded) if encoded[1:] else encoded[0], target

    return encode


def loss(imbalance: str, fraud: np.ndarray) -> keras.losses.Loss:
    """Returns the loss of a classifier.

    Args:
        imbalance: `none` for cross-entropy; `weights` counts frauds and honest
            transactions so that both classes weigh the same; `focal` lets easy
            transactions count less (Lin et al., Focal loss, 2017).
        fraud: The training labels, `(num,)` zeros and ones.
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
