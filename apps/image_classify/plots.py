"""The plot of this app's report: mistakes as images."""

from collections.abc import Sequence

import numpy as np

from common import data
from common.plots import Plot, new_figure

SHOWN = 24


def worst_mistakes(
    split: data.Split,
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> Plot:
    """Plots the test images that the model got wrong most confidently."""
    predicted = np.argmax(probabilities, axis=1)
    confidence = np.max(probabilities, axis=1)
    order = np.argsort(-confidence)
    worst = order[predicted[order] != labels[order]][:SHOWN]
    figure = new_figure(9.0, 0.4 + 1.45 * max(1, -(-len(worst) // 8)))
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
            f"{true} as {wrong}\n{confidence[index]:.2f}", fontsize=7
        )
    return Plot(
        "worst_mistakes",
        "Worst mistakes",
        f"The {len(worst)} test images that were classified wrongly with the "
        "most confidence: true class as predicted class, confidence.",
        figure,
    )
