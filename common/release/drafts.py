"""Releases that are being written: hidden directories, each with a lease.

A lease is a file in the draft that its writer keeps locked. The lock ends with
the process, however the process ends, so another process on any host can tell a
draft that is being written from a draft that a killed export left.

It is assumed that `flock` holds between all hosts that export into a directory.
This is true on local disks and on NFS as Linux mounts it. It is not true where
a mount keeps the locks of each host apart (`nolock`, `local_lock`). There, and
in containers, whose host names differ, a draft of another host is left alone
until it is a day old.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

# How a draft's name begins; servers look only for names that are numbers.
PARTIAL = ".partial-"
# Also marks a release that no export has made known to servers yet.
LEASE = ".draft"
OTHER_HOST_SECONDS = 24 * 3600


def make(root: Path) -> tuple[Path, int]:
    """Makes an empty draft; the caller must hold the export directory's lock.

    Args:
        root: The app's directory.

    Returns:
        The draft's directory, and the file descriptor of its lease: closing it
        gives the draft up.
    """
    draft = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
    draft.chmod(0o755)  # mkdtemp's 0700 would lock a server out.
    lease = os.open(draft / LEASE, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(lease, fcntl.LOCK_EX)
    os.write(lease, socket.gethostname().encode())
    return draft, lease


def remove_stale(root: Path) -> None:
    """Removes the drafts that killed exports left.

    The caller must hold the export directory's lock.

    Args:
        root: The app's directory.
    """
    for draft in root.glob(f"{PARTIAL}*"):
        if _is_stale(draft / LEASE):
            shutil.rmtree(draft, ignore_errors=True)


def _is_stale(lease: Path) -> bool:
    """Tells whether nobody writes a draft any more."""
    try:
        handle = os.open(lease, os.O_RDWR)
    except FileNotFoundError:
        return True  # A killed `apps.releases prune` left it.
    except OSError:
        return False
    with contextlib.closing(os.fdopen(handle, "r")) as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        age = time.time() - os.fstat(handle).st_mtime
        # An empty lease is of a writer that was killed before it wrote its
        # host's name.
        is_ours = file.read() in ("", socket.gethostname())
        return is_ours or age > OTHER_HOST_SECONDS
