"""What this app leaves: metrics, and the files for phones."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score

from apps.medical_autoencoder import model as networks
from apps.medical_autoencoder import similarity
from apps.medical_autoencoder.scores import (
    HEAD,
    THRESHOLD,
    Detector,
    Rebuilt,
)
from common import keras2, metrics, tflite
from common.config import Options

CALIBRATION_IMAGES = 500
DETECTOR = "detector.json"
OUTPUTS = ("reconstruction", "heatmap", "anomaly_score")


def task_metric(options: Any, rebuilt: Mapping[str, Rebuilt]) -> str:
    """Returns the metric that files are chosen by."""
    if options.model == "denoiser":
        return "psnr"
    known = all(has_both(rebuilt[one].labels) for one in ("valid", "test"))
    return "auroc" if known else "ssim"


def has_both(labels: np.ndarray) -> bool:
    """Tells whether there are normal and abnormal images."""
    return len(np.unique(labels)) == 2


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the area under the ROC curve; NaN for one class.

    It is the Mann-Whitney statistic; by ranks it is 20 times as fast as by
    the curve, which a bootstrap notices.
    """
    num_1 = int(np.sum(labels == 1))
    num_0 = len(labels) - num_1
    if not num_0 or not num_1:
        return float("nan")
    ranks = stats.rankdata(scores)[labels == 1].sum()
    return float((ranks - num_1 * (num_1 + 1) / 2) / (num_0 * num_1))


def detection(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns ranking metrics, with a 95 % bootstrap interval; {} if none."""
    if not has_both(labels):
        return {}
    low, high = metrics.bootstrap_interval(auroc, scores, labels)
    return {
        "auroc": auroc(scores, labels),
        "auroc_low": low,
        "auroc_high": high,
        "average_precision": float(average_precision_score(labels, scores)),
    }


def at_threshold(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns sensitivity, if it can be known, and specificity."""
    found = {"specificity": float(np.mean(scores[labels == 0] <= THRESHOLD))}
    if has_both(labels):
        over = scores[labels == 1] > THRESHOLD
        found = {"sensitivity": float(np.mean(over)), **found}
    return found


def likeness(targets: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Returns the mean PSNR, in dB, and SSIM of images."""
    return {
        name: float(np.mean(per_image(name, targets, outputs)))
        for name in ("psnr", "ssim")
    }


def per_image(
    name: str, targets: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """Returns `psnr` or `ssim` of each image."""
    function = getattr(similarity, name)
    parts = [
        function(targets[i : i + 500], outputs[i : i + 500])
        for i in range(0, len(targets), 500)
    ]
    return np.concatenate([np.asarray(part) for part in parts])


def summarize(
    rebuilt: Rebuilt, scores: np.ndarray, denoises: bool
) -> dict[str, float]:
    """Returns the metrics of a split.

    PSNR and SSIM are of normal images, or of all for a denoiser.
    """
    pairs = (rebuilt.targets, rebuilt.reconstruction)
    if denoises:
        values = per_image("psnr", *pairs)
        low, high = metrics.bootstrap_interval(np.mean, values)
        noisy = likeness(rebuilt.targets, rebuilt.inputs)
        found = likeness(*pairs)
        return {
            **found,
            "psnr_low": low,
            "psnr_high": high,
            "psnr_gain": found["psnr"] - noisy["psnr"],
        }
    normal = rebuilt.labels == 0
    return {
        **detection(scores, rebuilt.labels),
        **at_threshold(scores, rebuilt.labels),
        **likeness(*(one[normal] for one in pairs)),
    }


def summarize_all(
    rebuilt: Mapping[str, Rebuilt], detector: Detector, options: Any
) -> dict[str, dict[str, float]]:
    """Returns the metrics of valid and test, and how well `varied` ranks."""
    found = {
        name: summarize(
            rebuilt[name],
            detector(rebuilt[name])[1],
            options.model == "denoiser",
        )
        for name in ("valid", "test")
    }
    if "varied" in rebuilt:
        varied = rebuilt["varied"]
        found["varied"] = detection(detector(varied)[1], varied.labels)
    return found


def write_mobile(
    directory: Path,
    twins: Mapping[Any, Any],
    variants: Sequence[Any],
    detector: Detector,
    rebuilt: Mapping[str, Rebuilt],
    options: Any,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, and `detector.json`.

    Args:
        directory: The release's `mobile`; made here.
        twins: From `compression.compress`: the autoencoder alone.
        variants: What to make.
        detector: Its head goes behind every twin, in float: the differences
            of an SSIM do not survive 8 bits.
        rebuilt: Train, valid and test.
        options: Gives seed and `max_drop`.
    """
    denoises = options.model == "denoiser"
    if not denoises:
        twins = {
            key: keras2.attach(twin, detector.head, [networks.LATENT])
            for key, twin in twins.items()
        }
    order = np.random.default_rng(options.seed).permutation(
        len(rebuilt["train"].inputs)
    )
    paths = tflite.write(
        directory,
        twins,
        variants,
        {"image": rebuilt["train"].inputs[order[:CALIBRATION_IMAGES]]},
        OUTPUTS[:1] if denoises else OUTPUTS,
        tflite.Int8("float32", False, () if denoises else (HEAD,)),
    )
    write_detector(directory / DETECTOR, detector, options)
    metric = task_metric(options, rebuilt)
    how = measurement(rebuilt, detector(rebuilt["test"])[1], metric, options)
    return tflite.measure_all(paths, how, options.max_drop)


def write_detector(path: Path, detector: Detector, options: Any) -> None:
    """Writes what a phone needs beside the file: score and threshold."""
    facts = {
        "model": options.model,
        "score": detector.name,
        "threshold": THRESHOLD,
        "specificity": options.specificity,
        "usual_heat": detector.usual_heat,
        "window": list(options.window),
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def measurement(
    rebuilt: Mapping[str, Rebuilt],
    scores: np.ndarray,
    metric: str,
    options: Options,
) -> tflite.Measurement:
    """Returns how files are measured: by score, or by reconstruction."""
    by_score = metric == "auroc"
    rows = {
        name: tflite.rows(len(rebuilt[name].inputs), options)
        for name in ("valid", "test")
    }

    def batches(name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        one, chosen = rebuilt[name], rows[name]
        truth = one.labels if by_score else one.targets
        yield one.inputs[chosen], truth[chosen]

    reference = scores if by_score else rebuilt["test"].reconstruction
    return tflite.Measurement(
        valid=lambda: batches("valid"),
        test=lambda: batches("test"),
        reference=reference[rows["test"]],
        metric=auroc
        if by_score
        else lambda found, truth: float(
            np.mean(per_image(metric, truth, found))
        ),
        output="anomaly_score" if by_score else "reconstruction",
    )
