"""Using a release: lists for users or histories; its quality again."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from apps.recommender import quality
from apps.recommender.protocols import Protocol
from common import predictions, served
from common.config import InputError, Options

OptionsT = TypeVar("OptionsT", bound=Options)

BATCH = 64
HISTORY = "history:"
# What a release's data were made by, so that they can be made again.
DATA_OPTIONS = (
    "dataset", "user_column", "item_column", "time_column", "rating_column",
    "title_column", "features_column", "min_rating", "k_core", "on_bad_input",
    "protocol", "seed",
)  # fmt: skip


class Recommender:
    """A released recommender, asked by ids."""

    def __init__(self, asked: served.Served) -> None:
        if (
            asked.has_files
            and not (asked.release / "mobile" / "items.csv").is_file()
        ):
            raise InputError(
                f"--release must be of recommender; {asked.release} has no "
                "mobile/items.csv."
            )
        self._served = asked

    def users(self, user_ids: list[str]) -> dict[str, np.ndarray]:
        """Returns lists for users, known or not."""
        return self._served(user_id=user_ids)

    def histories(self, histories: list[list[str]]) -> dict[str, np.ndarray]:
        """Returns lists for histories of item ids, oldest first."""
        width = max(1, *(len(one) for one in histories))
        padded = [[""] * (width - len(one)) + one for one in histories]
        return self._served("history", item_ids=padded)


def restored(options: OptionsT, report: dict[str, Any]) -> OptionsT:
    """Returns options with those that the release's data were made by."""
    trained = report["config"]
    # The report has no more of a path than its name.
    known = Path(trained["dataset"]).name
    if options.dataset and Path(options.dataset).name != known:
        raise InputError(
            f"--dataset must be the release's, {trained['dataset']}: only its "
            f"users and items are known; received {options.dataset}."
        )
    same = {name: trained[name] for name in DATA_OPTIONS}
    return options.replace(
        **{**same, "dataset": options.dataset or trained["dataset"]}
    )


def evaluate(recommender: Recommender, protocol: Protocol) -> dict[str, Any]:
    """Returns the metrics on the test split, by the signature `history`.

    Users' own vectors play no part here: `serving_default` leaves out what a
    user took in test as well.
    """
    task, catalogue = protocol.test, protocol.data.catalogue
    place = {one: index for index, one in enumerate(catalogue.ids)}
    lists = []
    for start in range(0, len(task.users), BATCH):
        users = task.users[start : start + BATCH]
        histories = [
            [catalogue.ids[item] for item in task.history[user]]
            for user in users
        ]
        found = recommender.histories(histories)["item_ids"]
        lists.append(
            [[place.get(one.decode(), 0) for one in row] for row in found]
        )
    whole = np.array([row for part in lists for row in part])
    return {
        "dataset": protocol.describe()["name"],
        "users": len(task.users),
        **quality.summarize(whole, task, protocol.train, len(catalogue)),
    }


def predict_users(recommender: Recommender, options: Options) -> None:
    """Prints a list for each user, or for a history; writes them if asked to.

    `--inputs` names users, joined by commas; or a file with one in a line; or
    `history:` and item ids, joined by commas.
    """
    predictions.check_output(options.output)
    text = options.inputs
    if not text:
        raise InputError(
            "--inputs must name users, such as alice,bob, a file with one in "
            "a line, or a history, such as history:item,item; received "
            "nothing."
        )
    if text.startswith(HISTORY):
        items = text.removeprefix(HISTORY).split(",")
        names, found = [text], recommender.histories([items])
    else:
        names = _names(text)
        found = recommender.users(names)
    predictions.show(_rows(names, found), options.output)


def _names(text: str) -> list[str]:
    """Returns the users that `--inputs` names."""
    if not Path(text).is_file():
        return text.split(",")
    try:
        lines = Path(text).read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"--inputs must be UTF-8; {text} is not.") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(f"--inputs must name users; {text} is empty.")
    return names


def _rows(
    names: list[str], found: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Returns one row per recommendation."""
    return [
        {
            "for": name,
            "rank": rank + 1,
            "item_id": found["item_ids"][row, rank].decode(),
            "title": found["titles"][row, rank].decode(),
            "score": float(found["scores"][row, rank]),
        }
        for row, name in enumerate(names)
        for rank in range(found["item_ids"].shape[1])
        if found["item_ids"][row, rank]
    ]
