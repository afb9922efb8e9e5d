"""The results of the app: the report's figures, tables and plots."""

import dataclasses
from typing import Any

import numpy as np

from common.report import plots
from common.report.page import Table

from . import baselines, quality
from .protocols import Protocol

SHOWN_USERS = 4
SHOWN_ITEMS = 6


@dataclasses.dataclass(frozen=True)
class Described:
    """A protocol with more notes, as `report.build` takes it.

    Attributes:
        protocol: The data.
        more: Notes of the baselines.
    """

    protocol: Protocol
    more: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the protocol and the further ones."""
        return (*self.protocol.notes, *self.more)

    def describe(self) -> dict[str, Any]:
        """Returns the name and the sizes of the data."""
        return self.protocol.describe()

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Returns {}: interactions have no classes."""
        return {}


def compare(
    protocol: Protocol, wanted: bool, seed: int
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Returns the baselines' rows of the report, and notes.

    Args:
        protocol: The data.
        wanted: Whether baselines are fitted at all.
        seed: The seed of the baselines that are random.
    """
    if not wanted:
        return [], ()
    lists_by_name, notes = baselines.lists(protocol, seed)
    num_items = len(protocol.data.catalogue)
    rows = [
        {
            "name": name,
            "metrics": quality.summarize(
                lists, protocol.test, protocol.train, num_items
            ),
        }
        for name, lists in lists_by_name.items()
    ]
    return rows, tuple(notes)


def summarize(
    lists: dict[str, np.ndarray], protocol: Protocol
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each split, by the names in `lists`."""
    tasks = {"valid": protocol.valid, "test": protocol.test}
    num_items = len(protocol.data.catalogue)
    return {
        name: quality.summarize(
            lists_of_split, tasks[name], protocol.train, num_items
        )
        for name, lists_of_split in lists.items()
    }


def draw(
    result: dict[str, Any], protocol: Protocol, lists: np.ndarray
) -> list[plots.Plot | Table]:
    """Returns the tables and plots of the report.

    Args:
        result: The report.
        protocol: The data.
        lists: The test users' lists, `(users, k) int`.
    """
    users = quality.per_user(lists, protocol.test)
    return [
        plots.size_against_metric(
            result["variants"], "ndcg@10", result["config"]["max_drop"]
        ),
        _against_baselines(result),
        plots.learning_curves(
            result["history"],
            "ndcg@10",
            "Training loss is averaged over the epoch, with dropout; "
            "validation's is that of each user's first held-out item.",
        ),
        Table(
            "By activity",
            "Test users in four groups by the length of their history.",
            ("history", "users", *quality.INTERVALS),
            quality.by_activity(users, protocol.test),
        ),
        examples(protocol, lists),
    ]


def _against_baselines(result: dict[str, Any]) -> plots.Plot:
    """Plots NDCG@10 with intervals, the model's and the baselines'."""
    rows = [
        *((row["name"], row["metrics"]) for row in result["baselines"]),
        (result["config"]["model"], result["metrics"]["test"]),
    ]
    figure = plots.new_figure(6.4, 0.9 + 0.42 * len(rows))
    axes = figure.subplots()
    for place, (_, values) in enumerate(rows):
        colour = plots.ORANGE if place == len(rows) - 1 else plots.BLUE
        axes.plot(values["intervals"]["ndcg@10"], [place] * 2, c=colour, lw=2)
        axes.plot([values["ndcg@10"]], [place], "o", c=colour)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(
        xlabel="test ndcg@10", xlim=(0, None), ylim=(-0.6, len(rows) - 0.4)
    )
    plots.style(axes, "x")
    return plots.Plot(
        "baselines",
        "Against simple recommenders",
        "NDCG@10 over all unseen items, with 95 % bootstrap intervals over "
        "users; same split, same histories. Baselines are fitted to train and "
        "validation.",
        figure,
        "The figures are in the table of simple methods.",
    )


def examples(protocol: Protocol, lists: np.ndarray) -> Table:
    """Returns the histories and lists of a few users, by title."""
    titles = protocol.data.catalogue.titles
    task, rows = protocol.test, []
    places = np.linspace(0, len(task.users) - 1, SHOWN_USERS).astype(int)
    for place in dict.fromkeys(places.tolist()):
        user = task.users[place]
        wanted = set(task.targets[user].tolist())
        last = task.history[user][-SHOWN_ITEMS:][::-1]
        for rank, item in enumerate(lists[place][:SHOWN_ITEMS]):
            before = titles[last[rank]] if rank < len(last) else ""
            rows.append(
                (
                    protocol.data.user_ids[user] if rank == 0 else "",
                    before,
                    rank + 1,
                    titles[item],
                    "yes" if int(item) in wanted else "",
                )
            )
    return Table(
        "A few users",
        "What they took last, the newest first, and what is recommended; "
        "hits are items that were held out.",
        ("user", "took", "rank", "recommended", "hit"),
        rows,
    )
