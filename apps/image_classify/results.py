"""The TFLite files of a release, and the metrics and plots of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data.splits import Split, Splits, for_calibration
from common.mobile import conversion, files, measurement, metadata
from common.report import metrics, plots
from common.variants import Plan, Techniques

from . import augment, colour
from .config import APP, Config

CALIBRATION_IMAGES = 500
SHOWN = 24  # The number of mistakes that are plotted.
PER_ROW = 6


def write_mobile(
    directory: Path,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    splits: Splits,
    options: Config,
    reference: np.ndarray,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files; writes `labels.txt`.

    Args:
        directory: The release's folder `mobile`, which is made here.
        twins: The compressed models, from `chain.compress`.
        plan: The files to make.
        splits: The data.
        options: Give `mobile_channels`, `license`, the seed,
            `measure_examples` and `max_drop`.
        reference: The Keras model's probabilities for the test split, `(num,
            classes) float32`.

    Returns:
        The entry `variants` of `report.json`.
    """
    model_channels = splits.train.feature_shape[-1]
    channels = options.mobile_channels or model_channels
    images = calibration(splits.train, options.seed)
    aware = [twin for name, twin in twins.items() if "qat" in name]
    paths = conversion.write(
        directory,
        twins,
        plan,
        {"image": colour.with_channels(images, channels)},
        ["probabilities"],
        wrap=None
        if channels == model_channels
        else lambda twin: colour.to_grey(
            twin, any(twin is other for other in aware)
        ),
    )
    files.write_names(directory / files.LABELS, splits.class_names)
    metadata.write(paths, facts(splits.class_names, options.license))
    task = measurement.sampled(
        splits,
        options,
        lambda split: (
            (colour.with_channels(inputs, channels), labels)
            for inputs, labels in augment.batches(split)
        ),
        reference,
        metrics.accuracy,
    )
    return measurement.measure_all(paths, task, options.max_drop)


def facts(class_names: Sequence[str], license: str) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves."""
    return metadata.Facts(
        APP,
        f"Tells which of {len(class_names)} classes an image belongs to.",
        {
            "image": metadata.Tensor(
                "The image, upright and without transparency.",
                normalization=metadata.Normalization(mean=0.0, std=255.0),
            )
        },
        {
            "probabilities": metadata.Tensor(
                "The probability of each class.", names=files.LABELS
            )
        },
        license,
    )


def calibration(split: Split, seed: int) -> np.ndarray:
    """Returns images for the ranges of int8, `(num, *shape) float32`.

    A black and a white image are added, so that the input of an int8 file is a
    byte divided by 255 even if no image has black and white pixels. The float32
    numbers are in memory only once: 500 images of 224 x 224 take 300 MB.

    Args:
        split: The images.
        seed: Fixes the random choice of images.
    """
    images = for_calibration(split, CALIBRATION_IMAGES, seed).features
    ends = [np.full_like(images[:1], end) for end in (0, 255)]
    images = np.concatenate([images, *ends])
    return np.divide(images, 255, dtype=np.float32)


def summarize(
    measured: dict[str, tuple[np.ndarray, np.ndarray]],
    class_names: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each split, by name.

    Args:
        measured: Probabilities `(num, classes)` and labels `(num,)` of valid
            and of test, by name. Only test gets metrics of each class.
        class_names: The classes.
    """
    summaries: dict[str, dict[str, Any]] = {
        name: metrics.classification(*pair) for name, pair in measured.items()
    }
    matrix = metrics.confusion_matrix(*measured["test"])
    summaries["test"]["per_class"] = {
        "class": list(class_names),
        **metrics.per_class(*measured["test"]),
    }
    summaries["test"]["confusion"] = matrix.tolist()
    return summaries


def draw(
    result: dict[str, Any],
    splits: Splits,
    test: tuple[np.ndarray, np.ndarray],
) -> list[plots.Plot]:
    """Returns the plots of the report.

    Args:
        result: The report.
        splits: The data.
        test: Probabilities `(num, classes)` and labels `(num,)` of test.
    """
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
    """Plots the images that were classified wrongly with most confidence.

    Args:
        split: The images.
        probabilities: Those of the images, `(num, classes) float32`.
        labels: The true classes, `(num,)` integers.
        class_names: The classes.
    """
    predicted = np.argmax(probabilities, axis=1)
    confidence = np.max(probabilities, axis=1)
    order = np.argsort(-confidence)
    worst = order[predicted[order] != labels[order]][:SHOWN]
    num_rows = max(1, -(-len(worst) // PER_ROW))
    figure = plots.new_figure(6.8, 0.4 + 1.5 * num_rows)
    grid = figure.subplots(num_rows, PER_ROW, squeeze=False)
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
        f"Pictures of {len(worst)} wrongly classified images.",
        pictures=True,
    )
