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
# Points of the path in a batch, the first batch being spread evenly; and the
# most of all, beyond which a network with many kinks costs minutes.
AT_A_TIME, MOST = 64, 4096

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
        self._run = tf.function(self._gradients, reduce_retracing=True)

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
        new = np.linspace(0, 1, AT_A_TIME)
        path = np.zeros((3, 0))  # Places, and the scores and slopes there.
        while True:
            score, slope, _ = self._measure(ends, new, context)
            path = np.concatenate([path, [new, score, slope]], axis=1)
            path = path[:, path[0].argsort()]
            place, score, slope = path
            width = np.diff(place)
            errors = np.diff(score) - width * (slope[1:] + slope[:-1]) / 2
            if abs(errors.sum()) <= TOLERANCE or len(place) >= MOST:
                break
            worst = np.argsort(-np.abs(errors))[:AT_A_TIME]
            new = place[worst] + width[worst] / 2
        weights = (np.append(width, 0) + np.insert(width, 0, 0)) / 2
        means = [
            self._measure(
                ends,
                place[start : start + AT_A_TIME],
                context,
                weights[start : start + AT_A_TIME],
            )[2]
            for start in range(0, len(place), AT_A_TIME)
        ]
        way = value.astype(np.float64) - baseline
        return Attribution(
            np.sum(means, axis=0) * way, float(score[-1]), float(score[0])
        )

    def _measure(
        self,
        ends: tf.Tensor,
        places: np.ndarray,
        context: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns scores, slopes and the weighted sum of gradients, float64.

        A batch that is not full is filled up, so that there is one graph.

        Args:
            ends: The baseline and the input.
            places: At most `AT_A_TIME` points of the path, from 0 to 1.
            context: See `Score`.
            weights: The weights of the gradients; by default zeros.
        """
        num = len(places)
        filled = np.zeros((2, AT_A_TIME), np.float32)
        filled[0, :num] = places
        if weights is not None:
            filled[1, :num] = weights
        score, slope, total = (
            tensor.numpy().astype(np.float64)
            for tensor in self._run(ends, tf.constant(filled), context)
        )
        return score[:num], slope[:num], total

    def _gradients(
        self, ends: tf.Tensor, path: tf.Tensor, context: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns scores, slopes along the path, and weighted gradients."""
        way = ends[1] - ends[0]
        points = ends[0] + tf.tensordot(path[0], way, axes=0)
        with tf.GradientTape() as tape:
            tape.watch(points)
            score = self._score(points, context)
        gradients = tape.gradient(score, points)
        axes = tf.range(1, tf.rank(points))
        slope = tf.reduce_sum(gradients * way, axes)
        return score, slope, tf.tensordot(path[1], gradients, axes=1)


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
