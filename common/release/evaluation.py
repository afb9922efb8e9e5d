"""The data that evaluate a release: its own test split, or new files.

`--mode=evaluate` without `--dataset`, or with a TFDS name, evaluates the
release on the test split of that data. A file or a folder that `--dataset`
names is new to the release: all of its examples are evaluated, and none is set
aside for training.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import console
from common.data import table_files
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
        trained: The options that the release was trained with; see
            `trained_with`.
        config: The options of the command line. Options that describe the data
            and were not given have the release's values: the same seed gives
            the same split, so no training example is tested.
        whole: The name of the option that names new data, all of which are
            evaluated; "" if the release's own test split is evaluated.
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
        app: The app that the release belongs to.
        data_options: The names of the options that may name new data; the first
            that does is taken.

    Raises:
        InputError: If there is no such release or server.
    """
    model = served.connect(config, app)
    trained = trained_with(model)
    # The given ones first: whether the others are the release's data need not
    # be known then.
    names = sorted(data_options, key=lambda name: not is_given(config, name))
    new_data = (name for name in names if is_whole(config, trained, name))
    return Use(model, trained, as_trained(config, trained), next(new_data, ""))


def trained_with(model: served.Served) -> dict[str, Any]:
    """Returns the options that a release was trained with, by name.

    The key `paths` holds the digests of those options that are paths, and
    `parts` those of each file where an option names several. The result is {}
    if a server answers and no copy of the release is here.
    """
    if not model.has_files:
        return {}
    release_report = report.read(model.release)
    return release_report["config"] | {
        key: release_report.get(key, {}) for key in ("paths", "parts")
    }


def is_whole(
    options: Checked, trained: Mapping[str, Any], option: str = "dataset"
) -> bool:
    """Tells whether an option names files that are not the release's own data.

    Args:
        options: The options of the command line, before `as_trained`.
        trained: The release's options; see `trained_with`.
        option: The name of an option that names data.

    Raises:
        InputError: If some of the files, but not all, are the release's own:
            rows that trained it would judge it.
    """
    named = getattr(options, option)
    if not table_files.exist(named) or is_own(options, trained, option):
        return False
    rule = (
        f"--{option} must name new files, or all that the release was trained "
        "on, whose test split is then evaluated"
    )
    whole = trained.get("paths", {}).get(option)
    if Path(named).is_dir():
        folders = Path(named).resolve().parents
        if whole in map(report.path_digest, folders):
            raise InputError(f"{rule}; {named} is only some of these.")
        return True
    parts = trained.get("parts", {}).get(option, ())
    digests = {report.path_digest(x): x for x in table_files.paths(named)}
    if sorted(digests) == sorted(parts):
        # Other rows would then be those of the test split.
        raise InputError(f"{rule}; {named} is these in another order.")
    for own in (whole, *parts):
        if own in digests:
            raise InputError(f"{rule}; {digests[own]} is only some of these.")
    return True


def is_own(
    options: Checked, trained: Mapping[str, Any], option: str = "dataset"
) -> bool:
    """Tells whether an option names the release's own data, or was not given.

    In both cases the test split of the release's data is evaluated.

    Args:
        options: See `is_whole`.
        trained: See `is_whole`.
        option: See `is_whole`.

    Raises:
        InputError: If `--mode=evaluate` needs the release's data and the option
            was not given, but they are not where the release's report says.
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
        names: The word for them in the error: "classes" or "features".
        dataset: The name of the data.
        received: The data's classes or features, in order.
        released: The release's classes or features, in order.

    Raises:
        InputError: If they differ.
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
    """Returns the JSON object that `--mode=evaluate` prints.

    Args:
        dataset: The name of the data.
        examples: The number of examples that were evaluated.
        split: The part of the data that was evaluated; see
            `splits.Splits.judged`.
        metrics: Figures by name; a figure that is not finite becomes null.
        unknown: The reasons why figures cannot be computed, by name; these
            figures are null.
        notes: Sentences on what was left out or assumed.
    """
    reasons = {
        name: "it is not a finite number"
        for name, value in metrics.items()
        if isinstance(value, float) and not math.isfinite(value)
    } | dict(unknown)
    result: dict[str, Any] = {
        "dataset": dataset,
        "examples": examples,
        "split": split,
        **metrics,
        **dict.fromkeys(reasons),
    }
    if reasons:
        result["not_computed"] = reasons
    return {**result, "notes": list(notes)} if notes else result
