"""How alike two images are: error maps, SSIM, MS-SSIM, and losses of them.

All of it is written in `keras.ops`, so one function serves as a loss, inside a
functional model, and, by way of that model's twin, in a TFLite file. Images are
`(batch, height, width, channels) float32` in [0, 1].
"""

import re
from collections.abc import Callable
from typing import Any

from keras import ops

from common.options import InputError

WINDOW = 7  # Wang et al. take 7 where the window is a box.
# (K1 L)^2 and (K2 L)^2 of Wang et al., with L = 1.
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
MIDDLE = 0.5
# Weights of the five scales (Wang, Simoncelli and Bovik, 2003).
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

Map = Callable[[Any, Any], Any]


def squared_error(one: Any, other: Any) -> Any:
    """Returns the squared error of each pixel."""
    return ops.square(ops.subtract(one, other))


def absolute_error(one: Any, other: Any) -> Any:
    """Returns the absolute error of each pixel."""
    return ops.abs(ops.subtract(one, other))


def ssim_parts(
    one: Any, other: Any, window: int = WINDOW, padding: str = "same"
) -> tuple[Any, Any]:
    """Returns SSIM's two factors at each pixel.

    Z. Wang et al., Image quality assessment: from error visibility to
    structural similarity, 2004, with a box window. At the border the window is
    what of it lies inside the image: TensorFlow's average pooling leaves the
    padding out, and so does TFLite's.

    Args:
        one: Images.
        other: Images.
        window: Side of the box, in pixels.
        padding: `same`, or `valid` for whole windows only.

    Returns:
        Luminance's factor, and that of contrast and structure.
    """

    def mean(x: Any) -> Any:
        return ops.average_pool(x, window, 1, padding)

    # About the middle of the range, and by way of the difference instead of the
    # covariance: the differences of squares below then keep more digits, and
    # agree between runtimes.
    one, other = one - MIDDLE, other - MIDDLE
    mean_1, mean_2 = mean(one), mean(other)
    apart = ops.square(mean_1 - mean_2)
    variances = mean(ops.square(one)) + mean(ops.square(other))
    variances = variances - ops.square(mean_1) - ops.square(mean_2)
    unlike = mean(ops.square(one - other)) - apart
    structure = 1.0 - unlike / (variances + CONTRAST)
    mean_1, mean_2 = mean_1 + MIDDLE, mean_2 + MIDDLE
    squares = ops.square(mean_1) + ops.square(mean_2)
    luminance = 1.0 - apart / (squares + LUMINANCE)
    return luminance, structure


def ssim_map(one: Any, other: Any, window: int = WINDOW) -> Any:
    """Returns SSIM at each pixel; see `ssim_parts`."""
    luminance, structure = ssim_parts(one, other, window)
    return ops.multiply(luminance, structure)


def ssim(one: Any, other: Any) -> Any:
    """Returns the mean SSIM of each pair of images, `(batch,)`."""
    luminance, structure = ssim_parts(one, other, padding="valid")
    return ops.mean(ops.multiply(luminance, structure), axis=(1, 2, 3))


def ms_ssim(one: Any, other: Any) -> Any:
    """Returns the multi-scale SSIM of each pair of images, `(batch,)`.

    Z. Wang, E. Simoncelli and A. Bovik, Multiscale structural similarity for
    image quality assessment, 2003: as many of the five scales as the window
    fits into, their weights made to add up to one.
    """
    sides = (one.shape[1], one.shape[2])
    count = sum(min(sides) >> scale >= WINDOW for scale in range(len(SCALES)))
    weights = SCALES[: max(count, 1)]
    result = 1.0
    for index, weight in enumerate(weights):
        luminance, structure = ssim_parts(one, other, padding="valid")
        last = index == len(weights) - 1
        part = ops.multiply(luminance, structure) if last else structure
        value = ops.mean(part, axis=(1, 2, 3))
        # A negative value has no power; its gradient would be NaN at zero.
        value = ops.maximum(value, 1e-4)
        result = result * value ** (weight / sum(weights))
        one, other = (ops.average_pool(x, 2, 2, "valid") for x in (one, other))
    return result


def psnr(one: Any, other: Any) -> Any:
    """Returns the peak signal-to-noise ratio of each pair, `(batch,)` in dB."""
    error = ops.mean(squared_error(one, other), axis=(1, 2, 3))
    return -10.0 * ops.log10(ops.maximum(error, 1e-10))


LOSSES: dict[str, Map] = {
    "mse": lambda one, other: ops.mean(squared_error(one, other), (1, 2, 3)),
    "mae": lambda one, other: ops.mean(absolute_error(one, other), (1, 2, 3)),
    "ssim": lambda one, other: 1.0 - ssim(one, other),
    "ms_ssim": lambda one, other: 1.0 - ms_ssim(one, other),
}
_TERM = re.compile(r"(?:([0-9]*\.?[0-9]+)\*)?([a-z_]+)")


def parse_loss(text: str) -> list[tuple[float, str]]:
    """Returns the weights and names in, e.g., `0.84*ms_ssim+0.16*mae`."""
    terms = []
    for part in text.split("+"):
        found = _TERM.fullmatch(part.strip())
        if not found or found[2] not in LOSSES:
            raise InputError(
                f"--loss must be {', '.join(LOSSES)}, or a sum such as "
                f"0.84*ms_ssim+0.16*mae; received {text!r}."
            )
        terms.append((float(found[1] or 1), found[2]))
    return terms


def loss(text: str) -> Map:
    """Returns the loss that `--loss` names: of images, `(batch,)`."""
    terms = parse_loss(text)

    def reconstruction_loss(targets: Any, outputs: Any) -> Any:
        parts = [weight * LOSSES[name](targets, outputs)
                 for weight, name in terms]  # fmt: skip
        return sum(parts[1:], parts[0])

    return reconstruction_loss
