"""The similarity of images: error maps, SSIM, MS-SSIM, and losses.

The functions are written in `keras.ops`: the same function is a loss, a part of
a functional model and, by way of that model's twin, of a TFLite file. Images
are `(batch, height, width, channels) float32` in [0, 1]: arrays, tensors or
symbolic tensors.
"""

import re
from collections.abc import Callable
from typing import Any

from keras import ops

from common.options import InputError

WINDOW = 7  # The side of a box window in Wang et al.
# (K1 L)^2 and (K2 L)^2 of Wang et al., with L = 1.
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
MIDDLE = 0.5
# Weights of the five scales (Wang, Simoncelli and Bovik, 2003).
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# From targets and outputs to a loss for each image, `(batch,)`.
Loss = Callable[[Any, Any], Any]


def squared_error(first: Any, second: Any) -> Any:
    """Returns the squared error of each pixel, in the shape of the images."""
    return ops.square(ops.subtract(first, second))


def absolute_error(first: Any, second: Any) -> Any:
    """Returns the absolute error of each pixel, in the shape of the images."""
    return ops.abs(ops.subtract(first, second))


def ssim_parts(
    first: Any, second: Any, window: int = WINDOW, padding: str = "same"
) -> tuple[Any, Any]:
    """Returns SSIM's two factors at each pixel.

    Z. Wang et al., Image quality assessment: from error visibility to
    structural similarity, 2004, with a box window. At the border only the part
    of the window inside the image counts: the average pooling of TensorFlow
    and of TFLite leaves the padding out.

    Args:
        first: Images.
        second: Images of the same shape.
        window: The side of the box window, in pixels.
        padding: `same`, or `valid` for windows that lie inside the image.

    Returns:
        The factor of luminance, and the factor of contrast and structure: each
        `(batch, height, width, channels) float32`, with `valid` of a smaller
        height and width.
    """

    def mean(x: Any) -> Any:
        return ops.average_pool(x, window, 1, padding)

    # Pixels are centred about zero, and the variance of the difference stands
    # in for the covariance: the differences of squares below then keep more
    # digits, and agree between runtimes.
    first, second = first - MIDDLE, second - MIDDLE
    mean_1, mean_2 = mean(first), mean(second)
    mean_error = ops.square(mean_1 - mean_2)
    variances = mean(ops.square(first)) + mean(ops.square(second))
    variances = variances - ops.square(mean_1) - ops.square(mean_2)
    difference_variance = mean(ops.square(first - second)) - mean_error
    structure = 1.0 - difference_variance / (variances + CONTRAST)
    mean_1, mean_2 = mean_1 + MIDDLE, mean_2 + MIDDLE
    squares = ops.square(mean_1) + ops.square(mean_2)
    luminance = 1.0 - mean_error / (squares + LUMINANCE)
    return luminance, structure


def ssim_map(first: Any, second: Any, window: int = WINDOW) -> Any:
    """Returns SSIM at each pixel, in the images' shape; see `ssim_parts`."""
    luminance, structure = ssim_parts(first, second, window)
    return ops.multiply(luminance, structure)


def ssim(first: Any, second: Any) -> Any:
    """Returns the mean SSIM of each pair of images, `(batch,)`."""
    luminance, structure = ssim_parts(first, second, padding="valid")
    return ops.mean(ops.multiply(luminance, structure), axis=(1, 2, 3))


def ms_ssim(first: Any, second: Any) -> Any:
    """Returns the multi-scale SSIM of each pair of images, `(batch,)`.

    Z. Wang, E. Simoncelli and A. Bovik, Multiscale structural similarity for
    image quality assessment, 2003. Of the five scales, those are used at which
    the window fits into the image; their weights are made to add up to 1.
    """
    sides = (first.shape[1], first.shape[2])
    count = sum(min(sides) >> scale >= WINDOW for scale in range(len(SCALES)))
    weights = SCALES[: max(count, 1)]
    result = 1.0
    for index, weight in enumerate(weights):
        luminance, structure = ssim_parts(first, second, padding="valid")
        last = index == len(weights) - 1
        part = ops.multiply(luminance, structure) if last else structure
        value = ops.mean(part, axis=(1, 2, 3))
        # A negative value has no real power, and the gradient at zero is NaN.
        value = ops.maximum(value, 1e-4)
        result = result * value ** (weight / sum(weights))
        first, second = (
            ops.average_pool(x, 2, 2, "valid") for x in (first, second)
        )
    return result


def psnr(first: Any, second: Any) -> Any:
    """Returns the peak signal-to-noise ratio of each pair, `(batch,)` in dB."""
    error = ops.mean(squared_error(first, second), axis=(1, 2, 3))
    return -10.0 * ops.log10(ops.maximum(error, 1e-10))


LOSSES: dict[str, Loss] = {
    "mse": lambda targets, outputs: ops.mean(
        squared_error(targets, outputs), (1, 2, 3)
    ),
    "mae": lambda targets, outputs: ops.mean(
        absolute_error(targets, outputs), (1, 2, 3)
    ),
    "ssim": lambda targets, outputs: 1.0 - ssim(targets, outputs),
    "ms_ssim": lambda targets, outputs: 1.0 - ms_ssim(targets, outputs),
}
_TERM = re.compile(r"(?:([0-9]*\.?[0-9]+)\*)?([a-z_]+)")


def parse_loss(text: str) -> list[tuple[float, str]]:
    """Returns the weights and names in, e.g., `0.84*ms_ssim+0.16*mae`.

    Raises:
        InputError: If a term is no loss of `LOSSES`.
    """
    terms = []
    for part in text.split("+"):
        match = _TERM.fullmatch(part.strip())
        if not match or match[2] not in LOSSES:
            raise InputError(
                f"--loss must be {', '.join(LOSSES)}, or a sum such as "
                f"0.84*ms_ssim+0.16*mae; received {text!r}."
            )
        terms.append((float(match[1] or 1), match[2]))
    return terms


def loss(text: str) -> Loss:
    """Returns the loss that `--loss` names, which gives `(batch,) float32`."""
    terms = parse_loss(text)

    def reconstruction_loss(targets: Any, outputs: Any) -> Any:
        parts = [weight * LOSSES[name](targets, outputs)
                 for weight, name in terms]  # fmt: skip
        return sum(parts[1:], parts[0])

    return reconstruction_loss
