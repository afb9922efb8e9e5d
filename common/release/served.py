"""A release's signatures, asked in this process or over the network.

Predictions of all apps go through such a call, so that a server can take the
release's place: same names in, same names out.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from common.options import InputError
from common.shared_options import Options

from . import export, remote
from .saved_model import DEFAULT, Model


class Served(Protocol):
    """What answers, wherever it is."""

    @property
    def has_files(self) -> bool:
        """Whether the release's directory is on this machine."""
        ...

    @property
    def release(self) -> Path:
        """The release's directory, for the files beside the model.

        Raises:
            InputError: If a server answers whose release is not here as well.
        """
        ...

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
        ...

    def inputs(self, signature: str = DEFAULT) -> dict[str, tf.TensorSpec]:
        """Returns the inputs' names, dtypes and shapes; batch axes are None."""
        ...


class Local:
    """A SavedModel in this process."""

    has_files = True

    def __init__(self, release: Path) -> None:
        self.release = release
        try:
            self._model = Model(release)
        except Exception as error:  # A damaged one can fail in any part.
            line = " ".join(str(error).split())[:300]
            raise InputError(
                f"--release must be a release that TensorFlow can load; "
                f"{release} is damaged: {line}. Copy it again."
            ) from None

    def __call__(
        self, signature: str = DEFAULT, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Returns what a signature gives; see `Served`."""
        dtypes = self._model.dtypes(signature)
        feed = {
            name: np.asarray(value, dtypes[name])
            for name, value in inputs.items()
        }
        return self._model.predict(signature, feed)

    def inputs(self, signature: str = DEFAULT) -> dict[str, tf.TensorSpec]:
        """Returns the inputs' names, dtypes and shapes; batch axes are None."""
        return self._model.inputs(signature)


def connect(options: Options, app: str) -> Served:
    """Returns what `--server` names, else the release that the options name.

    Args:
        options: Gives `server`, `release` and `export_dir`.
        app: The app, which is also the model's name on a server.

    Raises:
        InputError: If there is no such release or a file of it is damaged, if
            no such server answers, or if it serves another release than the
            copy on this machine.
    """
    if not options.server:
        return Local(export.find(options.release, options.export_dir, app))
    if getattr(options, "variant", ""):
        raise InputError(
            "--variant is a file of a release and cannot be asked of a server; "
            f"received {options.variant!r} with --server."  # type: ignore[attr-defined]
        )
    asked = remote.connect(options.server, app)
    copy = Path(options.export_dir) / app / str(asked.version)
    if options.release or copy.is_dir():
        path = options.release or str(copy)
        asked.use_copy(export.find(path, options.export_dir, app))
    return asked
