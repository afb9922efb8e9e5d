"""Protocols: they split interactions for fitting, choosing and reporting."""

import dataclasses
import zlib
from typing import Any

import numpy as np

from common import console
from common.data import dates
from common.data.splits import ALL, TEST
from common.options import InputError

from .interactions import Interactions, Ragged, ragged

TEST_SHARE = 0.25
VALID_SHARE = 0.1  # Of the interactions that are not in test.
# A user needs an interaction each for fitting, choosing and reporting.
FEWEST = 3
# Seconds of 1973: smaller numbers are more likely the numbers of days or rows.
FIRST_DATE = 1e8


@dataclasses.dataclass(frozen=True)
class Task:
    """The task of a model: given the users' histories, find their targets.

    Attributes:
        users: `(num,) int64`, the users who have targets.
        history: For every user, the items taken before the targets.
        targets: For every user, the items to find; the lists of `users` are not
            empty.
    """

    users: np.ndarray
    history: Ragged
    targets: Ragged

    @property
    def num_examples(self) -> int:
        """The number of interactions to find."""
        return len(self.targets.values)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Interactions, split.

    Attributes:
        name: One of `config.PROTOCOLS`.
        data: All interactions.
        train: The lists that models are fitted to.
        valid: The task for every choice; its histories are `train`.
        test: The task for reporting; its histories are `train` and the targets
            of `valid`.
        judged: See `splits.Splits.judged`.
    """

    name: str
    data: Interactions
    train: Ragged
    valid: Task
    test: Task
    judged: str = TEST

    @property
    def notes(self) -> tuple[str, ...]:
        """Repairs of the data, and the number of users without a test item."""
        untested = len(self.train) - len(self.test.users)
        if not untested:
            return self.data.notes
        return (*self.data.notes, f"{untested:,} users have no test item")

    def digest(self) -> str:
        """Returns 8 hex digits that name the interactions and their split."""
        text = repr((self.name, self.data.digest(), len(self.train.values)))
        return f"{zlib.crc32(text.encode()):08x}"

    def announce(self) -> None:
        """Prints what was read, what is left out, and what the target is."""
        sizes = self.describe()
        lines = [
            f"{self.data.name}: {sizes['users']:,} users, {sizes['items']:,} "
            f"items, {len(self.data.items.values):,} interactions"
            + (f", from {sizes['times']}" if "times" in sizes else ""),
            f"{self.name}: {sizes['train']:,} train, {sizes['valid']:,} valid, "
            f"{sizes['test']:,} test; the target is the held-out item, ranked "
            "among all that the user has not taken",
            *(f"note: {note}" for note in self.notes),
        ]
        for line in lines:
            console.get().print(line)

    def describe(self) -> dict[str, Any]:
        """Returns the name and the sizes, as `report.json` has them."""
        span = self.data.span
        return {
            "name": f"{self.data.name}, {self.name}",
            "train": len(self.train.values),
            "valid": self.valid.num_examples,
            "test": self.test.num_examples,
            "users": len(self.train),
            "items": len(self.data.catalogue),
            "protocol": self.name,
            **({"times": between(*span)} if span else {}),
        }


def between(first: float, last: float) -> str:
    """Returns two times for a reader: as dates, if they can be dates."""
    values = dates.seconds(np.array([first, last], float))
    if not all(FIRST_DATE <= value < dates.LAST_SECOND for value in values):
        return f"{first:g} to {last:g}"
    days = values.astype("datetime64[s]").astype("datetime64[D]")
    return f"{days[0]} to {days[1]}"


def split(data: Interactions, name: str, seed: int = 0) -> Protocol:
    """Splits interactions by a protocol.

    Args:
        data: Clean interactions.
        name: `leave_last_out` tests each user's last interaction and validates
            with the one before it; `random_75_25` tests a random quarter of
            each user's, and validates with a tenth of the rest. Users with
            fewer than `FEWEST` interactions are only trained on.
        seed: The seed of the random split.

    Raises:
        InputError: If no user has `FEWEST` interactions.
    """
    ranks = _ranks(data.items, name, seed)
    size = data.items.lengths[data.items.rows]
    test, valid = _num_test(size, name), np.ones_like(size)
    if name != "leave_last_out":
        rest = np.round(VALID_SHARE * (size - test))
        valid = np.maximum(rest, 1).astype(int)
    in_test = (ranks < test) & (size >= FEWEST)
    in_valid = (ranks < test + valid) & (size >= FEWEST) & ~in_test
    train = _where(data.items, ~in_test & ~in_valid)
    before = _where(data.items, ~in_test)
    valid_task, test_task = (
        _task(history, _where(data.items, in_targets))
        for history, in_targets in ((train, in_valid), (before, in_test))
    )
    if not len(test_task.users):
        raise InputError(
            f"--dataset must have users with at least {FEWEST} interactions; "
            f"{data.name} has none."
        )
    return Protocol(name, data, train, valid_task, test_task)


def for_evaluation(data: Interactions, name: str, seed: int = 0) -> Protocol:
    """Returns interactions that only judge a release; `train` is empty.

    Every user with two interactions or more is tested; the interactions that
    are no targets are the history.

    Args:
        data: Clean interactions.
        name: See `split`.
        seed: See `split`.

    Raises:
        InputError: If no user has two interactions.
    """
    size = data.items.lengths[data.items.rows]
    in_test = _ranks(data.items, name, seed) < _num_test(size, name)
    in_test &= size > 1
    history, targets, empty = (
        _where(data.items, rows)
        for rows in (~in_test, in_test, np.zeros_like(in_test))
    )
    if not len(targets.values):
        raise InputError(
            f"--dataset must have users with at least 2 interactions; "
            f"{data.name} has none."
        )
    test, valid = _task(history, targets), _task(empty, empty)
    return Protocol(name, data, empty, valid, test, ALL)


def refitted(protocol: Protocol) -> Protocol:
    """Returns the protocol with validation's interactions among train's."""
    return dataclasses.replace(protocol, train=protocol.test.history)


def _num_test(size: np.ndarray, name: str) -> np.ndarray:
    """Returns the number of a user's interactions that are tested.

    Args:
        size: For each interaction, the number that its user has, `(num,)
            int64`.
        name: See `split`.
    """
    if name == "leave_last_out":
        return np.ones_like(size)
    return np.maximum(np.round(TEST_SHARE * size), 1).astype(int)


def _ranks(items: Ragged, name: str, seed: int) -> np.ndarray:
    """Returns the place of each interaction in its user's list.

    Place 0 is held out first: from the end of the list, or at random.
    """
    rows = items.rows
    if name == "leave_last_out":
        return items.offsets[rows + 1] - 1 - np.arange(len(rows))
    order = np.lexsort((np.random.default_rng(seed).random(len(rows)), rows))
    ranks = np.empty(len(rows), int)
    ranks[order] = np.arange(len(rows)) - items.offsets[rows]
    return ranks


def _where(items: Ragged, keep: np.ndarray) -> Ragged:
    """Returns the lists with only the values where `keep` is true."""
    return ragged(items.rows[keep], items.values[keep], len(items))


def _task(history: Ragged, targets: Ragged) -> Task:
    """Returns the task for the users who have targets."""
    return Task(np.flatnonzero(targets.lengths), history, targets)
