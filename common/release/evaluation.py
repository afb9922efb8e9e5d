"""What is judged with a release: its own test split, or files that are named.

`--mode=evaluate` without `--dataset` uses the release's data and judges by
their test split, as does a TFDS name. A file or a folder that is named is new
to the release: all of it is judged, and nothing of it is set aside to train on.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import console
from common.options import Checked, InputError, as_trained, is_given
from common.report import report, strict_json
from common.shared_options import Options

from . import served

OptionsT = typing.TypeVar("OptionsT", bound=Options)


@dataclasses.dataclass(frozen=True)
class Use(typing.Generic[OptionsT]):
    """A release, and the options that it is used with.

    Attributes:
        served: The model that answers.
        trained: The options that it was trained with; see `trained_with`.
        config: The options of the command line; the release's where they say
            what the data are and were not given. The same seed gives the same
            split: nothing that was trained on is tested.
        whole: The option that names new data, all of which are judged; "" where
            the release's own test split is.
    """

    served: served.Served
    trained: Mapping[str, Any]
    config: OptionsT
    whole: str


def use(
    config: OptionsT, app: str, data_options: Sequence[str] = ("dataset",)
) -> Use[OptionsT]:
    """Connects to the release, or the server, that the options name.

    Args:
        config: The options of the command line.
        app: The app whose releases they are.
        data_options: The options that may name new data, the first that does
            wins.
    """
    model = served.connect(config, app)
    trained = trained_with(model)
    whole = [one for one in data_options if is_whole(config, trained, one)]
    return Use(
        model, trained, as_trained(config, trained), next(iter(whole), "")
    )


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


def check_names(
    names: str, dataset: str, received: Sequence[str], released: Sequence[str]
) -> None:
    """Refuses data whose classes or features are not the release's.

    Args:
        names: What they are: "classes" or "features".
        dataset: The name of the data.
        received: Those of the data, in order.
        released: Those of the release, in order.
    """
    if tuple(received) != tuple(released):
        raise InputError(
            f"--dataset must have the release's {names}, "
            f"{', '.join(released)}; {dataset} has {', '.join(received)}."
        )


def show(result: Mapping[str, Any]) -> None:
    """Prints what `describe` returned, as JSON."""
    console.get().print(strict_json.dumps(result))


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
