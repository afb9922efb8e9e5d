"""Why a transaction was flagged: the part of each quantity in its score."""

import keras
import numpy as np
import tensorflow as tf

from . import model as detectors
from . import networks

STEPS = 16  # Of the path from the typical transaction to the one explained.
SHOWN = 3


class Explainer:
    """Gives each quantity its part of a score.

    A classifier's parts are integrated gradients (Sundararajan et al.,
    Axiomatic attribution for deep networks, 2017) along the straight path from
    the mean encoding of honest transactions: they add up to the difference of
    the two logits. An autoencoder's parts are the errors; the mean over all
    columns is its score.

    Attributes:
        quantities: The names of the quantities, one for each part.
        tracked: The models that a SavedModel must be saved with.
    """

    def __init__(self, detector: detectors.Detector) -> None:
        self.quantities = detector.quantities
        self._detector = detector
        self._network = detector.network
        if not detector.errors:
            before = self._network.get_layer("probability").input
            self._network = keras.Model(self._network.inputs, before)
        self.tracked = [detector.encode, self._network]

    def parts(self, raw: np.ndarray | tf.Tensor) -> tf.Tensor:
        """Returns each quantity's part of the score, `(batch, quantities)`.

        Args:
            raw: `(batch, features)` or `(batch, steps, features)`.
        """
        encoded = self._detector.encoded(raw)
        if not self._detector.errors:
            return self._integrated_gradients(encoded)
        rebuilt = self._network(encoded[0], training=False)
        errors = networks.surprise(
            encoded[0], rebuilt, self._detector.errors, self._detector.spread
        )
        return self._by_quantity(errors, self._detector.owners[0])

    def _integrated_gradients(self, encoded: list[tf.Tensor]) -> tf.Tensor:
        """Returns the parts of a classifier's logit, `(batch, quantities)`."""
        typical = [tf.constant(mean) for mean in self._detector.typical]
        away = [
            end - start for end, start in zip(encoded, typical, strict=True)
        ]
        # All steps in one batch: one pass through the network and back.
        points = [
            tf.concat(
                [start + (step + 0.5) / STEPS * way for step in range(STEPS)],
                axis=0,
            )
            for start, way in zip(typical, away, strict=True)
        ]
        with tf.GradientTape() as tape:
            tape.watch(points)
            logit = self._network(points, training=False)
        gradients = tape.gradient(logit, points)
        return tf.add_n(
            [
                self._by_quantity(
                    tf.reduce_mean(
                        tf.reshape(gradient, (STEPS, -1, *way.shape[1:])),
                        axis=0,
                    )
                    * way,
                    owners,
                )
                for gradient, way, owners in zip(
                    gradients, away, self._detector.owners, strict=True
                )
            ]
        )

    def _by_quantity(self, parts: tf.Tensor, owners: np.ndarray) -> tf.Tensor:
        """Returns the sum of the parts of each quantity's columns.

        Args:
            parts: `(batch, ..., columns)`.
            owners: The quantity of each column, `(columns,)`.
        """
        owned = owners[:, None] == np.arange(len(self.quantities))
        flat = tf.reshape(parts, (-1, parts.shape[-1]))
        summed = flat @ tf.constant(owned, tf.float32)
        inner = parts.shape[1:-1].num_elements()
        by_step = tf.reshape(summed, (-1, inner, len(self.quantities)))
        return tf.reduce_sum(by_step, axis=1)

    def reasons(self, parts: tf.Tensor) -> tf.Tensor:
        """Returns the names of the greatest parts, `(batch, SHOWN)` strings.

        A part that did not raise the score has the name "".
        """
        values, order = tf.math.top_k(parts, SHOWN)
        names = tf.gather(tf.constant(self.quantities), order)
        return tf.where(values > 0, names, "")
