"""What `apps.tune` searches to fit the recommender to your data."""

from typing import Any

from .config import Config

# Of the options on the data, those that leave the validation examples the same.
COMPARABLE = ()
# Trials need not do what these options turn off. Validation judges the first
# fit, so that the second is not needed.
IN_TRIALS: dict[str, Any] = {"baselines": False, "refit": False}


def space(config: Config) -> str:
    """Returns the search space; see `apps/tune/README.md` for its form."""
    own = {
        "sequential": "blocks = 1..4",
        # The linear models look at all of a user's items.
        "two_tower": "history = 50|200|800",
    }
    return f"""
        learning_rate = 5e-4..1e-2 log
        dim = 32|64|128
        dropout = 0.1..0.7
        weight_decay = 1e-5..1e-1 log
        batch_size = 32|64|128
        {own.get(config.model, "")}
        # How much the linear part says beside the network.
        wide = 0|1|2|4|8|16
        wide_penalty = 2..200 log
    """


def monitor(config: Config) -> str:
    """Returns the metric of epochs that tells poor settings early."""
    return "val_ndcg@10"
