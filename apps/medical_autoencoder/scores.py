"""Anomaly scores: heat maps and numbers from images and reconstructions.

A score is a small functional model, the head, behind the autoencoder. The same
head scores validation images, goes into the SavedModel and, by way of its twin,
into the TFLite files.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.metrics import roc_auc_score

from common.training import inference

from . import similarity

STANDARDIZED = ("ssim_z", "ssim_relative")
MAPS = ("mse", "ssim", "ssim_scales", *STANDARDIZED)  # Scored by their mean.
NAMES = (*MAPS, "latent", "combined")
COMBINED = ("ssim_z", "latent")
FALLBACK = "ssim_z"  # Without abnormal images, no score can be chosen.
HEAD = "head"
BATCH = 500
THRESHOLD = 1.0
COARSE_WINDOW = 3  # In pixels of half the resolution.
# A blank image has no detail, and a score is divided by the detail.
LEAST_DETAIL = 0.05


@dataclasses.dataclass(frozen=True)
class Rebuilt:
    """The images of a split and their reconstructions.

    Attributes:
        inputs: Images as the network gets them, `(num, height, width,
            channels) float32`; with noise for a denoiser.
        targets: The images that the network should return, of that shape.
        reconstruction: The images that it returns, of that shape.
        latent: The outputs of the bottleneck, `(num, latent) float32`; None
            for a denoiser, which has no bottleneck.
        labels: `(num,)` integers: 0 normal, 1 abnormal.
        masks: What is abnormal in each image; see `masks.MaskedSplit`.
    """

    inputs: np.ndarray
    targets: np.ndarray
    reconstruction: np.ndarray
    latent: np.ndarray | None
    labels: np.ndarray
    masks: np.ndarray | None = None

    def feed(self) -> list[np.ndarray]:
        """Returns the arrays that a head takes, in the order of its inputs."""
        arrays = [self.inputs, self.reconstruction]
        return arrays if self.latent is None else [*arrays, self.latent]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of normal images, for the scores that need a scale.

    Attributes:
        maps: For each heat map in `STANDARDIZED`, by name: its mean and its
            standard deviation over training images at each pixel, `(height,
            width, 1) float32` each.
        latent: The mean of the bottleneck's outputs, `(latent,)`, and the
            matrix, `(latent, latent)`, that makes their covariance the
            identity; None for a denoiser, which has no bottleneck.
        spreads: For each score in `COMBINED`, by name: its standard deviation
            over normal validation images.
    """

    maps: dict[str, tuple[np.ndarray, np.ndarray]]
    latent: tuple[np.ndarray, np.ndarray] | None
    spreads: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Detector:
    """An anomaly score that was fitted to normal images.

    Attributes:
        name: One of `NAMES`.
        head: A model that takes image, reconstruction and the bottleneck's
            outputs, and returns `heatmap`, `(batch, height, width, 1)
            float32`, and `anomaly_score`, `(batch,) float32`, in units of the
            threshold: an image is anomalous if its score is at least 1.
        usual_heat: The median heat of normal validation pixels. Heat has a
            unit such that 1 in 1,000 of these pixels exceeds 1.
        candidates: The AUROC of each score that was compared, by name: the
            mean of plain and of varied validation images. It is empty if
            validation has no abnormal image.
    """

    name: str
    head: keras.Model
    usual_heat: float
    candidates: dict[str, float]

    def describe(self) -> dict[str, Any]:
        """Returns the entry `score` of `report.json`."""
        return {"name": self.name, "valid_auroc": self.candidates}

    def __call__(self, rebuilt: Rebuilt) -> tuple[np.ndarray, np.ndarray]:
        """Returns the heat maps and the scores of a split; see `run`."""
        return run(self.head, rebuilt)


def run(head: keras.Model, rebuilt: Rebuilt) -> tuple[np.ndarray, np.ndarray]:
    """Returns the heat maps and the scores that a head computes.

    Args:
        head: From `build_head`.
        rebuilt: The split, of `num` images.

    Returns:
        Heat maps, `(num, height, width, 1) float32`, and scores, `(num,)
        float32`.
    """
    feed = rebuilt.feed()
    batches = (
        ([array[start : start + BATCH] for array in feed], ())
        for start in range(0, len(feed[0]), BATCH)
    )
    (maps, scores), _ = inference.outputs(head, batches)
    return maps, scores


def fit(
    choice: str, specificity: float, rebuilt: Mapping[str, Rebuilt]
) -> Detector:
    """Returns a detector; validation images decide its score and threshold.

    Args:
        choice: One of `NAMES`, or `auto`: the score with the best AUROC, or
            `FALLBACK` if validation has no abnormal image.
        specificity: The part of normal validation images whose scores are
            below the threshold.
        rebuilt: The splits by name: `train`, of normal images; `valid`; and
            `varied`, if there is one. The score is chosen on `valid` and
            `varied`: plain images hardly distinguish the scores, and varied
            ones do not distinguish them where all images are aligned, as the
            phantoms are.
    """
    train, valid = rebuilt["train"], rebuilt["valid"]
    judges = [rebuilt[key] for key in ("valid", "varied") if key in rebuilt]
    statistics = fit_statistics(train, valid)
    possible = MAPS if valid.latent is None else NAMES
    names = possible if choice == "auto" else (choice,)
    heads = {name: build_head(name, valid, statistics) for name in names}
    candidates = {}
    if len(np.unique(valid.labels)) == 2:
        candidates = {
            name: _mean_auroc(head, judges) for name, head in heads.items()
        }
    name = FALLBACK if choice == "auto" else choice
    if candidates:
        name = max(candidates, key=lambda candidate: candidates[candidate])
    maps, scores = run(heads[name], valid)
    normal = valid.labels == 0
    median, high = np.quantile(maps[normal], (0.5, 0.999)).tolist()
    units = (high or 1.0, fit_threshold(scores[normal], specificity))
    head = build_head(name, valid, statistics, units)
    return Detector(name, head, median / units[0], candidates)


def _mean_auroc(head: keras.Model, splits: Sequence[Rebuilt]) -> float:
    """Returns the mean over splits of the AUROC of a head's scores."""
    values = [
        roc_auc_score(split.labels, run(head, split)[1]) for split in splits
    ]
    return float(np.mean(values))


def fit_threshold(scores: np.ndarray, specificity: float) -> float:
    """Returns the threshold that a part of the normal scores lies below.

    Args:
        scores: The scores of normal validation images, `(num,)`.
        specificity: The part of them that lies below the threshold.
    """
    # Slightly above the quantile: rounding must not flip the image whose score
    # is the quantile.
    return 1.00001 * float(np.quantile(scores, specificity)) or 1.0


def fit_statistics(train: Rebuilt, valid: Rebuilt) -> Statistics:
    """Returns the statistics of normal images.

    Args:
        train: Normal images, which give `maps` and `latent`.
        valid: Its normal images give `spreads`.
    """
    maps = {}
    for name in STANDARDIZED:
        errors = run(build_head(name, valid, None), train)[0]
        # Where all images agree, e.g. in black corners, the deviation is near
        # zero, and the smallest error would be a large heat.
        spread = np.maximum(errors.std(axis=0), 0.25 * errors.std())
        maps[name] = (errors.mean(axis=0), np.maximum(spread, 1e-6))
    if train.latent is None:
        return Statistics(maps, None)
    statistics = Statistics(maps, fit_latent(train.latent))
    spreads = {}
    for name in COMBINED:
        scores = run(build_head(name, valid, statistics), valid)[1]
        spreads[name] = float(scores[valid.labels == 0].std()) or 1.0
    return dataclasses.replace(statistics, spreads=spreads)


def fit_latent(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the whitening matrix of the bottleneck's outputs.

    Args:
        latent: The outputs for training images, `(num, latent) float32`.

    Returns:
        See `Statistics.latent`.
    """
    mean = latent.mean(axis=0)
    covariance = np.cov(latent - mean, rowvar=False).reshape(2 * mean.shape)
    # Without this term the covariance of a bottleneck that is partly dead has
    # no inverse.
    spread = max(float(np.trace(covariance)) / len(mean), 1e-9)
    values, vectors = np.linalg.eigh(
        covariance + 1e-3 * spread * np.eye(len(mean))
    )
    return mean, vectors / np.sqrt(values)


def build_head(
    name: str,
    example: Rebuilt,
    statistics: Any,
    units: tuple[float, float] = (1.0, 1.0),
) -> keras.Model:
    """Builds the head of a score; see `Detector`.

    Args:
        name: One of `NAMES`.
        example: A split, which gives the shapes.
        statistics: `Statistics`; None leaves a heat map in `STANDARDIZED` as
            it is before standardization.
        units: The numbers that the heat map and the score are divided by.
    """
    inputs = [keras.Input(array.shape[1:]) for array in example.feed()]
    map_name = name if name in MAPS else FALLBACK
    heatmap = heat_map(map_name, inputs[0], inputs[1], statistics)
    score = ops.mean(heatmap, axis=(1, 2, 3))
    if name in ("latent", "combined"):
        distance = latent_distance(inputs[2], statistics.latent)
        score = distance if name == "latent" else score
    if name == "combined":
        map_spread, latent_spread = statistics.spreads.values()
        score = score / map_spread + distance / latent_spread
    outputs = [heatmap / units[0], score / units[1]]
    return keras.Model(inputs, outputs, name=HEAD)


def heat_map(
    name: str,
    image: Any,
    reconstruction: Any,
    statistics: Statistics | None,
) -> Any:
    """Returns the heat map: how far each pixel is from its reconstruction.

    `ssim_z` is in standard deviations of the same pixel in normal images:
    pixels that the network never rebuilds well, such as those of fine ribs,
    are no sign of an anomaly. `ssim_relative` is `ssim_z` of heat maps that
    were divided by the image's `detail` first.

    Args:
        name: One of `MAPS`.
        image: `(batch, height, width, channels) float32` in [0, 1].
        reconstruction: Images of the same shape.
        statistics: See `build_head`.

    Returns:
        Heat, `(batch, height, width, 1) float32`.
    """
    if name == "mse":
        heat = similarity.squared_error(image, reconstruction)
    else:
        heat = 1.0 - similarity.ssim_map(image, reconstruction)
    if name in ("ssim_scales", *STANDARDIZED):
        heat = 0.5 * (heat + _coarse(image, reconstruction))
    if name == "ssim_relative":
        heat = heat / detail(image)
    if heat.shape[-1] > 1:
        heat = ops.mean(heat, axis=-1, keepdims=True)
    if statistics and name in STANDARDIZED:
        mean, spread = statistics.maps[name]
        heat = ops.relu((heat - mean) / spread)
    return heat


def detail(image: Any) -> Any:
    """Returns how much of an image blurring destroys.

    An image without detail is easily rebuilt, normal or not, and an image full
    of detail is never rebuilt well. After J. Serra et al., Input complexity
    and out-of-distribution detection with likelihood-based generative models,
    2020, with 1 - SSIM for both the likelihood and the compressed size.

    Args:
        image: `(batch, height, width, channels) float32` in [0, 1].

    Returns:
        `(batch, 1, 1, 1) float32`, at least `LEAST_DETAIL`.
    """
    blurred = ops.average_pool(image, similarity.WINDOW, 1, "same")
    loss = 1.0 - similarity.ssim_map(image, blurred)
    return ops.maximum(ops.mean(loss, (1, 2, 3), keepdims=True), LEAST_DETAIL)


def _coarse(image: Any, reconstruction: Any) -> Any:
    """Returns 1 - SSIM at half the resolution, in the size of the image."""
    image, reconstruction = (
        ops.average_pool(x, 2, 2, "valid") for x in (image, reconstruction)
    )
    heat = 1.0 - similarity.ssim_map(image, reconstruction, COARSE_WINDOW)
    return ops.repeat(ops.repeat(heat, 2, axis=1), 2, axis=2)


def latent_distance(latent: Any, statistics: Any) -> Any:
    """Returns the Mahalanobis distance to normal images.

    Normal images have a distance of about 1, whatever the size of the
    bottleneck.

    Args:
        latent: The bottleneck's outputs, `(batch, latent) float32`.
        statistics: A mean and a whitening matrix; see `Statistics.latent`.

    Returns:
        `(batch,) float32`.
    """
    mean, whitening = statistics
    white = ops.matmul(
        latent - mean.astype(np.float32), whitening.astype(np.float32)
    )
    return ops.sqrt(ops.mean(ops.square(white), axis=-1))
