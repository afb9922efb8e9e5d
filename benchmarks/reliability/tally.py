"""What a campaign is asked for, and what it counts."""

import collections
import dataclasses
import random
import time
from collections.abc import Iterator
from pathlib import Path

# Of a message, in a failure's line.
SHOWN = 160


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        campaign: Its name.
        folder: Where it may write.
        seed: Fixes every case.
        scale: Part of the cases to run.
        case: The only case to run, if any.
    """

    campaign: str
    folder: Path
    seed: int
    scale: float = 1.0
    case: int | None = None

    def count(self, whole: int) -> int:
        """Returns how many of `whole` cases to run, one at least."""
        return max(1, round(whole * self.scale))

    def cases(self, whole: int) -> Iterator[tuple[int, random.Random]]:
        """Yields the cases' numbers, each with a generator of its own.

        What a case does depends on the seed and its number only.
        """
        chosen = range(self.count(whole))
        if self.case is not None:
            chosen = range(self.case, self.case + 1)
        for case in chosen:
            yield case, random.Random(f"{self.seed}:{self.campaign}:{case}")


class Tally:
    """Counts a campaign's cases and failures.

    Attributes:
        cases: Cases that were run.
        failures: How often each kind was met, of those that a campaign looks
            for: zeros are shown as well.
        notes: Other figures for the line.
    """

    def __init__(self, plan: Plan, *kinds: str) -> None:
        self._plan = plan
        self.cases = 0
        self.failures = collections.Counter(dict.fromkeys(kinds, 0))
        self.notes: collections.Counter[str] = collections.Counter()
        self._start = time.monotonic()

    def fail(self, kind: str, case: int, subject: str, message: str) -> None:
        """Counts a failure, and prints how to see it again."""
        self.failures[kind] += 1
        message = " ".join(message.split())[:SHOWN]
        print(
            f"FAILED {self._plan.campaign} --seed={self._plan.seed} "
            f"--case={case}: {kind}: {subject}: {message}",
            flush=True,
        )

    def line(self) -> str:
        """Returns the campaign's one line."""
        counts = [f"{kind} {n:,}" for kind, n in self.failures.items()]
        notes = [f"{kind} {n:,}" for kind, n in self.notes.items()]
        seconds = time.monotonic() - self._start
        return (
            f"{self._plan.campaign}: {self.cases:,} cases in {seconds:,.0f} s "
            f"(seed {self._plan.seed}): {', '.join(counts)}"
            + (f"; {', '.join(notes)}" if notes else "")
        )
