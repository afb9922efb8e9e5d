"""Requests per second and latency of served releases, against bare calls.

For every app in an export directory, its own recorded requests (one row each),
over REST and gRPC, from 1 and from 8 clients, against the bare SavedModel call
in this process in the same run; and how long a first request takes with and
without warm-up.

  python -m benchmarks.serving --export_dir=saved_models
  python -m benchmarks.serving --server=http://host:8501,grpc://host:8500

Without --server it starts the embedded server in a process of its own, on the
same cores as the clients. Over HTTP, one thread sends prepared requests over
all connections. Over gRPC, clients are threads of this process: with several,
they share its interpreter, and the figures are a floor of the server's.
"""

import argparse
import concurrent.futures
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import tensorflow as tf

from benchmarks import http_load
from benchmarks.conformance import cases
from common import runtime
from common.release import (
    json_tensors,
    models_config,
    saved_model,
    served,
    warmup,
)
from common.shared_options import Options

Ask = Callable[[dict[str, np.ndarray]], object]
CONCURRENCY = (1, 8)


def requests(release: Path) -> list[dict[str, np.ndarray]]:
    """Returns a release's recorded requests of one row."""
    recorded = []
    for log in warmup.read(release):
        request = log.predict_log.request
        if request.model_spec.signature_name == "serving_default":
            recorded.append(
                {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            )
    rows = [row for row in recorded if len(next(iter(row.values()))) == 1]
    return rows or recorded


def measure(
    make: Callable[[], Ask],
    rows: list[dict[str, np.ndarray]],
    clients: int,
    seconds: float,
) -> tuple[float, float, float]:
    """Returns requests per second, and the median and 99th percentile in ms.

    Args:
        make: Returns a client of its own for each thread.
        rows: The requests, which each client sends in turn.
        clients: The number of clients that send at a time.
        seconds: The time in which they send.
    """

    def run(ask: Ask) -> list[float]:
        latencies: list[float] = []
        for row in rows[:10]:
            ask(row)
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            ask(rows[len(latencies) % len(rows)])
            latencies.append(time.perf_counter() - start)
        return latencies

    asks = [make() for _ in range(clients)]
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(run, asks))
    latencies = np.concatenate(parts)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return len(latencies) / seconds, float(p50), float(p99)


def measure_http(
    url: str,
    app: str,
    rows: list[dict[str, np.ndarray]],
    clients: int,
    seconds: float,
) -> tuple[float, float, float]:
    """Returns what `measure` does, for a server's REST."""
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port or 80
    path = f"/v1/models/{app}:predict"
    requests = [
        cases.Case("", "POST", path, json_tensors.request(row)).raw(
            parts.netloc
        )
        for row in rows
    ]
    http_load.ask(address, requests, clients, seconds / 10)
    load = http_load.ask(address, requests, clients, seconds)
    if load.errors:
        raise SystemExit(f"{app}: {load.errors[0]}")
    return load.rate, load.percentile(50), load.percentile(99)


def first_request(release: Path, warm: bool) -> float:
    """Returns how many ms the first request to a fresh model takes."""
    fresh = saved_model.Model(release)
    if warm:
        fresh.warm_up()
    (row, *_) = requests(release)
    start = time.perf_counter()
    fresh.predict("", row)
    return (time.perf_counter() - start) * 1000


@contextlib.contextmanager
def embedded(export_dir: str) -> Iterator[tuple[list[str], int]]:
    """Runs the embedded server; gives its two URLs and its process's id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.serve", "--engine=embedded",
         f"--export_dir={export_dir}", "--rest_port=0", "--grpc_port=0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    urls: list[str] = []
    try:
        for line in process.stdout or ():
            url = re.match(r"(?:REST|gRPC) +(\S+)", line)
            if url:
                urls.append(url[1])
            if len(urls) == 2:
                break
        yield urls, process.pid
    finally:
        process.terminate()
        process.communicate(timeout=60)


def table(app: str, release: Path, urls: list[str], seconds: float) -> None:
    """Prints an app's rows."""
    rows = requests(release)
    local = served.Local(release)
    makers: dict[str, Callable[[], Ask]] = {
        "bare call": lambda: lambda row: local(**row)
    }
    for url in urls:

        def remote(url: str = url) -> Ask:
            options = Options(mode="predict", server=url)
            server = served.connect(options, app)
            return lambda row: server(**row)

        if url.startswith("grpc"):
            makers["gRPC"] = remote
    for clients in CONCURRENCY:
        for name, make in makers.items():
            figures = measure(make, rows, clients, seconds)
            _print(app, name, clients, figures)
        for url in urls:
            if not url.startswith("grpc"):
                figures = measure_http(url, app, rows, clients, seconds)
                _print(app, "REST", clients, figures)


def _print(
    app: str, name: str, clients: int, figures: tuple[float, float, float]
) -> None:
    """Prints a row of the table."""
    rate, p50, p99 = figures
    print(
        f"| {app} | {name} | {clients} | {rate:.0f} | {p50:.2f} | {p99:.2f} |",
        flush=True,
    )


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export_dir", default="saved_models")
    parser.add_argument("--server", default="", help="URLs, with commas")
    parser.add_argument("--seconds", type=float, default=4.0)
    flags = parser.parse_args()
    runtime.start(0)
    export_dir = Path(flags.export_dir)
    releases = {
        app: export_dir
        / app
        / str(models_config.versions(export_dir / app)[-1])
        for app in models_config.apps(export_dir)
    }
    given = contextlib.nullcontext((flags.server.split(","), 0))
    with given if flags.server else embedded(flags.export_dir) as (urls, _):
        print("| app | asked by | clients | requests/s | p50 ms | p99 ms |")
        print("|---|---|---|---|---|---|")
        for app, release in releases.items():
            table(app, release, urls, flags.seconds)
    print("\n| app | first request, ms | after warm-up, ms |\n|---|---|---|")
    for app, release in releases.items():
        cold, warm = (
            first_request(release, warm_up) for warm_up in (False, True)
        )
        print(f"| {app} | {cold:.1f} | {warm:.1f} |", flush=True)


if __name__ == "__main__":
    main()
