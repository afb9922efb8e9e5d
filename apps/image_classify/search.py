"""What `apps.tune` searches to fit image classification to your data."""

from typing import Any

from .config import Config

# Of the options on the data, those that leave the validation examples the same.
COMPARABLE = ("image_size", "background")
# Trials need not do what these options turn off.
IN_TRIALS: dict[str, Any] = {}


def space(config: Config) -> str:
    """Returns the search space; see `apps/tune/README.md` for its form."""
    rate = "3e-4..1e-2 log"
    if config.weights != "none":  # Large steps undo what was learnt before.
        rate = "3e-5..3e-3 log"
    return f"""
        learning_rate = {rate}
        weight_decay = 1e-5..1e-2 log
        dropout = 0..0.6
        label_smoothing = 0..0.2
        # Augmentation: how far it may go depends on what the images show.
        shift = 0..0.2
        rotation = 0..25
        crop = 0..0.3
        flip = false|true
        batch_size = 32|64|128
    """


def monitor(config: Config) -> str:
    """Returns the metric of epochs that tells poor settings early."""
    return "val_accuracy"
