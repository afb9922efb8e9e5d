"""TFLite files that take colour images, around a model of grey ones.

Phones have colour images, and MediaPipe's ImageClassifier takes no others. The
grey image is made inside the file, with the weights that also a server and
training use.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# Those of tf.image.rgb_to_grayscale.
WEIGHTS = np.array([0.2989, 0.5870, 0.1140], np.float32).reshape(1, 1, 3, 1)
LARGEST = float(WEIGHTS.max())


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Returns images with a number of channels; grey ones are repeated.

    Args:
        images: `(num, height, width, 1 or channels)`.
        channels: 1 or 3.
    """
    return np.repeat(images, channels // images.shape[-1], axis=-1)


def to_grey(
    twin: Any, is_aware: bool
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function of a file that makes grey of colour images.

    Args:
        twin: The tf_keras model of grey images in [0, 1].
        is_aware: Whether it was trained by quantization-aware training. Its
            operators then carry their ranges, and the one in front of it must
            have ranges too, or it would stay in float in an int8 file.
    """

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        kernel = tf.constant(WEIGHTS)
        if is_aware:
            image = tf.quantization.fake_quant_with_min_max_args(image, 0, 1)
            kernel = tf.quantization.fake_quant_with_min_max_args(
                kernel, -LARGEST, LARGEST, narrow_range=True
            )
        grey = tf.nn.conv2d(image, kernel, 1, "VALID")
        return {"probabilities": twin(grey, training=False)}

    return serve
