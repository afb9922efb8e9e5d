"""The options of the medical-image autoencoder."""

import dataclasses

from common.options import InputError, option
from common.shared_options import ImageOptions, TFLiteOptions

APP = "medical_autoencoder"


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, TFLiteOptions):
    """Options of this app."""

    default_dataset = "phantoms"

    dataset: str = option(
        "",
        "a TFDS name, a folder of normal/ and abnormal/; or phantoms.",
        data=True,
    )
    normal_label: str = option(
        "",
        "the class or folder of normal images; by default normal.",
        data=True,
    )
    patients: str = option(
        "",
        "folders: a table of file and patient, where DICOM does not say.",
        data=True,
    )
    image_size: int = option(
        0,
        "height and width to resize to; 0 keeps a common size.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    window: tuple[str, ...] = option(
        (),
        "DICOM: centre,width of the grey scale; by default the file's.",
        data=True,
    )
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
        16, "numbers in the bottleneck.", minimum=1, maximum=65_536
    )
    filters: int = option(
        16, "of the first convolutions.", minimum=1, maximum=4096
    )
    beta: float = option(
        1e-4, "variational: weight of the divergence.", minimum=0.0
    )
    noise: str = option(
        "none", "noise of training inputs; the denoiser is also judged on it.",
        choices=("none", "gaussian", "poisson", "speckle"), data=True,
    )  # fmt: skip
    noise_level: float = option(
        0.1, "its standard deviation, white being 1.", minimum=0.001,
        maximum=1.0, data=True,
    )  # fmt: skip
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.0, "augmentation: move by whole pixels, at most this part of a side.",
        minimum=0.0, maximum=0.4,
    )  # fmt: skip
    loss: str = option(
        "ssim", "mse, mae, ssim, ms_ssim, or 0.84*ms_ssim+0.16*mae."
    )
    score: str = option(
        "auto", "the anomaly score; auto chooses on validation.",
        choices=("auto", "mse", "ssim", "ssim_scales", "ssim_z",
                 "ssim_relative", "latent", "combined"), training=False,
    )  # fmt: skip
    specificity: float = option(
        0.9, "part of normal validation images below the threshold.",
        minimum=0.0, maximum=1.0, training=False,
    )  # fmt: skip
    overlays: str = option(
        "", "predict: a folder for heat-map pictures.", training=False
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
