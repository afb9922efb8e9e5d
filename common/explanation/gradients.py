"""Integrated gradients: each part of an input gets its part of a score.

Sundararajan et al., Axiomatic attribution for deep networks, 2017. The
gradients along the straight path from a baseline to the input, averaged and
multiplied with the way, add up to the change of the score from the baseline to
the input. That sum is checked for each input, and decides where the path is cut
more finely.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-3  # The greatest error of the sum that no finer path mends.
# Points of the path: the first ones, for a sum may be right by chance, and the
# most, beyond which a network with many kinks costs minutes.
FEWEST, MOST = 65, 4096
AT_A_TIME = 64  # Points of the path in a batch.

# Maps points `(batch, ...)`, and a context that is the same for all of them, to
# scores `(batch,)`.
Score = Callable[[tf.Tensor, Any], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Attribution:
    """The parts of an input in a score.

    Attributes:
        values: The part of each element, in the input's shape.
        score: The score of the input.
        baseline_score: The score of the baseline.
    """

    values: np.ndarray
    score: float
    baseline_score: float

    @property
    def error(self) -> float:
        """How far the sum of the parts is off the change of the score."""
        change = self.score - self.baseline_score
        return abs(float(self.values.sum(dtype=np.float64)) - change)


class IntegratedGradients:
    """Computes attributions of a score."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._slopes = tf.function(self._slopes_at, reduce_retracing=True)
        self._sum = tf.function(self._weighted_sum, reduce_retracing=True)

    def __call__(
        self, value: np.ndarray, baseline: np.ndarray, context: Any
    ) -> Attribution:
        """Returns the attribution of one input.

        The integral is that of the trapezoidal rule. The score itself tells
        how wrong the rule is between two points: the intervals that are most
        wrong, which hold the kinks of a network of ReLUs, are halved until the
        parts add up within `TOLERANCE`.

        Args:
            value: The input, without a batch axis, float32.
            baseline: What the input is compared with, in the same shape.
            context: What the score needs beside it, such as the class.
        """
        ends = tf.constant(np.stack([baseline, value]), tf.float32)
        new = np.linspace(0, 1, FEWEST)
        path = np.zeros((3, 0))  # Places, and the scores and slopes there.
        while True:
            known = np.stack([new, *self._measure(ends, new, context)])
            path = np.concatenate([path, known], axis=1)
            path = path[:, path[0].argsort()]
            place, score, slope = path
            width = np.diff(place)
            errors = np.diff(score) - width * (slope[1:] + slope[:-1]) / 2
            if abs(errors.sum()) <= TOLERANCE or len(place) >= MOST:
                break
            worst = np.argsort(-np.abs(errors))[:AT_A_TIME]
            new = place[worst] + width[worst] / 2
        weights = (np.append(width, 0) + np.insert(width, 0, 0)) / 2
        parts = [
            self._sum(ends, *_cut(start, place, weights), context).numpy()
            for start in range(0, len(place), AT_A_TIME)
        ]
        way = value.astype(np.float64) - baseline
        return Attribution(
            np.sum(parts, axis=0, dtype=np.float64) * way,
            float(score[-1]),
            float(score[0]),
        )

    def _measure(
        self, ends: tf.Tensor, places: np.ndarray, context: Any
    ) -> np.ndarray:
        """Returns the scores and their slopes along the path, `(2, num)`."""
        parts = [
            self._slopes(ends, *_cut(start, places), context)
            for start in range(0, len(places), AT_A_TIME)
        ]
        return np.concatenate(parts, axis=1).astype(np.float64)

    def _slopes_at(
        self, ends: tf.Tensor, places: tf.Tensor, context: Any
    ) -> tf.Tensor:
        """Returns the scores and their slopes along the path, `(2, num)`."""
        score, gradients = self._gradients(ends, places, context)
        products = gradients * (ends[1] - ends[0])
        axes = tf.range(1, tf.rank(products))
        return tf.stack([score, tf.reduce_sum(products, axes)])

    def _weighted_sum(
        self, ends: tf.Tensor, places: tf.Tensor, weights: tf.Tensor,
        context: Any,
    ) -> tf.Tensor:  # fmt: skip
        """Returns the weighted sum of the gradients of a batch of points."""
        _, gradients = self._gradients(ends, places, context)
        return tf.tensordot(weights, gradients, axes=1)

    def _gradients(
        self, ends: tf.Tensor, places: tf.Tensor, context: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scores and the gradients of a batch of points."""
        shape = tf.concat([[-1], tf.ones_like(tf.shape(ends))[1:]], axis=0)
        points = ends[0] + tf.reshape(places, shape) * (ends[1] - ends[0])
        with tf.GradientTape() as tape:
            tape.watch(points)
            score = self._score(points, context)
        return score, tape.gradient(score, points)


def _cut(start: int, *arrays: np.ndarray) -> list[tf.Tensor]:
    """Returns the parts of arrays that one batch takes, as float32."""
    stop = start + AT_A_TIME
    return [tf.constant(array[start:stop], tf.float32) for array in arrays]


def logits(model: keras.Model) -> keras.KerasTensor:
    """Returns the output before the softmax `probabilities` of a classifier."""
    return model.get_layer("probabilities").input


def margin(values: tf.Tensor, label_id: tf.Tensor) -> tf.Tensor:
    """Returns the logit of a class less the mean of the others, `(batch,)`.

    Of two classes this is the logarithm of the odds. A logit alone would not
    do: a softmax does not change if the same is added to all logits.

    Args:
        values: Logits, `(batch, classes) float32`.
        label_id: The class, a scalar.
    """
    own = tf.gather(values, label_id, axis=1)
    num_others = values.shape[1] - 1
    return own - (tf.reduce_sum(values, axis=1) - own) / num_others
