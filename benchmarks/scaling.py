"""What a step costs with 1, 2, 4 workers here, and what 8 to 64 would give.

  python -m benchmarks.scaling --rounds=3

Every job trains LeNet on the same images in the same global batches. Workers
share this machine's cores, so examples per second cannot rise with their
number: what is measured is a step's overhead. The prediction adds to a step

  rounds * 2 * (workers - 1) * latency
  + 2 * bytes * (workers - 1) / workers / bandwidth

for ring all-reduces (Patarasuk and Yuan, 2009), nothing of it hidden behind
the computing. `rounds` is 1 if all gradients travel at once, and their number
if one waits for the other: the truth is between. Compute, gradients and bytes
are measured; latency and bandwidth are those of a stated network. For a model
of your own: --compute_ms, --megabytes and --tensors.
"""

import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from apps.image_classify import model as networks
from common.data.replicas import Replica
from common.shared_options import Options
from common.training import distribution
from common.workers import cluster

from .timing import seconds

BATCH, SHORT, LONG = 256, 10, 90
MARK = "measured: "


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one step of one job costs, and what it sends.

    Attributes:
        step: Seconds.
        reduce: Seconds of a first all-reduce of 4 bytes; 0 for one worker.
        bytes: Of all gradients.
        tensors: How many gradients there are.
    """

    step: float
    reduce: float
    bytes: int
    tensors: int


@dataclasses.dataclass(frozen=True)
class Network:
    """Between machines: seconds one way, bytes per second."""

    name: str
    latency: float
    bandwidth: float

    def seconds(self, cost: Cost, workers: int, rounds: int) -> float:
        """Returns what all-reducing a step's gradients takes."""
        sent = 2 * cost.bytes * (workers - 1) / workers
        waiting = rounds * 2 * (workers - 1) * self.latency
        return waiting + sent / self.bandwidth


# What cloud machines of some four, and of some hundred, cores have in a zone.
NETWORKS = (
    Network("10 Gbit/s, 50 us", 50e-6, 10e9 / 8),
    Network("100 Gbit/s, 20 us", 20e-6, 100e9 / 8),
)


def work() -> None:
    """Trains in this process, and prints what it cost."""
    name = "multi_worker" if "TF_CONFIG" in os.environ else "one_device"
    cluster.start(Options(strategy=name))
    strategy = cluster.strategy(name)
    with strategy.scope():
        model = networks.build("lenet5", (28, 28, 1), 10)
        model.compile(keras.optimizers.Adam(), "categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, 28, 28, 1), np.float32)
    labels = np.eye(10, dtype=np.float32)[np.arange(BATCH) % 10]

    def train(steps: int) -> None:
        def make(replica: Replica) -> tf.data.Dataset:
            own = slice(replica.index, None, replica.count)
            batch = tf.data.Dataset.from_tensors((images[own], labels[own]))
            return batch.repeat(steps)

        with distribution.corrected_fit(strategy):
            model.fit(
                distribution.batches(strategy, make), verbose=0, shuffle=False
            )

    train(SHORT)  # Tracing, and the first touch of everything.
    # The difference leaves out what `fit` itself costs.
    short, long = (
        seconds(functools.partial(train, steps)) for steps in (SHORT, LONG)
    )
    step = (long - short) / (LONG - SHORT)
    vote = cluster.Vote()
    reduce = min(seconds(lambda: vote(0, now=True)) for _ in range(20))
    sizes = [
        4 * int(np.prod(weight.shape)) for weight in model.trainable_weights
    ]
    cost = Cost(step, reduce, sum(sizes), len(sizes))
    print(MARK + json.dumps(dataclasses.asdict(cost)), flush=True)


def measure(workers: int) -> Cost:
    """Runs a job of `workers` on this machine; the slowest one counts."""
    words = [sys.executable, "-m", "benchmarks.scaling", "--work"]
    if workers > 1:
        launch = [sys.executable, "-m", "apps.launch", f"--workers={workers}"]
        words = [*launch, "--", *words]
    output = subprocess.run(words, check=True, capture_output=True, text=True)
    lines = [line.partition(MARK)[2] for line in output.stdout.splitlines()]
    costs = [Cost(**json.loads(line)) for line in lines if line]
    return max(costs, key=lambda cost: cost.step)


def predict(cost: Cost) -> None:
    """Prints what clusters would gain, from one worker's cost.

    Ranges are from gradients one by one to all at once.
    """
    print(
        "| network | workers | all-reduce, ms "
        "| same global batch: times as fast | same batch each: efficiency |"
    )
    print("|---|---|---|---|---|")
    for network in NETWORKS:
        for workers in (8, 16, 32, 64):
            waits = [
                network.seconds(cost, workers, rounds)
                for rounds in (cost.tensors, 1)
            ]
            faster = [cost.step / (cost.step / workers + x) for x in waits]
            weak = [cost.step / (cost.step + x) for x in waits]
            print(
                f"| {network.name} | {workers} "
                f"| {1000 * waits[0]:.1f} to {1000 * waits[1]:.1f} "
                f"| {faster[0]:.1f} to {faster[1]:.1f} "
                f"| {weak[0]:.0%} to {weak[1]:.0%} |"
            )


def main() -> None:
    """Measures on this machine, then predicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", action="store_true", help="be one worker")
    parser.add_argument("--compute_ms", type=float, help="a step, one worker")
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--tensors", type=int, default=160)
    given = parser.parse_args()
    if given.work:
        work()
        return
    if given.compute_ms:
        size = int(given.megabytes * 1e6)
        predict(Cost(given.compute_ms / 1000, 0.0, size, given.tensors))
        return
    counts = (1, 2, 4)
    costs: dict[int, list[Cost]] = {workers: [] for workers in counts}
    for _ in range(given.rounds):  # In turn: noise comes to all.
        for workers in counts:
            costs[workers].append(measure(workers))
    single = costs[1][0]
    alone = statistics.median(cost.step for cost in costs[1])
    print(
        f"batch {BATCH}, {single.bytes:,} bytes in {single.tensors} gradients"
    )
    print("| workers | ms/step | examples/s | overhead, ms | 4 bytes, ms |")
    print("|---|---|---|---|---|")
    for workers in counts:
        step = statistics.median(cost.step for cost in costs[workers])
        reduce = statistics.median(cost.reduce for cost in costs[workers])
        print(
            f"| {workers} | {1000 * step:.2f} | {BATCH / step:,.0f} "
            f"| {1000 * (step - alone):.2f} | {1000 * reduce:.2f} |"
        )
    print()
    predict(dataclasses.replace(single, step=alone))


if __name__ == "__main__":
    main()
