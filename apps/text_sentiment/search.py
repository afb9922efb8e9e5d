"""What `apps.tune` searches to fit text sentiment to your data."""

from typing import Any

from .config import Config

# Of the options on the data, those that leave the validation examples the same.
COMPARABLE = ()
# Trials need not do what these options turn off.
IN_TRIALS: dict[str, Any] = {}


def space(config: Config) -> str:
    """Returns the search space; see `apps/tune/README.md` for its form."""
    return """
        learning_rate = 1e-3..1e-2 log
        dropout = 0..0.6
        word_dropout = 0..0.4
        units = 16|32|64
        embedding_dim = 16|32|64|128
        pooling = mean_max|mean|max
        bidirectional = false|true
        batch_size = 32|64|128
    """


def monitor(config: Config) -> str:
    """Returns the metric of epochs that tells poor settings early."""
    # With weights of classes, epochs are compared by their loss instead.
    return "val_accuracy" if config.class_weights == "none" else ""
