"""The options of fraud detection."""

import dataclasses

from common.compression import variants as names
from common.options import option

from . import settings

APP = "fraud_detect"


@dataclasses.dataclass(frozen=True)
class Config(settings.NetworkOptions):
    """Options of this app."""

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
    batch_size: int = option(512, "examples per step.", minimum=1)
    learning_rate: float = option(
        2e-3, "peak step size.", minimum=1e-8, maximum=10.0
    )
    patience: int = option(
        0, "epochs without a better one before a stop; 0: none.", minimum=0
    )

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "simulated_transactions")
