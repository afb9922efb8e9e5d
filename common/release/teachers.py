"""A release as a teacher: its network, read as a file of somebody else's."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from common.mobile import files
from common.options import InputError, quote
from common.report import report
from common.teacher_options import TeacherOptions

from . import export, networks


@dataclasses.dataclass(frozen=True)
class TeacherRelease:
    """A release that teaches.

    Attributes:
        path: Its directory.
        record: The content of its `report.json`.
        network: The Keras model of its `model.keras`.
    """

    path: Path
    record: Mapping[str, Any]
    network: keras.Model

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuses a teacher of other classes than those of the data.

        Args:
            class_names: The classes of the data to learn from, in order.

        Raises:
            InputError: If they differ.
        """
        app = self.record["app"]
        taught = files.read_names(self.path / "mobile" / files.LABELS, app)
        check_same("classes", taught, class_names, self.path)

    def notes(
        self, options: TeacherOptions, data: report.Described
    ) -> list[str]:
        """Returns a note if the release was trained on other splits.

        Args:
            options: Give the seed of this run's splits.
            data: The data of this run.
        """
        here, there = data.describe(), self.record.get("dataset")
        seed = self.record.get("seed")
        if (there, seed) == (here, options.seed):
            return []
        name = there.get("name") if isinstance(there, dict) else there
        return [
            f"the teacher was trained on other splits ({name}, seed {seed}; "
            f"here {here['name']}, seed {options.seed}): it may have learnt "
            "examples that validate or test here, and the figures may then be "
            "too good"
        ]


def check_same(
    names: str, taught: Sequence[Any], own: Sequence[Any], path: Path
) -> None:
    """Refuses a teacher whose classes, words or the like are not the data's.

    Args:
        names: The word for them in the error, such as "classes".
        taught: Those of the teacher, in order.
        own: Those of the data to learn from, in order.
        path: The teacher's release.

    Raises:
        InputError: If they differ.
    """
    if tuple(taught) != tuple(own):
        raise InputError(
            f"--teacher must have the {names} of the data, "
            f"{quote(', '.join(map(str, own)))}; {path} has "
            f"{quote(', '.join(map(str, taught)))}."
        )


def load(options: TeacherOptions, app: str) -> TeacherRelease:
    """Reads the release that `--teacher` names.

    No code that its files may hold is run.

    Args:
        options: Their `teacher` is the release's directory.
        app: The app that the release must be of.

    Raises:
        InputError: If there is no such release, or if it is damaged or of
            another app.
    """
    path = export.find(options.teacher, "", app, option="teacher")
    content = report.read(path)
    if content.get("app") != app:
        raise InputError(
            f"--teacher must be a release of {app}; {path} is of "
            f"{content.get('app')}."
        )
    network = networks.load(path, "teacher")
    return TeacherRelease(path, content, network)
