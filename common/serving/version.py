"""One version of a model in the embedded server, used by any thread."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from common.release.saved_model import Model


class Version(Model):
    """A loaded version, which counts the requests that use it.

    Attributes:
        version: The version's number.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.version = int(path.name)
        self._users = 0
        self._idle = threading.Condition()

    @contextlib.contextmanager
    def used(self) -> Iterator["Version"]:
        """Counts a request as a user of the version while the block runs."""
        with self._idle:
            self._users += 1
        try:
            yield self
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def drain(self, seconds: float) -> bool:
        """Waits until no request uses the version.

        Args:
            seconds: The longest time to wait.

        Returns:
            Whether the last request has ended.
        """
        with self._idle:
            return self._idle.wait_for(lambda: not self._users, seconds)
