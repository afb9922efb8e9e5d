"""The options of image classification."""

import dataclasses

from common.options import InputError, option
from common.shared_options import (
    ExplanationOptions,
    ImageOptions,
    TFLiteOptions,
)
from common.teacher_options import TeacherOptions

APP = "image_classify"
# The options that name columns of --labels.
COLUMNS = ("file_column", "label_column", "split_column", "group_column")


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, TFLiteOptions, TeacherOptions, ExplanationOptions):
    """The options of this app."""

    default_dataset = "digits"

    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders or of what --labels names, or "
        "digits (the default for training).",
        data=True,
    )
    labels: str = option(
        "",
        "a table of the files in --dataset and their labels, in place of class "
        "folders.",
        data=True,
    )
    file_column: str = option(
        "",
        "the column of --labels with the files' names; by default file, "
        "filename, path, image or the like.",
        data=True,
    )
    label_column: str = option(
        "",
        "the column of --labels with the classes; by default label, class, "
        "category or the like.",
        data=True,
    )
    split_column: str = option(
        "",
        "the column of --labels with train, valid or test; by default split, "
        "if there is such a column.",
        data=True,
    )
    group_column: str = option(
        "",
        "the column of --labels with groups, such as patients, each of which "
        "stays in one split; by default group, patient or scene, if there is "
        "such a column.",
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
    width: float = option(
        1.0,
        "the factor of the network's numbers of channels; 0.5 leaves about a "
        "quarter of the weights.",
        minimum=0.05,
        maximum=4.0,
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
    background: str = option(
        "white",
        "what shows where an image file is transparent.",
        choices=("white", "grey", "black"),
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

    mobile_channels: int = option(
        0,
        "the channels of the images that the TFLite files take: 3 for colour, "
        "of which a model of grey images makes grey inside the file; 0 for "
        "those of the model.",
        minimum=0,
        maximum=3,
        training=False,
    )

    overlays: str = option(
        "",
        "explain: the folder to write pictures of the explanations to.",
        training=False,
    )
    baseline: str = option(
        "black",
        "explain: the image that integrated gradients compare with.",
        choices=("black", "grey", "white"),
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks channels, and refuses columns of a table that is not given."""
        super().__post_init__()
        if self.mobile_channels not in (0, 3):
            raise InputError(
                "--mobile_channels must be 0, for those of the model, or 3; "
                f"received {self.mobile_channels}."
            )
        for name in COLUMNS:
            value = getattr(self, name)
            if value and not self.labels:
                raise InputError(
                    f"--{name} needs --labels; received {value!r} without a "
                    "table."
                )
