"""How long the feature table takes, whole and one transaction at a time.

python -m benchmarks.fraud_features transactions.parquet
"""

import sys
import time

from apps.fraud_detect import features
from apps.fraud_detect.history import History
from apps.fraud_detect.settings import DataOptions
from apps.fraud_detect.transactions import read
from common import runtime

DELAY = 7
STREAMED = 10_000


def main(path: str) -> None:
    """Prints seconds, rates and the process's memory."""
    start = time.perf_counter()
    table, *_ = read(path, DataOptions().column_names(), skip_bad=False)
    print(f"read       {time.perf_counter() - start:6.2f} s  {len(table)} rows")
    for names in (features.NAMES, features.EXTENDED):
        start = time.perf_counter()
        features.compute(table, DELAY, names=names)
        seconds = time.perf_counter() - start
        print(
            f"{len(names)} features {seconds:6.2f} s  "
            f"{runtime.peak_memory_mb():.0f} MB at most"
        )
    first = len(table) - STREAMED
    history = History(table.pick(slice(0, first)), DELAY)
    start = time.perf_counter()
    for row in range(first, len(table)):
        history.add(
            int(table.time[row]),
            table.customers[table.customer[row]].item(),
            table.terminals[table.terminal[row]].item(),
            float(table.amount[row]),
            table.ids[row].item(),
        )
    each = (time.perf_counter() - start) / STREAMED
    print(f"one at a time {1e6 * each:.0f} microseconds each")


if __name__ == "__main__":
    main(sys.argv[1])
