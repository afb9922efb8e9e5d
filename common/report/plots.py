"""Plots that the reports of several apps share."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .summary import shorten
from .terms import METRICS

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#6b7280"


@dataclasses.dataclass(frozen=True)
class Plot:
    """A picture of the report.

    Attributes:
        name: The file's name without `.png`.
        title: The heading above it.
        caption: One sentence on what the picture shows.
        figure: The picture.
        alt: What the picture shows, for readers who cannot see it; "" if the
            title says all that can be said.
        pictures: Whether it shows photographs or scans, whose colours a dark
            page must not change.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    alt: str = ""
    pictures: bool = False

    @property
    def width(self) -> int:
        """The width on a page, in CSS pixels, of which an inch has 96."""
        return round(96 * self.figure.get_figwidth())


def new_figure(width: float = 6.4, height: float = 3.6) -> Figure:
    """Returns an empty figure in the reports' style.

    A phone shows it 4 inches wide: with more inches here, letters would be too
    small there.

    Args:
        width: The width in inches.
        height: The height in inches.
    """
    return Figure(figsize=(width, height), dpi=144, layout="constrained")


def style(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Removes the upper and right frame lines, and draws a pale grid.

    Numbers at the axes are written out: of an offset such as `+8.6e-1`, each
    number would be a riddle.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, axis=grid)
    for axis in (axes.xaxis, axes.yaxis):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, ticker.ScalarFormatter):
            formatter.set_useOffset(False)
            formatter.set_scientific(False)


def learning_curves(
    history: Mapping[str, Sequence[float]],
    metric: str,
    caption: str = "Training figures are averages over the epoch, with "
    "augmentation and dropout; validation is measured after it, without.",
) -> Plot:
    """Plots loss and metric by epoch, for training and validation.

    Args:
        history: A list of one value an epoch by name, such as `val_loss`. What
            it lacks is left out.
        metric: The name of the metric.
        caption: How the figures were measured.
    """
    figure, said = new_figure(6.4, 5.2), []
    for axes, key in zip(figure.subplots(2), ("loss", metric), strict=True):
        for name, colour, label in (
            (key, GREY, "training"),
            (f"val_{key}", BLUE, "validation"),
        ):
            values = np.array(history.get(name, ()), float)
            if not len(values):
                continue
            axes.plot(
                np.arange(1, len(values) + 1), values, c=colour, label=label,
                marker="o" if len(values) < 30 else "", ms=3,
            )  # fmt: skip
            said.append(f"{label} {key} {values[0]:.4f} to {values[-1]:.4f}")
        axes.set(xlabel="epoch", ylabel=key)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(frameon=False)
        style(axes)
    if metric in METRICS:
        caption += f" {metric}: {METRICS[metric]}."
    alt = f"From the first to the last epoch: {', '.join(said)}."
    title = "Learning curves"
    return Plot("learning_curves", title, caption, figure, alt)


def size_against_metric(
    variants: Sequence[Mapping[str, Any]], metric: str, max_drop: float
) -> Plot:
    """Plots each variant's compressed size against its metric.

    Args:
        variants: The report's rows of the variants.
        metric: The name of the metric.
        max_drop: The most that the metric of the chosen file may fall.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    kilobytes = np.array([row["gzip_bytes"] / 1000 for row in variants])
    # A variant whose metric is NaN gets no point.
    values = np.array([row["metric"] for row in variants], float)
    chosen = np.array([row["chosen"] for row in variants])
    axes.scatter(kilobytes, values, c=np.where(chosen, ORANGE, BLUE), zorder=3)
    axes.set_xscale("log")
    low, high = kilobytes.min(), kilobytes.max()
    axes.set_xlim(low / 1.3, high * (high / low) ** 0.25 * 1.1)
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.10g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    left, right = axes.get_xlim()
    ticks: ticker.Locator = ticker.LogLocator(subs=(1, 2, 5))
    # Where sizes are alike, there may be no 1, 2 or 5 with zeros among them.
    if sum(left < x < right for x in ticks.tick_values(left, right)) < 2:
        ticks = ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
    axes.xaxis.set_major_locator(ticks)
    _label(axes, kilobytes, values, variants)
    axes.set(xlabel="gzip size, kB (log scale)", ylabel=f"test {metric}")
    style(axes)
    return Plot(
        "size_against_metric",
        "Size against quality",
        "Every file with its figure on test. Orange is the file "
        f"chosen: the smallest that is at most {max_drop:g} worse than float32 "
        "on the validation split.",
        figure,
        "A point for each row of the table of files.",
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
    # Differences of a few thousandths must not look large.
    margin = max(0.08 * (high - low), 0.004 * max(abs(low), abs(high)), 1e-3)
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
    names = [shorten(name, 20) for name in class_names]
    size = min(8.0, 2.6 + 0.38 * len(names))
    figure = new_figure(size + 0.6, size)
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The square root makes rare confusions visible.
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= 30:
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=90, parse_math=False)
        axes.set_yticks(ticks, names, parse_math=False)
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
        _confusions(matrix, names),
    )


def _confusions(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Returns the most frequent confusions in words."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    places = np.transpose(np.unravel_index(order, wrong.shape))
    said = [
        f"{names[row]} taken for {names[column]} {wrong[row, column]} times"
        for row, column in places
        if wrong[row, column]
    ]
    return f"Most frequent confusions: {', '.join(said) or 'none'}."
