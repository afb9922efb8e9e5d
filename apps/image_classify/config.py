"""The options of image classification."""

import dataclasses

from common.options import option
from common.shared_options import ImageOptions, TFLiteOptions

APP = "image_classify"


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, TFLiteOptions):
    """The options of this app."""

    default_dataset = "digits"

    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders, or digits (the default for "
        "training).",
        data=True,
    )
    model: str = option(
        "small_cnn",
        "the network.",
        choices=(
            "lenet5",
            "small_cnn",
            "resnet8",
            "resnet20",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "efficientnet_v2_b0",
        ),
    )
    weights: str = option(
        "none",
        "the weights that training starts from: none, imagenet, or a "
        ".weights.h5 file.",
    )
    image_size: int = option(
        0,
        "the height and width that images are resized to; 0 keeps the size "
        "that all images share, or means the model's own if sizes differ.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    pipeline: str = option(
        "auto",
        "whether training images are kept in memory or read from disk; auto: "
        "in memory unless they are too large.",
        choices=("auto", "in_memory", "streaming"),
    )
    on_bad_input: str = option(
        "fail",
        "what to do with images that cannot be decoded.",
        choices=("fail", "skip"),
        data=True,
    )
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.08,
        "augmentation: the longest shift, as a part of the side.",
        minimum=0.0,
        maximum=0.5,
    )
    rotation: float = option(
        8.0,
        "augmentation: the largest rotation, in degrees.",
        minimum=0.0,
        maximum=180.0,
    )
    crop: float = option(
        0.1,
        "augmentation: the largest crop or padding, as a part of the size.",
        minimum=0.0,
        maximum=0.5,
    )
    mixup: float = option(
        0.0, "augmentation: the alpha of mixup; 0 mixes nothing.", minimum=0.0
    )
    label_smoothing: float = option(
        0.0,
        "the part of each label that is spread over all classes.",
        minimum=0.0,
        maximum=0.5,
    )
    dropout: float = option(
        0.3,
        "the part of the last features that is dropped in training.",
        minimum=0.0,
        maximum=0.9,
    )
    weight_decay: float = option(
        1e-4, "the decay of kernels by AdamW; 0 means Adam.", minimum=0.0
    )
    schedule: str = option(
        "cosine",
        "how the learning rate falls.",
        choices=("constant", "cosine", "plateau"),
    )
    warmup: float = option(
        0.1,
        "the part of the training steps in which the learning rate rises.",
        minimum=0.0,
        maximum=0.9,
    )
