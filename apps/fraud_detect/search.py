"""What `apps.tune` searches to fit fraud detection to your data."""

from typing import Any

from .config import Config

# Of the options on the data, those that leave the validation examples the same.
COMPARABLE = ("extended", "model", "steps")
# Trials need not do what these options turn off.
IN_TRIALS: dict[str, Any] = {"baselines": False}


def space(config: Config) -> str:
    """Returns the search space; see `apps/tune/README.md` for its form."""
    if config.model == "autoencoder":
        return """
            learning_rate = 5e-4..1e-2 log
            weight_decay = 1e-5..1e-2 log
            code = 2..16
            autoencoder_units = 32|64|128|64,32
            corruption = 0.1..0.7
            errors = above|both
            batch_size = 256|512|1024
        """
    return """
        learning_rate = 5e-4..1e-2 log
        weight_decay = 1e-5..1e-2 log
        units = 32|64,32|128,64|256,128
        dropout = 0..0.6
        bins = 8..48 log
        imbalance = none|weights|focal
        extended = false|true
        batch_size = 128|256|512|1024
    """


def monitor(config: Config) -> str:
    """Returns the metric of epochs that tells poor settings early."""
    # A low error of reconstruction does not make an autoencoder find frauds.
    return "" if config.model == "autoencoder" else "val_pr_auc"
