"""The networks: functional Keras 3 models from `image` to `probabilities`.

All networks take `(batch, height, width, channels) float32` in [0, 1] and are
made of stock layers only. The order of layers is convolution, batch
normalization, activation, because quantization folds this order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from common.options import InputError
from common.training import inference

# The number of channels or units of a layer, from that at width 1.
Scale = Callable[[int], int]


def lenet5(
    image: keras.KerasTensor, dropout: float, scale: Scale
) -> keras.KerasTensor:
    """Returns the features of LeNet-5, the network of the seed article.

    It has 61,706 weights for 28 x 28 pixels and 10 classes. LeCun et al.,
    Gradient-based learning applied to document recognition, 1998, but with ReLU
    and maximum pooling. With padding by 2, images of 28 x 28 pixels become 16
    maps of 5 x 5.
    """
    x = layers.Conv2D(scale(6), 5, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(scale(16), 5, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(scale(120), activation="relu")(x)
    x = layers.Dense(scale(84), activation="relu")(x)
    return layers.Dropout(dropout)(x) if dropout else x


def small_cnn(
    image: keras.KerasTensor, dropout: float, scale: Scale
) -> keras.KerasTensor:
    """Returns the features of a small, strong network for 28 x 28 pixels.

    It has six convolutions and 0.19 million weights.
    """
    x = image
    for filters, strides in (
        (16, 1),
        (32, 2),
        (48, 1),
        (64, 1),
        (96, 2),
        (96, 1),
    ):
        x = _convolve(x, scale(filters), 3, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(dropout)(x) if dropout else x


def resnet8(
    image: keras.KerasTensor, dropout: float, scale: Scale
) -> keras.KerasTensor:
    """Returns the features of MLPerf Tiny's network for CIFAR-10.

    It has 78,000 weights (Banbury, 2021).
    """
    return _resnet(image, 1, dropout, scale)


def resnet20(
    image: keras.KerasTensor, dropout: float, scale: Scale
) -> keras.KerasTensor:
    """Returns the features of the 20-layer network for CIFAR-10.

    It has 0.27 million weights (He et al., 2016).
    """
    return _resnet(image, 3, dropout, scale)


def _resnet(
    image: keras.KerasTensor, blocks: int, dropout: float, scale: Scale
) -> keras.KerasTensor:
    """Returns the features after three stages of residual blocks.

    Args:
        image: The input.
        blocks: The blocks of each stage; a block has two convolutions.
        dropout: The part of the features that is dropped in training.
        scale: See `Scale`.
    """
    x = _convolve(image, scale(16), 3)
    for stage, filters in enumerate(map(scale, (16, 32, 64))):
        for block in range(blocks):
            strides = 2 if block == 0 and stage else 1
            y = _convolve(x, filters, 3, strides)
            y = _convolve(y, filters, 3, activation=False)
            if strides > 1:
                x = layers.Conv2D(filters, 1, strides, padding="same")(x)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dropout(dropout)(x) if dropout else x


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    strides: int = 1,
    activation: bool = True,
) -> keras.KerasTensor:
    """Returns the output of a convolution, batch normalization and a ReLU.

    Without `activation` the ReLU is left out.
    """
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    # Small data sets have too few steps for the default, 0.99, to forget the
    # initial statistics.
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x) if activation else x


NETWORKS: dict[str, Callable] = {
    "lenet5": lenet5,
    "small_cnn": small_cnn,
    "resnet8": resnet8,
    "resnet20": resnet20,
}
# The class in keras.applications, and its arguments; `_backbone` preprocesses.
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_v2": ("MobileNetV2", {}),
    "mobilenet_v3_small": (
        "MobileNetV3Small",
        {"include_preprocessing": False},
    ),
    "efficientnet_v2_b0": (
        "EfficientNetV2B0",
        {"include_preprocessing": False},
    ),
}
# The widths of which there are weights of ImageNet.
WIDTHS = {
    "mobilenet_v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "mobilenet_v3_small": (0.75, 1.0),
}
MODELS = (*NETWORKS, *BACKBONES)
USUAL_SIZES = {"lenet5": 28, "small_cnn": 28, "resnet8": 32, "resnet20": 32}
BACKBONE_SIZE = 224
SMALLEST_SIZES = {"lenet5": 12, "small_cnn": 4, "resnet8": 4, "resnet20": 4}
SMALLEST_BACKBONE = 32


def usual_size(name: str) -> int:
    """Returns the side in pixels that images of mixed sizes are resized to."""
    return USUAL_SIZES.get(name, BACKBONE_SIZE)


def build(
    name: str,
    shape: tuple[int, ...],
    num_classes: int,
    *,
    dropout: float = 0.0,
    weights: str = "none",
    width: float = 1.0,
) -> keras.Model:
    """Builds a classifier.

    Args:
        name: One of `MODELS`.
        shape: Height, width and channels of an image.
        num_classes: The number of classes.
        dropout: The part of the last features that is dropped in training.
        weights: `none`; `imagenet`, which Keras downloads, for a backbone; or a
            `.weights.h5` file of this same model.
        width: The factor of the numbers of channels.

    Returns:
        A model from `image`, `(batch, *shape) float32` in [0, 1], to softmax
        `probabilities`, `(batch, num_classes) float32`.

    Raises:
        InputError: If the images are too small, or the weights do not fit or
            cannot be read or downloaded.
    """
    least = SMALLEST_SIZES.get(name, SMALLEST_BACKBONE)
    if min(shape[:2]) < least:
        raise InputError(
            f"--model={name} needs images of at least {least} x {least} pixels;"
            f" received {shape[0]} x {shape[1]}. Pass --image_size={least} or "
            "more."
        )
    image = keras.Input(shape, name="image")
    if name in NETWORKS:
        if weights == "imagenet":
            raise InputError(
                f"--weights=imagenet needs one of {', '.join(BACKBONES)}; "
                f"received --model={name}."
            )
        x = NETWORKS[name](image, dropout, lambda n: max(1, round(width * n)))
    else:
        x = _backbone(name, image, dropout, weights, width)
    x = layers.Dense(num_classes, name="logits")(x)
    output = layers.Softmax(name="probabilities")(x)
    model = keras.Model(image, output, name=name)
    if weights not in ("none", "imagenet"):
        _load_weights(model, Path(weights))
    return model


def _backbone(
    name: str,
    image: keras.KerasTensor,
    dropout: float,
    weights: str,
    width: float,
) -> keras.KerasTensor:
    """Returns the features of a keras.applications network."""
    constructor, arguments = BACKBONES[name]
    if width != 1:
        arguments = {**arguments, "alpha": _alpha(name, weights, width)}
    x = image
    if image.shape[-1] == 1:
        x = layers.Concatenate()([x, x, x])
    if name == "efficientnet_v2_b0":
        # The statistics of ImageNet that keras.applications trained it with.
        x = layers.Normalization(
            mean=(0.485, 0.456, 0.406),
            variance=(0.229**2, 0.224**2, 0.225**2),
        )(x)
    else:
        x = layers.Rescaling(2.0, offset=-1.0)(x)
    # `input_tensor` makes the graph flat: TF-MOT does not look into nested
    # models.
    try:
        backbone = getattr(keras.applications, constructor)(
            input_tensor=x,
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
            pooling="avg",
            **arguments,
        )
    except Exception as error:  # Keras has no class of errors for downloads.
        if "fetch failure" not in str(error):
            raise
        raise InputError(
            f"--weights=imagenet could not be downloaded: {error}. Pass a "
            ".weights.h5 file, or --weights=none."
        ) from None
    features = backbone.output
    return layers.Dropout(dropout)(features) if dropout else features


def _alpha(name: str, weights: str, width: float) -> float:
    """Returns the argument of a backbone that stands for its width.

    Raises:
        InputError: If the backbone has no such argument, or if there are no
            weights of ImageNet for the width.
    """
    known = WIDTHS.get(name)
    if known is None:
        able = ", ".join([*NETWORKS, *WIDTHS])
        raise InputError(
            f"--width={width:g} needs one of {able}; received --model={name}."
        )
    if weights == "imagenet" and width not in known:
        raise InputError(
            f"--width must be one of {', '.join(map(str, known))} for "
            f"--model={name} with --weights=imagenet; received {width:g}."
        )
    return width


def _load_weights(model: keras.Model, path: Path) -> None:
    """Loads the weights file that `--weights` names.

    Raises:
        InputError: If the file does not exist or does not fit the model.
    """
    if not path.name.endswith(".weights.h5") or not path.is_file():
        raise InputError(
            f"--weights must be none, imagenet or a .weights.h5 file; received "
            f"{str(path)!r}."
        )
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"--weights={path} does not fit --model={model.name}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    inference.check_finite(model, f"--weights={path}")
