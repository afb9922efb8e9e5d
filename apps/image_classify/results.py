"""What this app leaves: the files for phones, the report's figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data.splits import Split, Splits, for_calibration
from common.mobile import conversion, files, measurement
from common.report import metrics, plots
from common.shared_options import Options

from . import augment

CALIBRATION_IMAGES = 500
SHOWN = 24


def write_mobile(
    directory: Path,
    twins: dict,
    variants: list,
    splits: Splits,
    options: Options,
    reference: np.ndarray,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, and `labels.txt`."""
    paths = conversion.write(
        directory,
        twins,
        variants,
        {"image": calibration(splits.train, options.seed)},
        ["probabilities"],
    )
    files.write_names(directory / files.LABELS, splits.class_names)
    sample = measurement.sampled(
        splits, options, augment.batches, reference, metrics.accuracy
    )
    return measurement.measure_all(paths, sample, options.max_drop)


def calibration(split: Split, seed: int) -> np.ndarray:
    """Returns images for the ranges of int8, `(num, *shape)` float32.

    The last two are black and white: so that an int8 file's input is a byte
    over 255 also where the images have no extremes. The real numbers are held
    once only: 500 images of 224 x 224 take 300 MB.
    """
    images = for_calibration(split, CALIBRATION_IMAGES, seed).features
    ends = [np.full_like(images[:1], end) for end in (0, 255)]
    images = np.concatenate([images, *ends])
    return np.divide(images, 255, dtype=np.float32)


def summarize(
    measured: dict[str, tuple[np.ndarray, np.ndarray]],
    class_names: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each split; test has those of each class."""
    found: dict[str, dict[str, Any]] = {
        name: metrics.classification(*one) for name, one in measured.items()
    }
    matrix = metrics.confusion_matrix(*measured["test"])
    found["test"]["per_class"] = {
        "class": list(class_names),
        **metrics.per_class(*measured["test"]),
    }
    found["test"]["confusion"] = matrix.tolist()
    return found


def draw(
    result: dict[str, Any],
    splits: Splits,
    test: tuple[np.ndarray, np.ndarray],
) -> list[Any]:
    """Returns the plots of the report."""
    return [
        plots.size_against_metric(
            result["variants"], "accuracy", result["config"]["max_drop"]
        ),
        plots.learning_curves(result["history"], "accuracy"),
        plots.confusion(metrics.confusion_matrix(*test), splits.class_names),
        worst_mistakes(splits.test, *test, splits.class_names),
    ]


def worst_mistakes(
    split: Split,
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> plots.Plot:
    """Plots the test images that the model got wrong most confidently."""
    predicted = np.argmax(probabilities, axis=1)
    confidence = np.max(probabilities, axis=1)
    order = np.argsort(-confidence)
    worst = order[predicted[order] != labels[order]][:SHOWN]
    figure = plots.new_figure(9.0, 0.4 + 1.45 * max(1, -(-len(worst) // 8)))
    grid = figure.subplots(max(1, -(-len(worst) // 8)), 8, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    images = split.pick(worst).features if len(worst) else ()
    for axes, image, index in zip(grid.flat, images, worst, strict=False):
        grey = image.shape[-1] == 1
        axes.imshow(
            image[..., 0] if grey else image,
            cmap="gray" if grey else None,
            vmin=0,
            vmax=255,
        )
        names = [class_names[labels[index]], class_names[predicted[index]]]
        true, wrong = (name[:10] for name in names)
        axes.set_title(
            f"{true} as {wrong}\n{confidence[index]:.2f}",
            fontsize=7,
            parse_math=False,
        )
    return plots.Plot(
        "worst_mistakes",
        "Worst mistakes",
        f"The {len(worst)} test images that were classified wrongly with the "
        "most confidence: true class as predicted class, confidence.",
        figure,
    )
