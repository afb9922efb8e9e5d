"""A release's SavedModel, asked as a client asks a server.

Predictions of all apps go through this call, so that a server can take its
place: same names in, same names out.
"""

from pathlib import Path
from typing import Any

import numpy as np
from etils import epy

with epy.lazy_imports():
    import tensorflow as tf

DEFAULT = "serving_default"


class Local:
    """A SavedModel in this process."""

    def __init__(self, release: Path) -> None:
        self._model = tf.saved_model.load(release)

    def __call__(
        self, signature: str = DEFAULT, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Returns what a signature gives.

        Args:
            signature: The signature's name.
            **inputs: Arrays, or lists of strings or bytes, by the names in the
                signature; the first axis is the batch.

        Returns:
            Arrays by name; strings are an object array of bytes.
        """
        specs = self.inputs(signature)
        feed = {
            name: tf.constant(value, specs[name].dtype)
            for name, value in inputs.items()
        }
        found = self._model.signatures[signature](**feed)
        return {name: value.numpy() for name, value in found.items()}

    def inputs(self, signature: str = DEFAULT) -> "dict[str, tf.TensorSpec]":
        """Returns the inputs' names, dtypes and shapes; batch axes are None."""
        _, named = self._model.signatures[signature].structured_input_signature
        return dict(named)
