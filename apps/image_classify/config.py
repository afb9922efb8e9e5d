"""The options of image classification."""

import dataclasses

from common.options import option
from common.shared_options import ImageOptions, TFLiteOptions

APP = "image_classify"


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, TFLiteOptions):
    """Options of this app."""

    default_dataset = "digits"

    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders; by default digits.",
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
    weights: str = option("none", "none, imagenet, or a .weights.h5 file.")
    image_size: int = option(
        0,
        "height and width to resize to; 0 keeps a common size.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    pipeline: str = option(
        "auto",
        "where training images are kept.",
        choices=("auto", "in_memory", "streaming"),
    )
    on_bad_input: str = option(
        "fail",
        "what to do with undecodable images.",
        choices=("fail", "skip"),
        data=True,
    )
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.08, "augmentation: part of the side.", minimum=0.0, maximum=0.5
    )
    rotation: float = option(
        8.0, "augmentation: degrees.", minimum=0.0, maximum=180.0
    )
    crop: float = option(
        0.1, "augmentation: part of the size.", minimum=0.0, maximum=0.5
    )
    mixup: float = option(0.0, "augmentation: alpha of mixup.", minimum=0.0)
    label_smoothing: float = option(
        0.0, "part of a label given to all classes.", minimum=0.0, maximum=0.5
    )
    dropout: float = option(
        0.3, "part of the last features dropped.", minimum=0.0, maximum=0.9
    )
    weight_decay: float = option(
        1e-4, "AdamW's decay of kernels; 0 for Adam.", minimum=0.0
    )
    schedule: str = option(
        "cosine",
        "how the learning rate falls.",
        choices=("constant", "cosine", "plateau"),
    )
    warmup: float = option(
        0.1, "part of the steps in which it rises.", minimum=0.0, maximum=0.9
    )
