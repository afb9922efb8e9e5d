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
        caption: What to see in it, one sentence.
        figure: The picture.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def new_figure(width: float = 8.0, height: float = 3.6) -> Figure:
    """Returns an empty figure in the reports' style, in inches."""
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def style(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Takes away what carries no information, and draws a pale grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis=grid)


def learning_curves(
    history: Mapping[str, Sequence[float]], metric: str
) -> Plot:
    """Plots loss and metric by epoch, training and validation."""
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
    """Plots each variant's compressed size against its metric."""
    figure = new_figure(8.0, 4.4)
    axes = figure.subplots()
    kilobytes = np.array([one["gzip_bytes"] / 1000 for one in variants])
    # A metric that is no number has no point.
    values = np.array([one["metric"] for one in variants], float)
    chosen = np.array([one["chosen"] for one in variants])
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
    """Writes the names beside the points, moved apart where they overlap."""
    if not np.isfinite(y).any():
        return
    low, high = np.nanmin(y), np.nanmax(y)
    margin = 0.08 * (high - low or 1e-3)
    axes.set_ylim(low - margin, high + margin)
    # Points and labels in pixels of a grid, 14 rows to the height.
    step = (high - low + 2 * margin) / 18
    taken: list[tuple[float, float]] = []
    for index in np.argsort(-y)[: np.isfinite(y).sum()]:
        place = y[index]
        while any(
            abs(place - other) < step and abs(np.log(x[index] / near)) < 1.1
            for near, other in taken
        ):
            place -= step / 4
        taken.append((x[index], place))
        axes.annotate(
            variants[index]["name"],
            (x[index], y[index]),
            (x[index] * 1.08, place),
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": GREY},
        )


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Plot:
    """Plots a confusion matrix; its rows are the true classes."""
    size = min(9.0, 2.6 + 0.38 * len(class_names))
    figure = new_figure(size + 0.6, size)
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The square root brings rare confusions out.
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
