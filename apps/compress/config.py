"""The options of compressing a model of one's own."""

import dataclasses

from common.options import (
    InputError,
    fixed,
    is_given,
    option,
    with_default,
)
from common.shared_options import ImageOptions, LSTMOptions, Options
from common.teacher_options import TeacherOptions

APP = "compress"
# The options of training, which only a model with a teacher gets.
OF_TRAINING = ("epochs", "learning_rate", "work_dir")


@dataclasses.dataclass(frozen=True)
class Config(ImageOptions, LSTMOptions, TeacherOptions):
    """The options of this app."""

    model: str = option("", "the .keras file to compress, or a .h5 file.")
    import_: tuple[str, ...] = option(
        (),
        "Python files or names of installed modules, whose code defines the "
        "layers and functions of your own that the model has; they are run, "
        "so name only code that you trust.",
    )
    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders, or a .npz file with x and y "
        "(optionally also x_valid, y_valid, x_test and y_test; the data of a "
        "model with several inputs have the inputs' names instead of x, and "
        "those of a model with several outputs y_ and the output's name "
        "instead of y).",
        data=True,
    )
    teacher: str = option(
        "",
        "the .keras file of a larger model: --model is trained on its outputs "
        "and the labels before it is compressed.",
    )
    epochs: int = option(
        10,
        "with --teacher: the number of passes over the training data.",
        minimum=1,
    )
    learning_rate: float = option(
        1e-3,
        "with --teacher: the optimizer's highest learning rate.",
        minimum=1e-8,
        maximum=10.0,
    )
    calibration: str = option(
        "",
        "a .npz file with x only: the inputs that the ranges of int8 files are "
        "computed from; without --dataset it suffices for the variants that "
        "need no fine-tuning.",
    )
    loss: str = option(
        "",
        "the name of a Keras loss; by default the loss that the model was "
        "compiled with. For several outputs: output=loss,output=loss; an "
        "output without a loss is neither trained nor measured.",
    )
    metric: str = option(
        "",
        "the name of the Keras metric that must not worsen, which is that of "
        "--task_output; by default the first metric that the model was "
        "compiled with.",
    )
    task_output: str = option(
        "",
        "for a model of several outputs, the one whose metric must not worsen; "
        "by default the first that has a loss.",
    )
    metric_direction: str = option(
        "auto",
        "whether a higher metric is better (up) or a lower one (down); auto: "
        "as Keras or the metric's name says.",
        choices=("auto", "up", "down"),
    )
    scale: str = option(
        "auto",
        "the factor of the inputs, e.g. 1/255; auto: 1/255 for bytes that the "
        "model does not scale itself, else 1.",
    )
    offset: float = option(
        0.0, "the number that is added to the inputs after scaling."
    )
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
        "the number of epochs of fine-tuning after each compression step; 0: "
        "as many as make 1,000 training steps, but from 3 to 30.",
        minimum=0,
    )
    denylist: tuple[str, ...] = option(
        (), "the names of layers that stay in float in int8 files."
    )
    selective: bool = option(
        False,
        "if an int8 file worsens the metric by more than --max_drop, leave the "
        "layers whose quantization costs most in float.",
    )
    mode: str = fixed("train")
    patience: int = fixed(0)
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
        if self.teacher and not self.dataset:
            raise InputError(
                "--teacher needs --dataset, with labels; received "
                "--calibration alone."
            )
        for name in OF_TRAINING:
            if is_given(self, name) and not self.teacher:
                raise InputError(
                    f"--{name} needs --teacher: a model without a teacher is "
                    "only fine-tuned, after each step of compression."
                )
