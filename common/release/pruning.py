"""Deletes old releases, but never a release that may be in use."""

import os
import shutil
from pathlib import Path

from . import models_config
from .rollout import Rollout

# Hidden from servers and exports, as half-written releases are.
DELETED = ".partial-{pid}-deleted-{version}"


def prune(root: Path, state: Rollout, keep: int) -> list[int]:
    """Deletes versions that are neither loaded nor among the newest.

    A version is renamed first, so that nobody sees half a release. If the
    process is killed before the files are deleted, the app's next export
    deletes them.

    Args:
        root: The app's directory.
        state: The app's state, which says what servers load.
        keep: How many of the newest versions stay.

    Returns:
        The deleted versions.
    """
    on_disk = models_config.versions(root)
    deleted = [
        version for version in on_disk[:-keep] if version not in state.loaded
    ]
    for version in deleted:
        name = DELETED.format(pid=os.getpid(), version=version)
        hidden = (root / str(version)).rename(root / name)
        shutil.rmtree(hidden, ignore_errors=True)
    return deleted
