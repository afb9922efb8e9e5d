"""Simpler methods on the same images, for comparison in the report."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from skimage import filters, restoration
from sklearn import decomposition, ensemble, neighbors, svm

from common.console import track

from . import pictures, results, scores
from .config import Config
from .scores import Rebuilt

# With more images the figures hardly change; LOF and kNN take time that grows
# with the square of the number.
MAX_TRAIN = 5000
MAX_SIDE = 32  # Pixels of larger images are averaged first.

# From rows of pixels, `(num, pixels)`, to scores, `(num,)`.
Score = Callable[[np.ndarray], np.ndarray]


def detectors(train: np.ndarray, seed: int) -> Iterator[tuple[str, Score]]:
    """Yields names and fitted scores; a higher score is more anomalous.

    Args:
        train: Normal images, `(num, pixels) float32`.
        seed: The seed of the PCA and of the isolation forest.
    """
    # This score is not learned: an image of low contrast is taken for abnormal.
    yield "minus the standard deviation", lambda x: -x.std(axis=1)
    pca = decomposition.PCA(min(8, *train.shape), random_state=seed).fit(train)
    yield (
        "PCA(8) reconstruction",
        lambda x: np.mean(
            (x - pca.inverse_transform(pca.transform(x))) ** 2, axis=1
        ),
    )
    near = neighbors.NearestNeighbors(n_neighbors=min(5, len(train)))
    near.fit(train)
    yield "kNN(5)", lambda x: near.kneighbors(x)[0].mean(axis=1)
    one_class = svm.OneClassSVM(gamma="scale", nu=0.1).fit(train)
    yield "one-class SVM", lambda x: -one_class.score_samples(x)
    forest = ensemble.IsolationForest(random_state=seed).fit(train)
    yield "isolation forest", lambda x: -forest.score_samples(x)
    local = neighbors.LocalOutlierFactor(
        n_neighbors=min(20, len(train) - 1), novelty=True
    ).fit(train)
    yield "local outlier factor", lambda x: -local.score_samples(x)


def pixels(images: np.ndarray) -> np.ndarray:
    """Returns images as rows of pixels, `(num, pixels) float32`.

    Images with a side above `MAX_SIDE` are shrunk first.

    Args:
        images: `(num, height, width, channels) float32` in [0, 1].
    """
    height, width, channels = images.shape[1:]
    if max(height, width) > MAX_SIDE:
        shape = (min(height, MAX_SIDE), min(width, MAX_SIDE), channels)
        images = np.asarray(pictures.fit(images, shape))
    return images.reshape(len(images), -1)


def measure(
    rebuilt: Mapping[str, Rebuilt], options: Config
) -> list[dict[str, Any]]:
    """Returns the rows of `baselines` in the report.

    Args:
        rebuilt: The splits `train`, `valid` and `test`, by name.
        options: Give the model, the seed and the level of noise.

    Returns:
        A name and metrics for each baseline; none for an autoencoder whose
        test split lacks normal or abnormal images.
    """
    if options.model == "denoiser":
        return denoising(rebuilt["valid"], rebuilt["test"], options.noise_level)
    if not results.has_both(rebuilt["test"].labels):
        return []
    return detection(rebuilt["train"], rebuilt["test"], options.seed)


def detection(train: Rebuilt, test: Rebuilt, seed: int) -> list[dict[str, Any]]:
    """Returns the baselines of anomaly detection, judged on test.

    Args:
        train: The normal images that they are fitted to.
        test: The images that they are judged on.
        seed: Fixes the choice of training images, and the methods.
    """
    order = np.random.default_rng(seed).permutation(len(train.targets))
    normal = pixels(train.targets[order[:MAX_TRAIN]])
    images = pixels(test.targets)
    # `ssim_relative` divides by the detail. Here the detail alone is the score:
    # a blurred image is taken for abnormal.
    detail = np.ravel(scores.detail(test.targets))
    metrics = results.detection(-detail, test.labels)
    rows = [{"name": "minus the detail", "metrics": metrics}]
    for name, score in track(detectors(normal, seed), "baselines", 6):
        metrics = results.detection(score(images), test.labels)
        rows.append({"name": name, "metrics": metrics})
    return rows


def denoisers(level: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns filters of `(height, width, channels)` images, by name.

    Args:
        level: The standard deviation of the noise, white being 1.
    """
    filters_by_name: dict[str, Callable] = {
        f"median, {size} x {size}": lambda x, size=size: filters.median(
            x, np.ones((size, size, 1))
        )
        for size in (3, 5)
    }
    for strength in (0.6, 0.8, 1.0):
        filters_by_name[f"non-local means, h = {strength} sigma"] = (
            lambda x, strength=strength: restoration.denoise_nl_means(
                x,
                patch_size=5,
                patch_distance=6,
                h=strength * level,
                sigma=level,
                fast_mode=False,
                channel_axis=-1,
            )
        )
    return filters_by_name


def denoising(
    valid: Rebuilt, test: Rebuilt, level: float
) -> list[dict[str, Any]]:
    """Returns the baselines of denoising, judged on test.

    Args:
        valid: Chooses the setting of each kind of filter.
        test: The images that the filters are judged on.
        level: See `denoisers`.
    """
    filters_by_name = denoisers(level)
    noisy, clean = valid.inputs[:50], valid.targets[:50]
    best: dict[str, tuple[float, str]] = {}
    for name, denoise in filters_by_name.items():
        value = results.likeness(clean, _apply(denoise, noisy))["psnr"]
        kind = name.split(",")[0]
        best[kind] = max(best.get(kind, (-np.inf, "")), (value, name))
    outputs = {"noisy input": test.inputs}
    for _, name in best.values():
        outputs[name] = _apply(filters_by_name[name], test.inputs)
    return [
        {"name": name, "metrics": results.likeness(test.targets, images)}
        for name, images in outputs.items()
    ]


def _apply(
    denoise: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Returns the filtered images, `(num, height, width, channels) float32`."""
    filtered = [
        denoise(image) for image in track(images, "filtering", len(images))
    ]
    # Some filters drop the axis of a single channel.
    return np.stack(filtered).reshape(images.shape).astype(np.float32)
