"""Deleting old releases, never one that may be in use."""

import os
import shutil
from pathlib import Path

from . import models_config
from .rollout import Rollout

# Hidden from servers and exports, as half-written releases are.
DELETED = ".partial-{pid}-deleted-{version}"


def prune(root: Path, state: Rollout, keep: int) -> list[int]:
    """Deletes versions that are neither loaded nor among the newest.

    A version is renamed first: who looks sees it whole or not at all. If this
    is killed in between, the app's next export removes the rest.

    Args:
        root: The app's directory.
        state: What servers load.
        keep: How many of the newest versions stay.

    Returns:
        The versions deleted.
    """
    on_disk = models_config.versions(root)
    gone = [one for one in on_disk[:-keep] if one not in state.loaded]
    for version in gone:
        name = DELETED.format(pid=os.getpid(), version=version)
        hidden = (root / str(version)).rename(root / name)
        shutil.rmtree(hidden, ignore_errors=True)
    return gone
