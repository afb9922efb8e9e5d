"""The float network of a release, which has gradients and can be trained on."""

from pathlib import Path

import keras

from common.options import InputError
from common.training import inference


def load(release: Path, option: str = "release") -> keras.Model:
    """Reads a release's `model.keras` as a file of somebody else's.

    No code that it may hold is run.

    Args:
        release: The release's directory.
        option: The name of the option that named the release.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        network = keras.saving.load_model(
            release / "model.keras", compile=False, safe_mode=True
        )
    # A damaged file can raise any error in any part of Keras.
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        raise InputError(
            f"--{option} must be a release whose model.keras Keras can load; "
            f"that of {release} cannot be: {line}"
        ) from None
    inference.check_finite(network, f"--{option}={release}")
    return network
