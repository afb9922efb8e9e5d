"""Anomaly scores: a heat map and a number from an image and its rebuild.

A score is a small functional model, the head, behind the autoencoder. The same
head scores validation images, goes into the SavedModel and, by way of its twin,
into the TFLite files.
"""

import dataclasses
from collections.abc import Mapping
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
FALLBACK = "ssim_z"  # Without abnormal images there is nothing to choose.
HEAD = "head"
BATCH = 500
THRESHOLD = 1.0
COARSE_WINDOW = 3  # Of pixels twice as large.
LEAST_DETAIL = 0.05  # Of a blank image, which has none to divide by.


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
        usual: Mean and standard deviation at each pixel over training images,
            `(height, width, 1)` each, of the maps in `STANDARDIZED`.
        latent: Mean in the bottleneck, `(latent,)`, and the matrix, `(latent,
            latent)`, that makes the covariance there the identity; None
            where there is no bottleneck.
        spreads: Standard deviation of scores over normal validation images,
            by name.
    """

    usual: dict[str, tuple[np.ndarray, np.ndarray]]
    latent: tuple[np.ndarray, np.ndarray] | None
    spreads: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Detector:
    """A score, fitted.

    Attributes:
        name: One of `NAMES`.
        head: From image, reconstruction and bottleneck to `heatmap`, `(batch,
            height, width, 1)`, and `anomaly_score`, `(batch,)`, in units of
            the threshold: from 1 on is anomalous.
        usual_heat: The median heat of normal validation pixels; the unit of
            heat is such that one in a thousand of them has more than 1.
        candidates: Mean AUROC of plain and varied validation images by name,
            if there are abnormal ones.
    """

    name: str
    head: keras.Model
    usual_heat: float
    candidates: dict[str, float]

    def describe(self) -> dict[str, Any]:
        """Returns the `score` of `report.json`."""
        return {"name": self.name, "valid_auroc": self.candidates}

    def __call__(self, rebuilt: Rebuilt) -> tuple[np.ndarray, np.ndarray]:
        """Returns heat maps and scores of a split."""
        return run(self.head, rebuilt)


def run(head: keras.Model, rebuilt: Rebuilt) -> tuple[np.ndarray, np.ndarray]:
    """Returns the heat maps and the scores that a head gives."""
    feed = rebuilt.feed()
    parts = (
        ([one[start : start + BATCH] for one in feed], ())
        for start in range(0, len(feed[0]), BATCH)
    )
    (maps, scores), _ = inference.outputs(head, parts)
    return maps, scores


def fit(
    wanted: str, specificity: float, rebuilt: Mapping[str, Rebuilt]
) -> Detector:
    """Chooses a score on validation images, and its threshold as its unit.

    Args:
        wanted: One of `NAMES`, or `auto`: the one with the best AUROC, or
            `FALLBACK` where validation has no abnormal image.
        specificity: The part of normal validation images below the threshold.
        rebuilt: `train`, normal images; `valid`, normal and perhaps abnormal
            ones; perhaps `varied`, of them. The score is chosen on both: plain
            images tell little apart, and where all images are aligned, as the
            phantoms are, varied ones tell nothing.
    """
    train, valid = rebuilt["train"], rebuilt["valid"]
    judged = [rebuilt[one] for one in ("valid", "varied") if one in rebuilt]
    statistics = fit_statistics(train, valid)
    able = MAPS if valid.latent is None else NAMES
    names = able if wanted == "auto" else (wanted,)
    heads = {name: build_head(name, valid, statistics) for name in names}
    candidates = {}
    if len(np.unique(valid.labels)) == 2:
        candidates = {
            name: float(
                np.mean(
                    [
                        roc_auc_score(one.labels, run(head, one)[1])
                        for one in judged
                    ]
                )
            )
            for name, head in heads.items()
        }
    name = FALLBACK if wanted == "auto" else wanted
    if candidates:
        name = max(candidates, key=lambda one: candidates[one])
    maps, found = run(heads[name], valid)
    normal = valid.labels == 0
    low, heat = (float(one) for one in np.quantile(maps[normal], (0.5, 0.999)))
    units = (heat or 1.0, edge(found[normal], specificity))
    head = build_head(name, valid, statistics, units)
    return Detector(name, head, low / units[0], candidates)


def edge(normal: np.ndarray, specificity: float) -> float:
    """Returns the threshold that a part of the normal scores is below.

    Args:
        normal: Scores `(num,)` of normal validation images.
        specificity: That part.
    """
    # A hair above: an image that is the quantile must not flip with rounding.
    return 1.00001 * float(np.quantile(normal, specificity)) or 1.0


def fit_statistics(train: Rebuilt, valid: Rebuilt) -> Statistics:
    """Returns what normal images give."""
    usual = {}
    for name in STANDARDIZED:
        errors = run(build_head(name, valid, None), train)[0]
        # Where all images agree, black corners say, one is no less a pixel.
        spread = np.maximum(errors.std(axis=0), 0.25 * errors.std())
        usual[name] = (errors.mean(axis=0), np.maximum(spread, 1e-6))
    if train.latent is None:
        return Statistics(usual, None)
    first = Statistics(usual, fit_latent(train.latent))
    spreads = {}
    for name in COMBINED:
        found = run(build_head(name, valid, first), valid)[1]
        spreads[name] = float(found[valid.labels == 0].std()) or 1.0
    return dataclasses.replace(first, spreads=spreads)


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
    name: str,
    example: Rebuilt,
    statistics: Any,
    units: tuple[float, float] = (1.0, 1.0),
) -> keras.Model:
    """Builds the head of a score; see `Detector`.

    Args:
        name: One of `NAMES`.
        example: Gives the shapes.
        statistics: `Statistics`, or None for a map as it is.
        units: What the heat map and the score are divided by.
    """
    inputs = [keras.Input(one.shape[1:]) for one in example.feed()]
    mapped = name if name in MAPS else FALLBACK
    heatmap = heat_map(mapped, inputs[0], inputs[1], statistics)
    score = ops.mean(heatmap, axis=(1, 2, 3))
    if name in ("latent", "combined"):
        distance = latent_distance(inputs[2], statistics.latent)
        score = distance if name == "latent" else score
    if name == "combined":
        spread, spread_2 = statistics.spreads.values()
        score = score / spread + distance / spread_2
    outputs = [heatmap / units[0], score / units[1]]
    return keras.Model(inputs, outputs, name=HEAD)


def heat_map(
    name: str, image: Any, reconstruction: Any, statistics: Any
) -> Any:
    """Returns how much each pixel departs, `(batch, height, width, 1)`.

    `ssim_z` counts in standard deviations of the same pixel in normal images:
    what always differs, fine ribs say, is no sign of anything. `ssim_relative`
    does so after dividing by the image's `detail`.
    """
    if name == "mse":
        found = similarity.squared_error(image, reconstruction)
    else:
        found = 1.0 - similarity.ssim_map(image, reconstruction)
    if name in ("ssim_scales", *STANDARDIZED):
        found = 0.5 * (found + _coarse(image, reconstruction))
    if name == "ssim_relative":
        found = found / detail(image)
    if found.shape[-1] > 1:
        found = ops.mean(found, axis=-1, keepdims=True)
    if statistics and name in STANDARDIZED:
        mean, spread = statistics.usual[name]
        found = ops.relu((found - mean) / spread)
    return found


def detail(image: Any) -> Any:
    """Returns how much of an image blurring destroys, `(batch, 1, 1, 1)`.

    An image without detail is easily rebuilt, normal or not, and one that is
    full of it never well. After J. Serra et al., Input complexity and
    out-of-distribution detection with likelihood-based generative models, 2020,
    with 1 - SSIM for both the likelihood and the compressed size.
    """
    blurred = ops.average_pool(image, similarity.WINDOW, 1, "same")
    lost = 1.0 - similarity.ssim_map(image, blurred)
    return ops.maximum(ops.mean(lost, (1, 2, 3), keepdims=True), LEAST_DETAIL)


def _coarse(image: Any, reconstruction: Any) -> Any:
    """Returns 1 - SSIM at half the resolution, in the size of the image."""
    image, reconstruction = (
        ops.average_pool(x, 2, 2, "valid") for x in (image, reconstruction)
    )
    found = 1.0 - similarity.ssim_map(image, reconstruction, COARSE_WINDOW)
    return ops.repeat(ops.repeat(found, 2, axis=1), 2, axis=2)


def latent_distance(latent: Any, usual: Any) -> Any:
    """Returns the Mahalanobis distance to normal images, `(batch,)`.

    Of a normal image it is about one, whatever the size of the bottleneck.

    Args:
        latent: `(batch, latent)`.
        usual: See `Statistics.latent`.
    """
    mean, whitening = usual
    white = ops.matmul(
        latent - mean.astype(np.float32), whitening.astype(np.float32)
    )
    return ops.sqrt(ops.mean(ops.square(white), axis=-1))
