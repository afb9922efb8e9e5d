"""The histories of known users in a release, which no signature gives away."""

import json
from pathlib import Path

import numpy as np

from common.mobile import files
from common.options import InputError

from .interactions import Interactions, Ragged

FILE = "assets.extra/histories.npz"  # In a release.


def write(release: Path, data: Interactions) -> None:
    """Writes the users' ids, and the items that each took, the oldest first.

    Args:
        release: The directory of the release that is being written.
        data: The interactions that the release serves its users from.
    """
    ids = json.dumps(data.user_ids).encode()
    path = release / FILE
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path, user_ids=np.frombuffer(ids, np.uint8), values=data.items.values,
        offsets=data.items.offsets,
    )  # fmt: skip


def read(release: Path) -> tuple[dict[str, int], Ragged]:
    """Returns each user's place in the histories, and the histories.

    Raises:
        InputError: If the release has no such file, or a damaged one.
    """
    path = release / FILE
    if not path.is_file():
        raise InputError(
            f"--release must have the users' histories; {path} is missing: an "
            "earlier version made the release. Pass --inputs=history:... or "
            "train it again."
        )
    with files.reading(path), np.load(path, allow_pickle=False) as arrays:
        ids = json.loads(arrays["user_ids"].tobytes())
        histories = Ragged(arrays["values"], arrays["offsets"])
        return {id: place for place, id in enumerate(ids)}, histories
