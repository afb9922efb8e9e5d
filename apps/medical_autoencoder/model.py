"""The networks: functional Keras 3 models from `image` to `reconstruction`.

All networks take and return `(batch, height, width, channels) float32` in
[0, 1] and are made of stock layers only. The decoder repeats pixels and
convolves them: TF-MOT cannot train Conv2DTranspose with quantization, and that
layer leaves checkerboards.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from common.options import InputError

LATENT = "latent"
SMALLEST = 16  # The smallest side: SSIM's window and two halvings need it.
COARSEST = 8  # A side of this size is not halved again.
MOST_FILTERS = 128


def build(
    name: str, shape: tuple[int, ...], latent: int, filters: int
) -> keras.Model:
    """Builds a network.

    Args:
        name: `autoencoder`, `denoiser`, or `variational`, which at inference is
            the same network as `autoencoder`.
        shape: Height, width and channels of an image.
        latent: The number of outputs of the bottleneck; a denoiser has no
            bottleneck.
        filters: The number of filters of the first convolutions. It doubles at
            each halving of the image, up to `MOST_FILTERS`; a denoiser has
            twice the number throughout.

    Raises:
        InputError: If the images are too small or have no suitable size.
    """
    check_shape(shape)
    image = keras.Input(shape, name="image")
    if name == "denoiser":
        output = denoiser(image, filters)
    else:
        output = autoencoder(image, latent, filters)
    return keras.Model(image, output, name=name)


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuses sides that are too small, or that cannot be halved twice.

    Raises:
        InputError: If height or width is such a side.
    """
    if min(shape[:2]) < SMALLEST or any(side % 4 for side in shape[:2]):
        good = max(SMALLEST, 4 * round(min(shape[:2]) / 4))
        raise InputError(
            f"images must have sides of at least {SMALLEST} that are multiples "
            f"of 4; received {shape[0]} x {shape[1]}. Pass "
            f"--image_size={good}, for example."
        )


def num_halvings(shape: tuple[int, ...]) -> int:
    """Returns the number of times that an autoencoder halves both sides."""
    height, width = shape[:2]
    count = 0
    while min(height, width) > COARSEST and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def autoencoder(
    image: keras.KerasTensor, latent: int, filters: int
) -> keras.KerasTensor:
    """Returns the image after a dense bottleneck; see `build`."""
    x, depth = image, num_halvings(image.shape[1:])
    widths = [min(filters * 2**level, MOST_FILTERS) for level in range(depth)]
    for level, width in enumerate(widths, start=1):
        x = _convolve(x, width)
        x = _convolve(x, widths[min(level, depth - 1)], strides=2)
    coarse = x.shape[1:]
    x = layers.Flatten(name="features")(x)
    x = layers.Dense(latent, name=LATENT)(x)
    x = layers.Dense(int(np.prod(coarse)), activation="relu")(x)
    x = layers.Reshape(coarse)(x)
    for width in reversed(widths):
        x = layers.UpSampling2D()(x)
        x = _convolve(x, width)
    return layers.Conv2D(
        image.shape[-1], 3, padding="same", activation="sigmoid",
        name="reconstruction",
    )(x)  # fmt: skip


def denoiser(image: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Returns the image without the noise that convolutions predict.

    After K. Zhang et al., Beyond a Gaussian denoiser: residual learning of deep
    CNN, 2017, without batch normalization. The output stays in [0, 1].
    """
    x = image
    for _ in range(6):
        x = _convolve(x, 2 * filters)
    # The kernel is zero at first: training begins with the identity.
    x = layers.Conv2D(
        image.shape[-1], 3, padding="same", kernel_initializer="zeros",
        name="noise",
    )(x)  # fmt: skip
    x = layers.Add()([image, x])
    return layers.ReLU(max_value=1.0, name="reconstruction")(x)


def _convolve(
    x: keras.KerasTensor, filters: int, strides: int = 1
) -> keras.KerasTensor:
    """Returns the output of a convolution and a ReLU."""
    x = layers.Conv2D(
        filters, 3, strides, padding="same", kernel_initializer="he_normal"
    )(x)
    return layers.ReLU()(x)


def with_latent(model: keras.Model) -> keras.Model:
    """Returns the model with its bottleneck as a second output.

    A denoiser has no bottleneck, and no second output.
    """
    names = {layer.name for layer in model.layers}
    outputs = [model.output]
    if LATENT in names:
        outputs.append(model.get_layer(LATENT).output)
    return keras.Model(model.input, outputs)


class Sample(layers.Layer):
    """Draws from N(mean, variance) and adds the divergence to the loss.

    D. Kingma and M. Welling, Auto-encoding variational Bayes, 2014. The inputs
    are the mean and the logarithm of the variance, `(batch, latent) float32`
    each. Outside of training the layer returns the mean.
    """

    def __init__(self, beta: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = beta
        self.generator = keras.random.SeedGenerator(seed)

    def call(
        self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Returns a sample, or the mean, `(batch, latent) float32`."""
        mean, log_variance = inputs
        log_variance = ops.clip(log_variance, -10.0, 10.0)
        divergence = 0.5 * ops.sum(
            ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, -1
        )
        self.add_loss(self.beta * ops.mean(divergence))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def variational(model: keras.Model, beta: float, seed: int) -> keras.Model:
    """Returns the model to fit so that `model` is a variational autoencoder.

    Both models share their layers. Only the returned one has the layer of the
    variances, which inference does not need.

    Args:
        model: From `build`.
        beta: The weight of the divergence in the loss. The divergence is a sum
            over the bottleneck, the loss beside it a mean over pixels.
        seed: Fixes the samples.
    """
    features = model.get_layer("features").output
    mean = model.get_layer(LATENT).output
    log_variance = layers.Dense(
        mean.shape[-1], name="log_variance", kernel_initializer="zeros"
    )(features)
    sample = Sample(beta, seed, name="sample")([mean, log_variance])
    decoder = keras.Model(mean, model.output, name="decoder")
    return keras.Model(model.input, decoder(sample), name="variational")
