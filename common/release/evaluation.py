"""What is judged with a release: its own test split, or files that are named.

`--mode=evaluate` without `--dataset` uses the release's data and judges by
their test split, as does a TFDS name. A file or a folder that is named is new
to the release: all of it is judged, and nothing of it is set aside to train on.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.options import Checked, InputError, is_given
from common.report import report

from . import served


def trained_with(asked: served.Served) -> dict[str, Any]:
    """Returns a release's options; {} where only a server is known.

    Beside them, `paths` has the digests of those that are paths.
    """
    if not asked.has_files:
        return {}
    found = report.read(asked.release)
    return found["config"] | {"paths": found.get("paths", {})}


def is_whole(
    options: Checked, trained: Mapping[str, Any], option: str = "dataset"
) -> bool:
    """Tells whether an option names files that are not the release's own.

    Args:
        options: Those of the command line, before `as_trained`.
        trained: Those of the release.
        option: Names data.
    """
    try:
        exists = Path(getattr(options, option)).exists()
    except OSError:  # No name of a file, such as one that is too long.
        exists = False
    return exists and not is_own(options, trained, option)


def is_own(
    options: Checked, trained: Mapping[str, Any], option: str = "dataset"
) -> bool:
    """Tells whether an option names the release's own data, or nothing.

    Those are judged by their test split, named or not.

    Args:
        options: See `is_whole`.
        trained: See `is_whole`.
        option: See `is_whole`.
    """
    own = trained.get(option, "")
    digest = trained.get("paths", {}).get(option)
    if not is_given(options, option):
        if (
            digest
            and options.mode == "evaluate"  # type: ignore[attr-defined]
            and report.path_digest(own) != digest
        ):
            raise InputError(
                f"--{option} must name the release's data, {own}: its report "
                "has only the name, and no such file is here. Pass the path."
            )
        return True
    named = getattr(options, option)
    if digest:
        return report.path_digest(named) == digest
    return bool(own) and Path(named).resolve() == Path(own).resolve()


def describe(
    dataset: str,
    examples: int,
    split: str,
    metrics: Mapping[str, Any],
    unknown: Mapping[str, str],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns what `--mode=evaluate` prints.

    Args:
        dataset: Its name.
        examples: How many were judged.
        split: What was judged; see `splits.Splits.judged`.
        metrics: Figures by name.
        unknown: Why a figure cannot be computed, by name; it is null, as is
            one that is not finite.
        notes: What was left out or assumed.
    """
    reasons = {
        name: "it is not a finite number"
        for name, value in metrics.items()
        if isinstance(value, float) and not math.isfinite(value)
    } | dict(unknown)
    found: dict[str, Any] = {
        "dataset": dataset,
        "examples": examples,
        "split": split,
        **metrics,
        **dict.fromkeys(reasons),
    }
    if reasons:
        found["not_computed"] = reasons
    return {**found, "notes": list(notes)} if notes else found
