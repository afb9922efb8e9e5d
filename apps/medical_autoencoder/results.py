"""The metrics of the report, and the TFLite files of a release."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score

from common.keras2.attach import attach
from common.mobile import (
    conversion,
    files,
    litert,
    measurement,
    metadata,
    thresholds,
)
from common.mobile.measurement import Measurement, Pair
from common.report import metrics
from common.variants import Plan, Techniques

from . import masks, similarity
from . import model as networks
from .config import APP, Config
from .scores import (
    HEAD,
    THRESHOLD,
    Detector,
    Rebuilt,
    fit_threshold,
)

CALIBRATION_IMAGES = 500
DETECTOR = "detector.json"
SCORE = "anomaly_score"
OUTPUTS = ("reconstruction", "heatmap", SCORE)
RANKING = ("auroc", "auroc_low", "auroc_high", "average_precision")


def task_metric(options: Config, rebuilt: Mapping[str, Rebuilt]) -> str:
    """Returns the name of the metric that TFLite files are chosen by.

    It is `psnr` for a denoiser; else `auroc`, or `ssim` if valid or test lack
    normal or abnormal images.
    """
    if options.model == "denoiser":
        return "psnr"
    known = all(has_both(rebuilt[key].labels) for key in ("valid", "test"))
    return "auroc" if known else "ssim"


def has_both(labels: np.ndarray) -> bool:
    """Tells whether labels `(num,)` are of normal and of abnormal images."""
    return len(np.unique(labels)) == 2


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the area under the ROC curve; NaN if labels are of one class.

    It is computed from ranks, as the Mann-Whitney statistic: this is 20 times
    as fast as from the curve, and a bootstrap computes it many times.

    Args:
        scores: Anomaly scores, `(num,)`.
        labels: `(num,)`: 0 normal, 1 abnormal.
    """
    num_1 = int(np.sum(labels == 1))
    num_0 = len(labels) - num_1
    if not num_0 or not num_1:
        return float("nan")
    ranks = stats.rankdata(scores)[labels == 1].sum()
    return float((ranks - num_1 * (num_1 + 1) / 2) / (num_0 * num_1))


def detection(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the metrics of a ranking; {} if labels are of one class.

    Args:
        scores: Anomaly scores, `(num,)`.
        labels: `(num,)`: 0 normal, 1 abnormal.

    Returns:
        The metrics of `RANKING`, by name. `auroc_low` and `auroc_high` are the
        ends of a 95 % bootstrap interval.
    """
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
    """Returns sensitivity and specificity, as far as labels allow.

    Args:
        scores: Anomaly scores, `(num,)`.
        labels: `(num,)`: 0 normal, 1 abnormal.
        threshold: An image is flagged if its score is at least this.

    Returns:
        `sensitivity` if there is an abnormal image, and `specificity` if there
        is a normal image.
    """
    flagged, normal = scores >= threshold, labels == 0
    rates = {}
    if not normal.all():
        rates["sensitivity"] = float(np.mean(flagged[~normal]))
    if normal.any():
        rates["specificity"] = float(np.mean(~flagged[normal]))
    return rates


def unknown(labels: np.ndarray) -> dict[str, str]:
    """Returns why metrics cannot be computed for labels `(num,)`, by name."""
    reasons = {}
    if not np.any(labels == 1):
        reason = "there is no abnormal image"
        reasons = dict.fromkeys((*RANKING, "sensitivity"), reason)
    if not np.any(labels == 0):
        reason = "there is no normal image"
        names = (*RANKING, "specificity", "psnr", "ssim")
        reasons = dict.fromkeys(names, reason)
    return reasons


def likeness(targets: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Returns the mean `psnr`, in dB, and the mean `ssim` of images.

    Args:
        targets: `(num, height, width, channels) float32` in [0, 1].
        outputs: Images of the same shape.
    """
    return {
        name: float(np.mean(per_image(name, targets, outputs)))
        for name in ("psnr", "ssim")
    }


def per_image(
    name: str, targets: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """Returns a metric of each image, `(num,) float32`.

    Args:
        name: `psnr` or `ssim`.
        targets: See `likeness`.
        outputs: See `likeness`.
    """
    metric = getattr(similarity, name)
    batches = [
        metric(targets[i : i + 500], outputs[i : i + 500])
        for i in range(0, len(targets), 500)
    ]
    return np.concatenate([np.asarray(values) for values in batches])


def summarize(
    rebuilt: Rebuilt,
    scores: np.ndarray,
    denoises: bool,
    threshold: float = THRESHOLD,
    maps: np.ndarray | None = None,
) -> dict[str, float]:
    """Returns the metrics of a split, without those that cannot be computed.

    PSNR and SSIM are those of normal images; for a denoiser, of all images.

    Args:
        rebuilt: The split.
        scores: Its anomaly scores, `(num,)`; a denoiser's are not used.
        denoises: Whether the model is a denoiser.
        threshold: See `at_threshold`.
        maps: Its heat maps, `(num, height, width, 1) float32`, for the metrics
            of pixels if the split has masks.
    """
    targets, outputs = rebuilt.targets, rebuilt.reconstruction
    if denoises:
        values = per_image("psnr", targets, outputs)
        low, high = metrics.bootstrap_interval(np.mean, values)
        noisy = likeness(targets, rebuilt.inputs)
        denoised = likeness(targets, outputs)
        return {
            **denoised,
            "psnr_low": low,
            "psnr_high": high,
            "psnr_gain": denoised["psnr"] - noisy["psnr"],
        }
    normal = rebuilt.labels == 0
    normal_likeness = (
        likeness(targets[normal], outputs[normal]) if normal.any() else {}
    )
    return {
        **detection(scores, rebuilt.labels),
        **at_threshold(scores, rebuilt.labels, threshold),
        **({} if maps is None else masks.measure(maps, rebuilt.masks)),
        **normal_likeness,
    }


def summarize_all(
    rebuilt: Mapping[str, Rebuilt], detector: Detector, options: Config
) -> dict[str, dict[str, float]]:
    """Returns the metrics of each split, by name.

    Args:
        rebuilt: The splits by name. Those of `valid` and `test` are given in
            full; `varied`, if there is one, has the metrics of its ranking.
        detector: Computes the scores.
        options: Say whether the model is a denoiser.
    """
    summaries = {}
    for name in ("valid", "test"):
        maps, scores = detector(rebuilt[name])
        summaries[name] = summarize(
            rebuilt[name], scores, options.model == "denoiser", maps=maps
        )
    if "varied" in rebuilt:
        varied = rebuilt["varied"]
        summaries["varied"] = detection(detector(varied)[1], varied.labels)
    return summaries


def write_mobile(
    directory: Path,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    detector: Detector,
    rebuilt: Mapping[str, Rebuilt],
    options: Config,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files; writes `detector.json`.

    Args:
        directory: The release's folder `mobile`, which is made here.
        twins: The compressed networks, from `chain.compress`, without a head.
        plan: The files to make.
        detector: Its head is put behind every twin, and stays in float: the
            differences in an SSIM do not survive rounding to 8 bits.
        rebuilt: The splits `train`, `valid` and `test`, by name.
        options: Give the model, the seed, `license`, `measure_examples`,
            `specificity`, `window` and `max_drop`.

    Returns:
        The entry `variants` of `report.json`.
    """
    denoises = options.model == "denoiser"
    if not denoises:
        twins = {
            key: attach(twin, detector.head, [networks.LATENT])
            for key, twin in twins.items()
        }
    train = rebuilt["train"].inputs
    order = np.random.default_rng(options.seed).permutation(len(train))
    paths = conversion.write(
        directory,
        twins,
        plan,
        {"image": train[order[:CALIBRATION_IMAGES]]},
        OUTPUTS[:1] if denoises else OUTPUTS,
        conversion.Int8("float32", False, () if denoises else (HEAD,)),
    )
    write_detector(directory / DETECTOR, detector, options)
    metadata.write(paths, facts(denoises, options.license))
    metric = task_metric(options, rebuilt)
    task = by_metric(rebuilt, detector(rebuilt["test"])[1], metric, options)
    if not denoises:
        task = dataclasses.replace(
            task,
            decide=lambda runner, *pairs: decide(
                runner, pairs, rebuilt, task.output, options.specificity
            ),
            decided=SCORE,
        )
    return measurement.measure_all(paths, task, options.max_drop)


def facts(denoises: bool, license: str) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves.

    Args:
        denoises: Whether the model is a denoiser.
        license: The licence; "" if it is not known.
    """
    image = metadata.Tensor(
        "The image, in [0, 1].", normalization=metadata.Normalization()
    )
    rebuilt = metadata.Tensor("The image as the model rebuilds it, in [0, 1].")
    if denoises:
        task, more = "Takes noise out of a medical image.", {}
    else:
        task = "Scores how unusual a medical image is, and shows where."
        more = {
            "heatmap": metadata.Tensor("How unusual each pixel is."),
            SCORE: metadata.Tensor(
                f"The score. {thresholds.FILE} beside the model has the "
                "threshold."
            ),
        }
    outputs = {OUTPUTS[0]: rebuilt, **more}
    return metadata.Facts(APP, task, {"image": image}, outputs, license)


def decide(
    runner: litert.Runner,
    pairs: Sequence[Pair],
    rebuilt: Mapping[str, Rebuilt],
    output: str,
    specificity: float,
) -> dict[str, float]:
    """Returns a TFLite file's threshold, and its metrics at it on test.

    Args:
        runner: Runs the file.
        pairs: The file's outputs and their targets: those of valid, then those
            of test.
        rebuilt: The splits by name. If the outputs in `pairs` are no scores,
            the scores of these images are computed here.
        output: The name of the output in `pairs`.
        specificity: The part of normal validation images whose scores are
            below the threshold.
    """
    if output != SCORE:
        pairs = [
            measurement.run(runner, [(split.inputs, split.labels)], SCORE)[0]
            for split in (rebuilt["valid"], rebuilt["test"])
        ]
    (valid_scores, valid_labels), (test_scores, test_labels) = pairs
    threshold = fit_threshold(valid_scores[valid_labels == 0], specificity)
    return {
        "threshold": threshold,
        **at_threshold(test_scores, test_labels, threshold),
    }


def write_detector(path: Path, detector: Detector, options: Config) -> None:
    """Writes the facts, but for thresholds, that a phone's program needs."""
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
    options: Config,
) -> Measurement:
    """Returns the data and the metric that TFLite files are measured with.

    Args:
        rebuilt: The splits `valid` and `test`, by name.
        scores: The detector's scores of `test`, `(num,) float32`.
        metric: From `task_metric`: `auroc` takes the files' scores, `psnr` and
            `ssim` their reconstructions.
        options: Give the seed and `measure_examples`.
    """
    by_score = metric == "auroc"
    rows = {
        name: measurement.rows(len(rebuilt[name].inputs), options)
        for name in ("valid", "test")
    }

    def batches(name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        split, chosen = rebuilt[name], rows[name]
        targets = split.labels if by_score else split.targets
        yield split.inputs[chosen], targets[chosen]

    reference = scores if by_score else rebuilt["test"].reconstruction
    return Measurement(
        valid=lambda: batches("valid"),
        test=lambda: batches("test"),
        reference=reference[rows["test"]],
        metric=auroc
        if by_score
        else lambda outputs, targets: float(
            np.mean(per_image(metric, targets, outputs))
        ),
        output=SCORE if by_score else "reconstruction",
    )
