"""Which versions of an app are in service, and where its labels point.

TF Serving sends a request that names no version to the highest version that is
loaded. It refuses a configuration in which a label that clients use moves to a
version that is not loaded yet, and would then never load that version. Hence
the rule of this module: an export loads a version and moves no label; a label
moves only to a version that is loaded.
"""

import dataclasses
from collections.abc import Sequence

from common.options import InputError


@dataclasses.dataclass(frozen=True)
class Rollout:
    """The state of an app.

    Attributes:
        loaded: The versions that servers load, in order.
        stable: The version that the label `stable` names.
        canary: The version that the label `canary` names.
    """

    loaded: tuple[int, ...]
    stable: int
    canary: int

    @property
    def previous(self) -> int | None:
        """The loaded version before stable, to which a roll-back returns."""
        return max(
            (version for version in self.loaded if version < self.stable),
            default=None,
        )

    @property
    def newest(self) -> int:
        """The version that answers requests that name no version."""
        return self.loaded[-1]


def first(version: int) -> Rollout:
    """Returns the state after an app's first release."""
    return Rollout((version,), version, version)


def export(before: Rollout, version: int) -> Rollout:
    """Returns the state after a new release, which is loaded without a label.

    Of the versions that no label names, only the newest is loaded: a slower
    export may be the last to list its version, though that is older.
    """
    newest = max(before.newest, version)
    return _state(before.stable, before.canary, before.previous, newest)


def load(before: Rollout, version: int) -> Rollout:
    """Returns `before` with `version` loaded as well."""
    loaded = tuple(sorted({*before.loaded, version}))
    return dataclasses.replace(before, loaded=loaded)


def promote(before: Rollout, version: int, label: str = "stable") -> Rollout:
    """Returns the state after a label moved to a loaded version.

    The version that was stable stays loaded, for a roll-back. The version of
    canary is never older than that of stable.
    """
    if label == "canary":
        return _state(before.stable, version, before.previous, before.newest)
    previous = before.previous
    if version != before.stable:
        previous = before.stable
    canary = max(before.canary, version)
    return _state(version, canary, previous, before.newest)


def target(before: Rollout, on_disk: Sequence[int]) -> int:
    """Returns the version that a roll-back makes the newest in service.

    If a version newer than stable is in service, a roll-back removes it and
    returns to stable; otherwise it returns to the version before stable.

    Raises:
        InputError: If there is no older version.
    """
    if before.newest > before.stable:
        return before.stable
    older = [version for version in on_disk if version < before.stable]
    if not older:
        raise InputError(
            f"rollback needs a version before {before.stable}; there is none."
        )
    return before.previous or max(older)


def roll_back(before: Rollout, version: int) -> Rollout:
    """Returns the state after a return to a loaded version.

    Newer versions are no longer loaded, so requests that name no version
    return to it as well.
    """
    previous = before.previous if version == before.stable else None
    return _state(version, version, previous, version)


def repair(before: Rollout, on_disk: Sequence[int]) -> Rollout | None:
    """Returns `before` without versions that were deleted by hand.

    A label whose version is gone moves to the nearest older version that is
    loaded. If all loaded versions are gone, the oldest version on disk is
    loaded instead. The result is None if no version is on disk.
    """
    if not on_disk:
        return None
    loaded = [version for version in before.loaded if version in on_disk]
    left = loaded or [min(on_disk)]

    def nearest(version: int) -> int:
        return max((v for v in left if v <= version), default=left[0])

    stable = nearest(before.stable)
    canary = max(nearest(before.canary), stable)
    return Rollout(tuple(sorted({*left, stable, canary})), stable, canary)


def _state(
    stable: int, canary: int, previous: int | None, newest: int
) -> Rollout:
    loaded = {stable, canary, max(newest, stable), previous or stable}
    return Rollout(tuple(sorted(loaded)), stable, canary)
