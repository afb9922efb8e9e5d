"""Anomaly scores: a heat map and a number from an image and its rebuild.

A score is a small functional model, the head, behind the autoencoder. The same
head scores validation images, goes into the SavedModel and, by way of its twin,
into the TFLite files.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.metrics import roc_auc_score

from apps.medical_autoencoder import similarity

MAPS = ("mse", "ssim", "ssim_scales")  # The score is the map's mean.
NAMES = (*MAPS, "latent", "combined")
COMBINED = ("ssim_scales", "latent")
FALLBACK = "ssim_scales"  # Without abnormal images there is nothing to choose.
HEAD = "head"
BATCH = 500
WINDOWS = (5, 7, 11)


@dataclasses.dataclass(frozen=True)
class Rebuilt:
    """A split, and what the network makes of it.

    Attributes:
        inputs: Images as the network gets them, `(num, height, width,
            channels) float32`; with noise for a denoiser.
        targets: What it should make of them.
        reconstruction: What it makes of them.
        latent: `(num, latent)` in the bottleneck; a denoiser has none.
        labels: `(num,)`: 0 normal, 1 abnormal.
    """

    inputs: np.ndarray
    targets: np.ndarray
    reconstruction: np.ndarray
    latent: np.ndarray | None
    labels: np.ndarray

    def feed(self) -> list[np.ndarray]:
        """Returns what a head takes."""
        found = [self.inputs, self.reconstruction]
        return found if self.latent is None else [*found, self.latent]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What normal images give, for the scores that need a scale.

    Attributes:
        mean: `(latent,)`, the mean of training images in the bottleneck.
        whitening: `(latent, latent)`; makes their covariance the identity.
        scales: Mean and standard deviation of scores over normal validation
            images, by name.
    """

    mean: np.ndarray
    whitening: np.ndarray
    scales: dict[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Detector:
    """A score, fitted.

    Attributes:
        name: One of `NAMES`.
        head: From image, reconstruction and bottleneck to `heatmap`, `(batch,
            height, width, 1)`, and `anomaly_score`, `(batch,)`.
        threshold: Scores above it are anomalous.
        heat: The heat that is normal and the heat that is not, for pictures:
            the median and the 99.9 % quantile over normal validation pixels.
        candidates: AUROC on validation by name, if it was chosen by it.
    """

    name: str
    head: keras.Model
    threshold: float
    heat: tuple[float, float]
    candidates: dict[str, float]

    def __call__(self, rebuilt: Rebuilt) -> tuple[np.ndarray, np.ndarray]:
        """Returns heat maps and scores of a split."""
        return tuple(run(self.head, rebuilt))


def run(head: keras.Model, rebuilt: Rebuilt) -> list[np.ndarray]:
    """Returns the heat maps and the scores that a head gives."""
    call = tf.function(lambda *feed: head(list(feed)), reduce_retracing=True)
    feed, rows = rebuilt.feed(), []
    for start in range(0, len(feed[0]), BATCH):
        part = [one[start : start + BATCH] for one in feed]
        rows.append([one.numpy() for one in call(*part)])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def fit(
    wanted: str, specificity: float, train: Rebuilt, valid: Rebuilt
) -> Detector:
    """Chooses a score on validation images and sets its threshold.

    Args:
        wanted: One of `NAMES`, or `auto`: the one with the best AUROC, or
            `FALLBACK` where validation has no abnormal image.
        specificity: The part of normal validation images below the threshold.
        train: Normal images.
        valid: Normal images, and abnormal ones perhaps.
    """
    statistics = fit_statistics(train, valid)
    names = NAMES if wanted == "auto" else (wanted,)
    heads = {name: build_head(name, valid, statistics) for name in names}
    candidates = {}
    if len(np.unique(valid.labels)) == 2:
        candidates = {
            name: float(roc_auc_score(valid.labels, run(head, valid)[1]))
            for name, head in heads.items()
        }
    name = FALLBACK if wanted == "auto" else wanted
    if candidates:
        name = max(candidates, key=lambda one: candidates[one])
    maps, found = run(heads[name], valid)
    normal = valid.labels == 0
    low, high = np.quantile(maps[normal], (0.5, 0.999))
    return Detector(
        name,
        heads[name],
        float(np.quantile(found[normal], specificity)),
        (float(low), float(high)),
        candidates,
    )


def fit_statistics(train: Rebuilt, valid: Rebuilt) -> Statistics | None:
    """Returns what normal images give; None without a bottleneck."""
    if train.latent is None or valid.latent is None:
        return None
    mean, whitening = fit_latent(train.latent)
    first = Statistics(mean, whitening, {})
    scales, normal = {}, valid.labels == 0
    for name in COMBINED:
        found = run(build_head(name, valid, first), valid)[1][normal]
        scales[name] = (float(found.mean()), float(found.std()) or 1.0)
    return dataclasses.replace(first, scales=scales)


def fit_latent(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and whitening of training images, `(num, latent)`."""
    mean = latent.mean(axis=0)
    covariance = np.cov(latent - mean, rowvar=False).reshape(2 * mean.shape)
    # A bottleneck that is partly dead has no inverse without this.
    spread = max(float(np.trace(covariance)) / len(mean), 1e-9)
    values, vectors = np.linalg.eigh(
        covariance + 1e-3 * spread * np.eye(len(mean))
    )
    return mean, vectors / np.sqrt(values)


def build_head(
    name: str, example: Rebuilt, statistics: Statistics | None
) -> keras.Model:
    """Builds the head of a score; see `Detector`."""
    inputs = [keras.Input(one.shape[1:]) for one in example.feed()]
    mapped = name if name in MAPS else FALLBACK
    heatmap = heat_map(mapped, *inputs[:2])
    scores = {mapped: ops.mean(heatmap, axis=(1, 2, 3))}
    if statistics is not None:
        scores["latent"] = latent_distance(inputs[2], statistics)
    if name == "combined" and statistics is not None:
        parts = [
            (scores[one] - mean) / spread
            for one, (mean, spread) in statistics.scales.items()
        ]
        scores[name] = ops.add(*parts)
    return keras.Model(inputs, [heatmap, scores[name]], name=HEAD)


def heat_map(name: str, image: Any, reconstruction: Any) -> Any:
    """Returns how much each pixel departs, `(batch, height, width, 1)`."""
    if name == "mse":
        found = similarity.squared_error(image, reconstruction)
    elif name == "ssim":
        found = 1.0 - similarity.ssim_map(image, reconstruction)
    else:
        found = _scales(image, reconstruction)
    if found.shape[-1] > 1:
        found = ops.mean(found, axis=-1, keepdims=True)
    return found


def _scales(image: Any, reconstruction: Any) -> Any:
    """Returns 1 - SSIM, averaged over windows and over two resolutions."""
    maps = [
        1.0 - similarity.ssim_map(image, reconstruction, window)
        for window in WINDOWS
    ]
    halves = [
        ops.average_pool(x, 2, 2, "valid") for x in (image, reconstruction)
    ]
    half = 1.0 - similarity.ssim_map(*halves, window=WINDOWS[0])
    maps.append(ops.repeat(ops.repeat(half, 2, axis=1), 2, axis=2))
    return sum(maps[1:], maps[0]) / len(maps)


def latent_distance(latent: Any, statistics: Statistics) -> Any:
    """Returns the Mahalanobis distance to normal images, `(batch,)`."""
    white = ops.matmul(
        ops.subtract(latent, statistics.mean.astype(np.float32)),
        statistics.whitening.astype(np.float32),
    )
    return ops.sqrt(ops.mean(ops.square(white), axis=-1))
