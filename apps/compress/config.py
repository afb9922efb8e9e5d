"""The options of compressing a model of your own."""

import dataclasses

from common.options import InputError, fixed, option, with_default
from common.shared_options import ImageOptions, Options

APP = "compress"


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions):
    """Options of this app."""

    model: str = option("", "the .keras file to compress.")
    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders, or a .npz file with x and y "
        "(also x_valid, y_valid, x_test, y_test; for several inputs their "
        "names instead of x).",
        data=True,
    )
    calibration: str = option(
        "",
        "a .npz file with x only: the inputs that int8 ranges come from; "
        "enough for the variants without fine-tuning.",
    )
    loss: str = option("", "a Keras loss; by default the model's own.")
    metric: str = option(
        "", "the Keras metric to keep; by default the model's first."
    )
    metric_direction: str = option(
        "auto",
        "whether more of the metric is better (up) or less (down); auto: as "
        "Keras or the metric's name says.",
        choices=("auto", "up", "down"),
    )
    scale: str = option(
        "auto",
        "what inputs are multiplied by, e.g. 1/255; auto: 1/255 for bytes, "
        "unless the model scales them itself, else 1.",
    )
    offset: float = option(0.0, "what is added to inputs after scaling.")
    variants: tuple[str, ...] = with_default(
        Options,
        "variants",
        ("float32", "float16", "dynamic", "int8", "prune+int8",
         "prune+cluster+int8"),
    )  # fmt: skip
    max_drop: float = option(
        0.01, "the most that the metric of the chosen variant may worsen.",
        minimum=0.0,
    )  # fmt: skip
    finetune_epochs: int = option(
        0,
        "epochs after each compression step; 0: as many as make 1,000 steps, "
        "from 3 to 30.",
        minimum=0,
    )
    denylist: tuple[str, ...] = option(
        (), "layers that int8 files leave in float."
    )
    selective: bool = option(
        False,
        "where an int8 file drops too much, leave its costliest layers in "
        "float.",
    )
    mode: str = fixed("train")
    epochs: int = fixed(1)
    patience: int = fixed(0)
    learning_rate: float = fixed(1e-3)
    work_dir: str = fixed("")
    strategy: str = fixed("one_device")
    data_service: str = fixed("")
    cluster_timeout: int = fixed(1)
    release: str = fixed("")
    inputs: str = fixed("")
    output: str = fixed("")
    raw_output: bool = fixed(False)
    server: str = fixed("")

    def __post_init__(self) -> None:
        """Checks the options before any work."""
        super().__post_init__()
        if not self.model:
            raise InputError("--model must be a .keras file; received none.")
        if not (self.dataset or self.calibration):
            raise InputError(
                "--dataset must be given, or --calibration where there are no "
                "labels; received neither."
            )
