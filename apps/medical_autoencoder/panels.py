"""The pictures of the report: panels of images, and scores by class."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from common.report import plots
from common.report.page import Table

from .scores import THRESHOLD, Detector, Rebuilt

SHOWN = 6
NOTICE = Table(
    "Not a medical device",
    "Research software. It has not been validated or cleared for diagnosis; "
    "its scores say how unlike the training images an image is, not what is "
    "wrong with a patient. Do not use it for decisions about patients.",
    (),
    (),
)


def draw(
    result: dict[str, Any], detector: Detector, test: Rebuilt
) -> list[plots.Plot | Table]:
    """Returns the report's notice, plots and panels.

    Args:
        result: The report, to which `score` is added.
        detector: Computes scores and heat maps.
        test: The test split.
    """
    result["score"] = detector.describe()
    maps, scores = detector(test)
    metric = result["task_metric"]
    shown: list[plots.Plot | Table] = [
        NOTICE,
        plots.size_against_metric(
            result["variants"], metric, result["config"]["max_drop"]
        ),
        plots.learning_curves(result["history"], "ssim"),
    ]
    if metric == "psnr":
        return [*shown, _denoised(test)]
    shown.append(_histogram(scores, test.labels))
    if detector.candidates:
        shown.append(_candidates(detector))
    return [*shown, *_cases(detector, test, maps, scores)]


def _candidates(detector: Detector) -> Table:
    """Returns the table of the scores that were compared on validation."""
    return Table(
        "Anomaly scores",
        "Mean AUROC of validation images and of versions that are framed and "
        f"exposed otherwise; {detector.name} is the score of this release.",
        ("score", "valid auroc"),
        list(detector.candidates.items()),
    )


def _histogram(scores: np.ndarray, labels: np.ndarray) -> plots.Plot:
    """Plots the scores of each class and the threshold."""
    figure = plots.new_figure(6.4, 3.4)
    axes = figure.subplots()
    # A few extreme scores would squeeze all others into one bar.
    low, high = np.quantile(scores, (0.0, 0.995))
    bins = np.linspace(low, max(high, 1.02 * THRESHOLD), 41)
    for label, name, colour in (
        (0, "normal", plots.BLUE),
        (1, "abnormal", plots.ORANGE),
    ):
        values = np.clip(scores[labels == label], bins[0], bins[-1])
        if len(values):
            axes.hist(
                values, bins.tolist(), color=colour, alpha=0.6,
                label=f"{name} ({len(values)})",
            )  # fmt: skip
    axes.axvline(THRESHOLD, color="black", lw=1, ls="--", label="threshold")
    axes.set(xlabel="anomaly score", ylabel="test images")
    plots.style(axes, "y")
    axes.legend(frameon=False)
    return plots.Plot(
        "score_histogram",
        "Scores by class",
        "Test images by anomaly score; the threshold was set on normal "
        "validation images. The last bar holds all that lie beyond it.",
        figure,
        _apart(scores, labels),
    )


def _apart(scores: np.ndarray, labels: np.ndarray) -> str:
    """Returns the median score of each class, in words."""
    medians = [
        f"{name} {np.median(scores[labels == label]):.3f}"
        for label, name in ((0, "normal"), (1, "abnormal"))
        if np.any(labels == label)
    ]
    return f"Median scores: {', '.join(medians)}; threshold {THRESHOLD:g}."


def _cases(
    detector: Detector, test: Rebuilt, maps: np.ndarray, scores: np.ndarray
) -> list[plots.Plot]:
    """Returns panels of typical, missed and falsely flagged images."""
    normal = np.flatnonzero(test.labels == 0)
    abnormal = np.flatnonzero(test.labels == 1)

    def middle(group: np.ndarray) -> np.ndarray:
        order = group[np.argsort(scores[group])]
        start = max(0, (len(order) - SHOWN) // 2)
        return order[start : start + SHOWN]

    missed = abnormal[scores[abnormal] < THRESHOLD]
    false = normal[scores[normal] >= THRESHOLD]
    groups = [
        ("typical_normal", "Typical normal images", middle(normal),
         "Test images whose scores are nearest the median of the normal."),
        ("typical_abnormal", "Typical abnormal images", middle(abnormal),
         "Test images whose scores are nearest the median of the abnormal."),
        ("worst_missed", "Worst missed", missed[np.argsort(scores[missed])],
         "Abnormal test images with the lowest scores below the threshold."),
        ("worst_false", "Worst false alarms",
         false[np.argsort(-scores[false])],
         "Normal test images with the highest scores above the threshold."),
    ]  # fmt: skip
    return [
        _panel(name, title, caption, picked[:SHOWN], detector, test, maps,
               scores)
        for name, title, picked, caption in groups
        if len(picked)
    ]  # fmt: skip


def _panel(
    name: str,
    title: str,
    caption: str,
    picked: np.ndarray,
    detector: Detector,
    test: Rebuilt,
    maps: np.ndarray,
    scores: np.ndarray,
) -> plots.Plot:
    """Plots input, reconstruction and heat map; each column is an image."""
    rows = [
        ("input", [test.inputs[index] for index in picked]),
        ("rebuilt", [test.reconstruction[index] for index in picked]),
        (
            "heat",
            [
                overlay(test.inputs[index], maps[index], detector.usual_heat)
                for index in picked
            ],
        ),
    ]
    figure = _grid(rows, [f"{scores[index]:.3f}" for index in picked])
    return plots.Plot(
        name,
        title,
        f"{caption} Anomaly score above each; heat is drawn on one scale in "
        "all pictures, from what is usual in normal images to what is not.",
        figure,
        f"{len(picked)} images in columns: input, reconstruction, heat map.",
        pictures=True,
    )


def _grid(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]], titles: Sequence[str]
) -> Any:
    """Returns a figure of rows of images.

    Args:
        rows: The name and the images, at most `SHOWN`, of each row.
        titles: The titles of the columns.
    """
    figure = plots.new_figure(6.8, 0.3 + 1.15 * len(rows))
    grid = figure.subplots(len(rows), SHOWN, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row_axes, (name, images) in zip(grid, rows, strict=True):
        row_axes[0].text(
            -0.08, 0.5, name, rotation=90, fontsize=8, ha="right", va="center",
            transform=row_axes[0].transAxes,
        )  # fmt: skip
        for axes, image in zip(row_axes, images, strict=False):
            shown = np.clip(image, 0, 1)
            grey = shown.shape[-1] == 1
            axes.imshow(
                shown[..., 0] if grey else shown, cmap="gray", vmin=0, vmax=1
            )
    for axes, title in zip(grid[0], titles, strict=False):
        axes.set_title(title, fontsize=8)
    return figure


def _denoised(test: Rebuilt) -> plots.Plot:
    """Plots noisy, denoised and clean test images."""
    picked = np.linspace(0, len(test.inputs) - 1, SHOWN).astype(int)
    rows = [
        ("noisy", test.inputs[picked]),
        ("denoised", test.reconstruction[picked]),
        ("clean", test.targets[picked]),
    ]
    return plots.Plot(
        "denoised",
        "Denoised images",
        "Six test images, evenly spaced through the split.",
        _grid(rows, [""] * SHOWN),
        f"{SHOWN} images in columns: noisy, denoised, clean.",
        pictures=True,
    )


def overlay(image: np.ndarray, heat: np.ndarray, usual: float) -> np.ndarray:
    """Returns an image with its heat map drawn over it.

    Args:
        image: `(height, width, channels) float32` in [0, 1].
        heat: `(height, width, 1) float32`.
        usual: Heat up to this is invisible; heat from 1 on has full colour.

    Returns:
        `(height, width, 3) float32` in [0, 1].
    """
    level = np.clip((heat[..., 0] - usual) / max(1 - usual, 1e-9), 0, 1)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * level)[..., :3]
    opacity = 0.6 * level[..., None]
    return ((1 - opacity) * image + opacity * colours).astype(np.float32)
