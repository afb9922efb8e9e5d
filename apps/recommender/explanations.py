"""Explanations: which items of a history moved each recommendation.

Each item is left out in turn, and the recommended items are scored again: the
effect of an item is what their scores lose without it.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.console import track
from common.explanation import page
from common.release import evaluation, networks

from . import histories, mobile, predict
from .config import APP, Config
from .interactions import PADDING
from .ranking import Ranker

BATCH = 64
SHOWN = 5  # The items with the greatest effects, of each recommendation.
NOTES = (
    page.OF_THE_FLOAT_MODEL,
    "The effect of an item is what the score of the recommendation loses if "
    "the item is left out of the history; an older item may then move into the "
    "part of the history that the model looks at. The vector of a known user "
    "stays. Effects of several items do not add up to the score, unless the "
    "model is linear. Each recommendation shows the items with the greatest "
    f"effects, at most {SHOWN}.",
)
# A name, the items of its history, the oldest first, its number as a user and
# the signature's answer.
Request = tuple[str, list[int], int, dict[str, np.ndarray]]


class Explainer:
    """Leaves the items of a history out, one at a time."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker

    def __call__(
        self, history: Sequence[int], user: int, items: Sequence[int]
    ) -> np.ndarray:
        """Returns the effect of each item of a history on other items' scores.

        Args:
            history: Item indices, at least one, the oldest first.
            user: The number of the user; 0 if the user is unknown.
            items: The indices of the recommended items.

        Returns:
            `(len(items), len(history)) float32`. Items that are too old for
            the model to look at have 0.
        """
        num = len(history)
        whole = np.array(history, np.int32)
        looked_at = range(max(0, num - self._ranker.length), num)
        rows = [whole]
        for place in looked_at:
            rows.append(np.insert(np.delete(whole, place), 0, PADDING))
        scores = np.concatenate(
            [
                self._ranker.scores(
                    tf.constant(np.stack(rows[start : start + BATCH])),
                    tf.constant(items, tf.int32),
                    user,
                ).numpy()
                for start in range(0, len(rows), BATCH)
            ]
        )
        effects = np.zeros((len(items), num), np.float32)
        effects[:, looked_at.start :] = (scores[0] - scores[1:]).T
        return effects


def run(config: Config) -> None:
    """Explains the lists of users, or of a history, as `--inputs` says."""
    page.check(config)
    is_history, names = predict.read_inputs(config.inputs, config.encoding)
    use = evaluation.use(config, APP)
    recommender = predict.Recommender(use.served)
    ids, titles = _catalogue(use.served.release)
    place = {id: index for index, id in enumerate(ids) if index}
    requests: Iterator[Request]
    if is_history:
        known = [place[id] for id in names if id in place]
        answer = recommender.histories([names])
        requests = iter([(config.inputs, known, 0, answer)])
    else:
        requests = _of_users(recommender, names, use.served.release)
    explainer = Explainer(Ranker(networks.load(use.served.release)))
    page.show(
        config,
        "Why these items were recommended",
        NOTES,
        (
            _explained(explainer, request, place, lambda i: (ids[i], titles[i]))
            for request in requests
        ),
    )


def _catalogue(release: Path) -> tuple[list[str], list[str]]:
    """Returns the ids and the titles of the items; the padding is the first."""
    ids, titles = [""], [""]
    with (release / "mobile" / mobile.ITEMS).open(
        encoding="utf-8", newline=""
    ) as file:
        for row in csv.DictReader(file):
            ids.append(row["item_id"])
            titles.append(row["title"])
    return ids, titles


def _of_users(
    recommender: predict.Recommender, names: Sequence[str], release: Path
) -> Iterator[Request]:
    """Yields the requests of users; an unknown one has no history."""
    users, taken = histories.read(release)
    for name in track(names, "explaining", len(names)):
        user = users.get(name)
        items = [] if user is None else taken[user].tolist()
        number = 0 if user is None else user + 1
        yield name, items, number, recommender.users([name])


def _explained(
    explainer: Explainer,
    request: Request,
    place: dict[str, int],
    describe: Callable[[int], tuple[str, str]],
) -> page.Example:
    """Returns the explanation of a list.

    Args:
        explainer: Gives the effects.
        request: The list, and what it was made of.
        place: The index of each item's id.
        describe: From an item's index to its id and its title.
    """
    name, history, user, answer = request
    listed = [id.decode() for id in answer["item_ids"][0] if id]
    effects = np.zeros((len(listed), 0), np.float32)
    if history:
        items = [place[id] for id in listed]
        effects = explainer(history, user, items)
    rows: list[dict[str, Any]] = []
    lines = [["rank", "item", "score", "because of"]]
    for rank, (id, effect) in enumerate(zip(listed, effects, strict=True)):
        title = answer["titles"][0, rank].decode()
        score = float(answer["scores"][0, rank])
        reasons = [
            (*describe(history[index]), float(effect[index]))
            for index in np.argsort(-np.abs(effect), kind="stable")[:SHOWN]
            if effect[index]
        ]
        fixed = {"for": name, "rank": rank + 1, "item_id": id, "title": title,
                 "score": score}  # fmt: skip
        rows += [
            {**fixed, "because": because, "because_title": why, "effect": value}
            for because, why, value in reasons or [("", "", 0.0)]
        ]
        because = "; ".join(
            f"{why or x} {value:+.4f}" for x, why, value in reasons
        )
        lines.append([str(rank + 1), title or id, f"{score:.4f}", because])
    facts = {
        "items in the history": len(history),
        "the list": "moved by the history" if history else "the most popular",
    }
    return page.Example(name, rows, facts, table=lines)
