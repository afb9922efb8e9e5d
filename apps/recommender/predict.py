"""Using a release: lists for users or histories; its quality again."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import console
from common.data import dialects, tables, text_files
from common.data.splits import ALL
from common.options import InputError, quote
from common.release import evaluation, predictions, served

from . import quality, train
from .config import APP, Config
from .protocols import Protocol

BATCH = 64
HISTORY = "history:"
WHOLE = re.compile(r"[0-9]+(\.0)?")
SHOWN = 10  # Unknown users that are named.
# Outputs of `serving.Server`: whether a user is known, and how many items of a
# history are not.
KNOWN, UNKNOWN_ITEMS = "known", "unknown_items"


def run(config: Config) -> None:
    """Predicts, or evaluates, with a release."""
    use = evaluation.use(config, APP)
    recommender = Recommender(use.served)
    if config.mode == "predict":
        predict_users(recommender, use.config)
        return
    check_dataset(use.config.dataset, use.trained)
    known = recommender.item_ids() if use.whole else ()
    protocol = train.load_data(use.config, known)
    evaluation.show(evaluate(recommender, protocol))


class Recommender:
    """A released recommender, called with ids."""

    def __init__(self, model: served.Served) -> None:
        if (
            model.has_files
            and not (model.release / "mobile" / "items.csv").is_file()
        ):
            raise InputError(
                f"--release must be of recommender; {model.release} has no "
                "mobile/items.csv."
            )
        self._served = model

    def item_ids(self) -> list[str]:
        """Returns the ids of the items, in the order of their numbers."""
        path = self._served.release / "mobile" / "items.csv"
        with path.open(encoding="utf-8", newline="") as file:
            return [row["item_id"] for row in csv.DictReader(file)]

    def users(self, user_ids: list[str]) -> dict[str, np.ndarray]:
        """Returns the lists of users, known or not; see `serving.Server`."""
        return self._served(user_id=user_ids)

    def histories(self, histories: list[list[str]]) -> dict[str, np.ndarray]:
        """Returns the lists for histories of item ids, oldest first."""
        width = max(1, *(len(history) for history in histories))
        padded = [
            [""] * (width - len(history)) + history for history in histories
        ]
        return self._served("history", item_ids=padded)


def check_dataset(dataset: str, trained: Mapping[str, Any]) -> None:
    """Raises `InputError` for a TFDS set that is not the release's own."""
    if dataset != trained["dataset"] and not tables.is_table(dataset):
        raise InputError(
            f"--dataset must be the release's, {trained['dataset']}, or a "
            f"table of its items; received {dataset}."
        )


def evaluate(recommender: Recommender, protocol: Protocol) -> dict[str, Any]:
    """Returns the metrics on the test split, which may be all data.

    The lists come from the signature `history`, without the users' own vectors:
    the lists of `serving_default` leave out the test items, which the user took
    too.
    """
    task, catalogue = protocol.test, protocol.data.catalogue
    num_items, unknown = len(catalogue), {}
    if protocol.judged == ALL:
        num_items = len(recommender.item_ids())
        unknown = dict.fromkeys(
            (f"popularity@{k}" for k in quality.CUTOFFS),
            "what the release was trained on is not among these data",
        )
    place = {id: index for index, id in enumerate(catalogue.ids)}
    lists = []
    for start in range(0, len(task.users), BATCH):
        users = task.users[start : start + BATCH]
        histories = [
            [catalogue.ids[item] for item in task.history[user]]
            for user in users
        ]
        item_ids = recommender.histories(histories)["item_ids"]
        lists += [[place.get(id.decode(), 0) for id in row] for row in item_ids]
    return evaluation.describe(
        protocol.describe()["name"],
        task.num_examples,
        protocol.judged,
        {
            "users": len(task.users),
            **quality.summarize(
                np.array(lists), task, protocol.train, num_items
            ),
        },
        unknown,
        protocol.notes,
    )


def predict_users(recommender: Recommender, config: Config) -> None:
    """Prints a list for each user, or for a history; `--output` writes them.

    `--inputs` names users, joined by commas; or a file with a user in each
    line; or `history:` and item ids, joined by commas.
    """
    predictions.check_output(config.output)
    is_history, names = read_inputs(config.inputs, config.encoding)
    unknown: list[str] = []
    if is_history:
        rows = _rows_of_history(recommender, config.inputs, names, unknown)
    else:
        rows = _rows_of_users(recommender, names, unknown)
    predictions.show(rows, config.output, config.raw_output)
    for line in unknown:
        console.get().print(line)


def read_inputs(text: str, encoding: str) -> tuple[bool, list[str]]:
    """Returns whether `--inputs` is a history, and its items or the users.

    Args:
        text: The option's value.
        encoding: See `read_users`.

    Raises:
        InputError: If it is empty, or names a file that cannot be read.
    """
    if not text:
        raise InputError(
            "--inputs must name users, such as alice,bob, a file with one in "
            "a line, or a history, such as history:item,item; received "
            "nothing."
        )
    is_history = text.startswith(HISTORY)
    names = (
        _parted(text.removeprefix(HISTORY))
        if is_history
        else read_users(text, encoding)
    )
    return is_history, _as_in_tables(names)


def _rows_of_history(
    recommender: Recommender, text: str, items: list[str], unknown: list[str]
) -> Iterator[dict[str, Any]]:
    """Yields the recommendations for a history; see `_rows_of_users`."""
    answer = recommender.histories([items])
    yield from _rows([text], answer)
    num = int(answer.get(UNKNOWN_ITEMS, [0])[0])
    if num:
        unknown.append(
            f"{num:,} of {len(items):,} items are unknown and were passed over"
            + ("; the most popular items are given." * (num == len(items)))
        )


def _rows_of_users(
    recommender: Recommender, names: list[str], unknown: list[str]
) -> Iterator[dict[str, Any]]:
    """Yields the recommendations for users, served `BATCH` users at a time.

    A sentence on unknown users, if there are any, is added to `unknown`.
    """
    strangers: list[str] = []
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        answer = recommender.users(batch)
        known = answer.get(KNOWN, np.ones(len(batch), bool))
        strangers += [batch[place] for place in np.flatnonzero(~known)]
        yield from _rows(batch, answer)
    if strangers:
        shown = quote(", ".join(strangers[:SHOWN]), 300)[1:-1]
        more = len(strangers) - SHOWN
        unknown.append(
            f"{len(strangers):,} of {len(names):,} users are unknown and get "
            f"the most popular items: {shown}"
            + (f" and {more:,} more" if more > 0 else "")
        )


def _parted(text: str) -> list[str]:
    """Returns the ids in a text, which are joined by commas."""
    return [part.strip() for part in text.split(",")]


def _as_in_tables(names: list[str]) -> list[str]:
    """Returns ids without their `.0`, if all are whole numbers.

    The ids of a table are read so; see `data.read_table`.
    """
    if all(map(WHOLE.fullmatch, names)):
        return [name.removesuffix(".0") for name in names]
    return names


def read_users(text: str, encoding: str) -> list[str]:
    """Returns the users that `--inputs` names.

    Args:
        text: The option's value.
        encoding: That of a file which is not UTF-8 and has no mark; "" if it is
            not known.
    """
    if not text_files.is_file(text):
        if text.lower().endswith(text_files.FILE_SUFFIXES + tables.SUFFIXES):
            raise InputError(
                f"--inputs must be users, or a file that exists; received "
                f"{quote(text)}. Put a user of that name into a file."
            )
        return _parted(text)
    lines = text_files.lines(_utf_8(Path(text), encoding))
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(f"--inputs must name users; {text} is empty.")
    return names


def _utf_8(path: Path, encoding: str) -> bytes:
    """Returns a file's text as UTF-8; see `read_users`."""
    content = path.read_bytes()
    start = content[: dialects.SNIFFED_BYTES]
    for name in (dialects.encoding_of(path, start), encoding):
        try:
            return content.decode(name or "utf-8").encode()
        except UnicodeDecodeError as error:
            wrong = error
    bad = content[wrong.start : wrong.end + 2]
    raise InputError(
        f"--inputs must be {encoding or 'UTF-8'}; {path} is not. "
        f"{dialects.advice(bad)}"
    )


def _rows(
    names: list[str], answer: dict[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Yields one row per recommendation.

    Releases that were made before these outputs have no `KNOWN` and no
    `UNKNOWN_ITEMS`.
    """
    more = [key for key in (KNOWN, UNKNOWN_ITEMS) if key in answer]
    for row, name in enumerate(names):
        for rank in range(answer["item_ids"].shape[1]):
            if answer["item_ids"][row, rank]:
                yield {
                    "for": name,
                    "rank": rank + 1,
                    "item_id": answer["item_ids"][row, rank].decode(),
                    "title": answer["titles"][row, rank].decode(),
                    "score": float(answer["scores"][row, rank]),
                    **{key: answer[key][row].item() for key in more},
                }
