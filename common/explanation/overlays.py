"""Pictures of attributions, drawn over the images that they explain."""

import numpy as np
import tensorflow as tf

from common.report import plots

from .page import rgb

SIDE = 224  # Pixels; smaller images are enlarged to about this.
OPACITY = 0.85  # Of the strongest parts; the image stays visible behind them.
# The part of the pixels that have less than full colour: a single strong pixel
# would leave all others without any.
BELOW = 0.99


def overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns an image, grey and enlarged, with attributions drawn over it.

    Args:
        image: `(height, width, channels) float32` in [0, 1].
        values: `(rows, columns)`, of the image or of coarser feature maps,
            which are interpolated.

    Returns:
        `(height, width, 3) float32` in [0, 1]: orange where the values are
        greater than 0, blue where they are less.
    """
    fitted = tf.image.resize(values[..., None], image.shape[:2]).numpy()
    strength = np.abs(fitted)
    strongest = np.quantile(strength, BELOW) or strength.max() or 1.0
    opacity = OPACITY * np.clip(strength / strongest, 0, 1)
    colour = np.where(
        fitted > 0, np.array(rgb(plots.ORANGE)), np.array(rgb(plots.BLUE))
    )
    grey = image.mean(axis=-1, keepdims=True)
    drawn = (1 - opacity) * grey + opacity * colour / 255
    return enlarged(drawn.astype(np.float32))


def enlarged(image: np.ndarray) -> np.ndarray:
    """Returns an image whose pixels are repeated until it is seen well."""
    times = max(1, SIDE // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def encode(image: np.ndarray) -> bytes:
    """Returns an image, float32 in [0, 1], as a PNG file of 8 bits."""
    values = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return tf.io.encode_png(values).numpy()
