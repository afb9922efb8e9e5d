"""The options of fraud detection."""

import dataclasses

from common.options import InputError, option, with_default
from common.shared_options import ExplanationOptions, LSTMOptions, Options
from common.teacher_options import TeacherOptions

from . import settings

APP = "fraud_detect"


@dataclasses.dataclass(frozen=True)
class Config(
    settings.NetworkOptions, LSTMOptions, TeacherOptions, ExplanationOptions
):
    """Options of this app."""

    default_dataset = "simulated_transactions"

    dataset: str = option(
        "", "a table file; by default simulated_transactions.", data=True
    )
    model: str = option(
        "classifier",
        "the network; autoencoder uses no labels.",
        choices=("classifier", "autoencoder", "hybrid", "sequence"),
        data=True,
    )
    steps: int = option(
        6,
        "transactions in a sequence of --model=sequence.",
        minimum=2,
        maximum=1000,
        data=True,
    )
    imbalance: str = option(
        "none",
        "how the loss treats rare frauds.",
        choices=("none", "weights", "focal"),
    )
    weight_decay: float = option(1e-3, "AdamW's decay.", minimum=0.0)
    batch_size: int = with_default(Options, "batch_size", 512)
    learning_rate: float = with_default(Options, "learning_rate", 2e-3)

    def __post_init__(self) -> None:
        """Refuses a teacher of a model that uses no labels."""
        super().__post_init__()
        if self.teacher and self.model == "autoencoder":
            raise InputError(
                "--teacher needs --model=classifier, hybrid or sequence, which "
                "give probabilities; received --model=autoencoder."
            )
