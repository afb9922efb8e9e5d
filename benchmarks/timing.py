"""The time that a call takes."""

import time
from collections.abc import Callable


def seconds(function: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
