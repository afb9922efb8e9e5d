"""What `apps.tune` searches to fit the medical autoencoder to your data."""

from typing import Any

from .config import Config

# Of the options on the data, those that leave the validation examples the same.
COMPARABLE = ("model",)
# Trials need not do what these options turn off.
IN_TRIALS: dict[str, Any] = {}


def space(config: Config) -> str:
    """Returns the search space; see `apps/tune/README.md` for its form."""
    if config.model == "denoiser":
        return """
            learning_rate = 3e-4..1e-2 log
            filters = 8|16|32
            loss = mse|mae|ssim|0.84*ms_ssim+0.16*mae
            batch_size = 16|32|64
        """
    beta = "beta = 1e-6..1e-2 log" if config.model == "variational" else ""
    return f"""
        learning_rate = 3e-4..1e-2 log
        # A wide bottleneck reconstructs anomalies too.
        latent = 2..64 log
        filters = 8|16|32
        loss = mse|mae|ssim|0.84*ms_ssim+0.16*mae
        shift = 0..0.1
        batch_size = 16|32|64
        {beta}
    """


def monitor(config: Config) -> str:
    """Returns the metric of epochs that tells poor settings early."""
    # A low error of reconstruction does not make anomalies stand out.
    return ""
