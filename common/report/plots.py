"""Plots that the reports of several apps share."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#6b7280"


@dataclasses.dataclass(frozen=True)
class Plot:
    """A picture of the report.

    Attributes:
        name: The file's name without `.png`.
        title: The heading above it.
        caption: One sentence on what the picture shows.
        figure: The picture.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def new_figure(width: float = 8.0, height: float = 3.6) -> Figure:
    """Returns an empty figure in the reports' style.

    Args:
        width: The width in inches.
        height: The height in inches.
    """
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def style(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Removes the upper and right frame lines, and draws a pale grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis=grid)


def learning_curves(
    history: Mapping[str, Sequence[float]], metric: str
) -> Plot:
    """Plots loss and metric by epoch, for training and validation.

    Args:
        history: A list of one value an epoch by name, such as `val_loss`.
        metric: The name of the metric.
    """
    figure = new_figure()
    for axes, key in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        epochs = np.arange(1, len(history[key]) + 1)
        marker = "o" if len(epochs) < 30 else ""
        for name, colour, label in (
            (key, GREY, "train"),
            (f"val_{key}", BLUE, "valid"),
        ):
            axes.plot(
                epochs, np.array(history[name], float), marker=marker,
                ls="-", ms=3, c=colour, label=label,
            )  # fmt: skip
        axes.set(xlabel="epoch", title=key)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.legend(frameon=False)
        style(axes)
    return Plot(
        "learning_curves",
        "Learning curves",
        "Training figures are averages over the epoch, with augmentation and "
        "dropout; validation is measured after it, without.",
        figure,
    )


def size_against_metric(
    variants: Sequence[Mapping[str, Any]], metric: str, max_drop: float
) -> Plot:
    """Plots each variant's compressed size against its metric.

    Args:
        variants: The report's rows of the variants.
        metric: The name of the metric.
        max_drop: The most that the metric of the chosen file may fall.
    """
    figure = new_figure(8.0, 4.4)
    axes = figure.subplots()
    kilobytes = np.array([row["gzip_bytes"] / 1000 for row in variants])
    # A variant whose metric is NaN gets no point.
    values = np.array([row["metric"] for row in variants], float)
    chosen = np.array([row["chosen"] for row in variants])
    axes.scatter(kilobytes, values, c=np.where(chosen, ORANGE, BLUE), zorder=3)
    axes.set_xscale("log")
    low, high = kilobytes.min(), kilobytes.max()
    axes.set_xlim(low / 1.3, high * (high / low) ** 0.25 * 1.1)
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    _label(axes, kilobytes, values, variants)
    axes.set(xlabel="gzip size, kB (log scale)", ylabel=f"test {metric}")
    style(axes)
    return Plot(
        "size_against_metric",
        "Size against quality",
        "Every file, measured on the whole test split. Orange is the file "
        f"chosen: the smallest that is at most {max_drop:g} worse than float32 "
        "on the validation split.",
        figure,
    )


def _label(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    variants: Sequence[Mapping[str, Any]],
) -> None:
    """Writes the names beside the points, and moves them apart."""
    if not np.isfinite(y).any():
        return
    low, high = np.nanmin(y), np.nanmax(y)
    margin = 0.08 * (high - low or 1e-3)
    axes.set_ylim(low - margin, high + margin)
    # A label takes 1/18 of the axis's height, and a factor of e**1.1 in width.
    step = (high - low + 2 * margin) / 18
    taken: list[tuple[float, float]] = []
    for index in np.argsort(-y)[: np.isfinite(y).sum()]:
        label_y = y[index]
        while any(
            abs(label_y - taken_y) < step
            and abs(np.log(x[index] / taken_x)) < 1.1
            for taken_x, taken_y in taken
        ):
            label_y -= step / 4
        taken.append((x[index], label_y))
        axes.annotate(
            variants[index]["name"],
            (x[index], y[index]),
            (x[index] * 1.08, label_y),
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": GREY},
        )


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Plot:
    """Plots a confusion matrix.

    Args:
        matrix: `(classes, classes)` counts; rows are true classes, columns
            predicted classes.
        class_names: The names of the classes.
    """
    size = min(9.0, 2.6 + 0.38 * len(class_names))
    figure = new_figure(size + 0.6, size)
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The square root makes rare confusions visible.
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(class_names) <= 30:
        ticks = range(len(class_names))
        axes.set_xticks(ticks, class_names, rotation=90, parse_math=False)
        axes.set_yticks(ticks, class_names, parse_math=False)
        for row, column in np.argwhere(matrix):
            colour = "white" if share[row, column] > 0.4 else "black"
            axes.text(
                column, row, str(matrix[row, column]),
                ha="center", va="center", fontsize=7, c=colour,
            )  # fmt: skip
    return Plot(
        "confusion",
        "Confusion matrix",
        "Test examples by true class (row) and predicted class (column); the "
        "shade is the square root of the row's share.",
        figure,
    )
