"""A release's signatures, called in this process or over the network.

All apps predict through `Served`, so that a server can take the place of a
local release: inputs and outputs have the same names.
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
    """A model whose signatures can be called, local or on a server."""

    @property
    def has_files(self) -> bool:
        """Whether the release's directory is on this machine."""
        ...

    @property
    def release(self) -> Path:
        """The release's directory, for the files beside the model.

        Raises:
            InputError: If a server answers and no copy of its release is here.
        """
        ...

    def __call__(
        self, signature: str = DEFAULT, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Returns a signature's outputs.

        Args:
            signature: The signature's name.
            **inputs: Arrays, or lists of strings or bytes, by the names in the
                signature; the first axis is the batch.

        Returns:
            The outputs as arrays by name; strings are an object array of bytes.
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
        except Exception as error:  # A damaged file can fail in any part.
            line = " ".join(str(error).split())[:300]
            raise InputError(
                f"--release must be a release that TensorFlow can load; "
                f"{release} is damaged: {line}. Copy it again."
            ) from None

    def __call__(
        self, signature: str = DEFAULT, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Returns a signature's outputs; see `Served`."""
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
    """Returns a client of `--server`, else the release of the options.

    Args:
        options: Their `server`, `release` and `export_dir` are used.
        app: The app, which is also the model's name on a server.

    Raises:
        InputError: If there is no such release or a file of it is damaged, if
            the server does not answer, or if it serves another release than
            the copy on this machine.
    """
    if not options.server:
        return Local(export.find(options.release, options.export_dir, app))
    if getattr(options, "variant", ""):
        raise InputError(
            "--variant is a file of a release and cannot be asked of a server; "
            f"received {options.variant!r} with --server."  # type: ignore[attr-defined]
        )
    client = remote.connect(options.server, app)
    copy = Path(options.export_dir) / app / str(client.version)
    if options.release or copy.is_dir():
        path = options.release or str(copy)
        client.use_copy(export.find(path, options.export_dir, app))
    return client
