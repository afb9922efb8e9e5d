"""The options of the medical-image autoencoder."""

import dataclasses

from common.options import InputError, option
from common.shared_options import (
    ExplanationOptions,
    ImageOptions,
    TFLiteOptions,
)

APP = "medical_autoencoder"


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, TFLiteOptions, ExplanationOptions):
    """The options of this app."""

    default_dataset = "phantoms"

    dataset: str = option(
        "",
        "a TFDS name, a folder with normal/ and abnormal/, or phantoms (the "
        "default for training).",
        data=True,
    )
    normal_label: str = option(
        "",
        "the name of the class or folder of normal images; by default normal; "
        "a folder may also be called good or ok.",
        data=True,
    )
    patients: str = option(
        "",
        "folders: a table with columns file and patient, for files whose "
        "header names no patient.",
        data=True,
    )
    image_size: int = option(
        0,
        "the height and width that images are resized to; 0 keeps the size "
        "that all images share, or means 64 if sizes differ.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    window: tuple[str, ...] = option(
        (),
        "DICOM and NIfTI: centre,width of the grey scale; by default each "
        "file's own.",
        data=True,
    )
    plane: str = option(
        "axial", "NIfTI: the plane of the slices that volumes are cut into.",
        choices=("axial", "coronal", "sagittal"), data=True,
    )  # fmt: skip
    on_bad_input: str = option(
        "fail",
        "what to do with unreadable files.",
        choices=("fail", "skip"),
        data=True,
    )
    model: str = option(
        "autoencoder", "the network.",
        choices=("autoencoder", "variational", "denoiser"), data=True,
    )  # fmt: skip
    latent: int = option(
        16,
        "the number of outputs of the bottleneck.",
        minimum=1,
        maximum=65_536,
    )
    filters: int = option(
        16,
        "the number of filters of the first convolutions.",
        minimum=1,
        maximum=4096,
    )
    beta: float = option(
        1e-4, "variational: the weight of the divergence.", minimum=0.0
    )
    noise: str = option(
        "none",
        "the noise of training inputs; a denoiser is also judged on it.",
        choices=("none", "gaussian", "poisson", "speckle"), data=True,
    )  # fmt: skip
    noise_level: float = option(
        0.1, "the standard deviation of the noise, white being 1.",
        minimum=0.001, maximum=1.0, data=True,
    )  # fmt: skip
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.0, "augmentation: the longest shift, as a part of the side; images "
        "move by whole pixels.",
        minimum=0.0, maximum=0.4,
    )  # fmt: skip
    loss: str = option(
        "ssim",
        "the training loss: mse, mae, ssim, ms_ssim, or a weighted sum such as "
        "0.84*ms_ssim+0.16*mae.",
    )
    score: str = option(
        "auto", "the anomaly score; auto chooses on validation.",
        choices=("auto", "mse", "ssim", "ssim_scales", "ssim_z",
                 "ssim_relative", "latent", "combined"), training=False,
    )  # fmt: skip
    specificity: float = option(
        0.9, "the part of normal validation images below the threshold.",
        minimum=0.0, maximum=1.0, training=False,
    )  # fmt: skip
    overlays: str = option(
        "",
        "predict, explain: the folder to write heat-map pictures to.",
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.model == "denoiser" and (
            self.noise == "none" or self.score != "auto"
        ):
            raise InputError(
                "--model=denoiser must have a --noise to remove, and has no "
                f"--score; received --noise={self.noise} --score={self.score}."
            )
