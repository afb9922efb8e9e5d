"""What is judged with a release: its own test split, or files that are named.

`--mode=evaluate` without `--dataset` uses the release's data and judges by
their test split, as does a TFDS name. A file or a folder that is named is new
to the release: all of it is judged, and nothing of it is set aside to train on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import report, served
from common.options import Checked, is_given


def trained_with(asked: served.Served) -> dict[str, Any]:
    """Returns a release's options; {} where only a server is known."""
    return report.read(asked.release)["config"] if asked.has_files else {}


def is_whole(
    options: Checked, trained: Mapping[str, Any], option: str = "dataset"
) -> bool:
    """Tells whether an option names files that the release has not seen.

    The release's own files are judged by their test split, named or not.

    Args:
        options: Those of the command line, before `as_trained`.
        trained: Those of the release.
        option: Names data.
    """
    named = Path(getattr(options, option))
    if not is_given(options, option) or not named.exists():
        return False
    own = trained.get(option)
    return not own or named.resolve() != Path(own).resolve()


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
        unknown: Why a figure cannot be computed, by name; it is null.
        notes: What was left out or assumed.
    """
    found: dict[str, Any] = {
        "dataset": dataset,
        "examples": examples,
        "split": split,
        **metrics,
        **dict.fromkeys(unknown),
    }
    if unknown:
        found["not_computed"] = dict(unknown)
    return {**found, "notes": list(notes)} if notes else found
