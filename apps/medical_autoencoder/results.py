"""What this app leaves: metrics, and the files for phones."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score

from common.keras2.attach import attach
from common.mobile import conversion, files, litert, measurement
from common.mobile.measurement import Measurement, Pair
from common.report import metrics
from common.shared_options import Options

from . import model as networks
from . import similarity
from .scores import (
    HEAD,
    THRESHOLD,
    Detector,
    Rebuilt,
    edge,
)

CALIBRATION_IMAGES = 500
DETECTOR = "detector.json"
SCORE = "anomaly_score"
OUTPUTS = ("reconstruction", "heatmap", SCORE)
RANKING = ("auroc", "auroc_low", "auroc_high", "average_precision")


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


def at_threshold(
    scores: np.ndarray, labels: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, float]:
    """Returns sensitivity and specificity, those that can be known."""
    over, normal = scores >= threshold, labels == 0
    found = {}
    if not normal.all():
        found["sensitivity"] = float(np.mean(over[~normal]))
    if normal.any():
        found["specificity"] = float(np.mean(~over[normal]))
    return found


def unknown(labels: np.ndarray) -> dict[str, str]:
    """Returns which metrics of scores cannot be computed, and why."""
    found = {}
    if not np.any(labels == 1):
        reason = "there is no abnormal image"
        found = dict.fromkeys((*RANKING, "sensitivity"), reason)
    if not np.any(labels == 0):
        reason = "there is no normal image"
        names = (*RANKING, "specificity", "psnr", "ssim")
        found = dict.fromkeys(names, reason)
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
    rebuilt: Rebuilt,
    scores: np.ndarray,
    denoises: bool,
    threshold: float = THRESHOLD,
) -> dict[str, float]:
    """Returns the metrics of a split.

    PSNR and SSIM are of normal images, or of all for a denoiser; what cannot
    be computed is left out.
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
    known = likeness(*(one[normal] for one in pairs)) if normal.any() else {}
    return {
        **detection(scores, rebuilt.labels),
        **at_threshold(scores, rebuilt.labels, threshold),
        **known,
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
    """Writes and measures the TFLite files, `detector.json`, thresholds.

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
            key: attach(twin, detector.head, [networks.LATENT])
            for key, twin in twins.items()
        }
    order = np.random.default_rng(options.seed).permutation(
        len(rebuilt["train"].inputs)
    )
    paths = conversion.write(
        directory,
        twins,
        variants,
        {"image": rebuilt["train"].inputs[order[:CALIBRATION_IMAGES]]},
        OUTPUTS[:1] if denoises else OUTPUTS,
        conversion.Int8("float32", False, () if denoises else (HEAD,)),
    )
    write_detector(directory / DETECTOR, detector, options)
    metric = task_metric(options, rebuilt)
    how = by_metric(rebuilt, detector(rebuilt["test"])[1], metric, options)
    if not denoises:
        how = dataclasses.replace(
            how,
            decide=lambda runner, *pairs: decide(
                runner, pairs, rebuilt, how.output, options.specificity
            ),
            decided=SCORE,
        )
    return measurement.measure_all(paths, how, options.max_drop)


def decide(
    runner: litert.Runner,
    pairs: Sequence[Pair],
    rebuilt: Mapping[str, Rebuilt],
    measured: str,
    specificity: float,
) -> dict[str, float]:
    """Returns a file's threshold, and what it gives on test.

    Args:
        runner: The file.
        pairs: Its outputs and targets of valid, for the threshold, and of
            test.
        rebuilt: Gives the images where those outputs are no scores.
        measured: Which output they are.
        specificity: The part of normal validation images below the threshold.
    """
    if measured != SCORE:
        parts = (rebuilt["valid"], rebuilt["test"])
        pairs = [
            measurement.run(runner, [(one.inputs, one.labels)], SCORE)[0]
            for one in parts
        ]
    (known, labels), (scores, truth) = pairs
    limit = edge(known[labels == 0], specificity)
    return {"threshold": limit, **at_threshold(scores, truth, limit)}


def write_detector(path: Path, detector: Detector, options: Any) -> None:
    """Writes what a phone needs beside the files, but for thresholds."""
    facts = {
        "model": options.model,
        "score": detector.name,
        "specificity": options.specificity,
        "usual_heat": detector.usual_heat,
        "window": list(options.window),
    }
    files.write_json(path, facts)


def by_metric(
    rebuilt: Mapping[str, Rebuilt],
    scores: np.ndarray,
    metric: str,
    options: Options,
) -> Measurement:
    """Returns how files are measured: by score, or by reconstruction."""
    by_score = metric == "auroc"
    rows = {
        name: measurement.rows(len(rebuilt[name].inputs), options)
        for name in ("valid", "test")
    }

    def batches(name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        one, chosen = rebuilt[name], rows[name]
        truth = one.labels if by_score else one.targets
        yield one.inputs[chosen], truth[chosen]

    reference = scores if by_score else rebuilt["test"].reconstruction
    return Measurement(
        valid=lambda: batches("valid"),
        test=lambda: batches("test"),
        reference=reference[rows["test"]],
        metric=auroc
        if by_score
        else lambda found, truth: float(
            np.mean(per_image(metric, truth, found))
        ),
        output=SCORE if by_score else "reconstruction",
    )
