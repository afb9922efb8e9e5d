"""Time and memory of training by the number of interactions.

  python -m benchmarks.recommender_scale 100000 1000000 10000000

Generated interactions (users take about 100 of 20,000 items, whose popularity
falls like a power); each size runs in a process of its own, for its peak
memory. Measured: cleaning and splitting all, and one epoch of training with the
sampled softmax, of which at most 500 steps (1.6 million interactions) are run.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

PER_USER = 100
ITEMS = 20_000
STEPS = 500


def generate(num: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns users, items, and how many users there may be."""
    rng = np.random.default_rng(0)
    num_users = num // PER_USER
    item = (ITEMS * rng.random(num) ** 3).astype(np.int64)
    return rng.integers(0, num_users, num), item, num_users


def measure(num: int) -> dict[str, float]:
    """Trains one epoch on `num` generated interactions."""
    from apps.recommender import interactions, protocols
    from apps.recommender import train as app
    from common import runtime

    runtime.start(0)  # Before TensorFlow is there, which it keeps quiet.
    from apps.recommender import examples
    from common.data import pipelines

    user, item, num_users = generate(num)
    start = time.monotonic()
    raw = interactions.Raw(
        user, item, [str(n) for n in range(num_users)],
        [str(n) for n in range(ITEMS)],
    )  # fmt: skip
    clean = interactions.clean("generated", raw)
    protocol = protocols.split(clean, "leave_last_out")
    prepared = time.monotonic()
    config = app.Config(
        dataset="generated", softmax="sampled", batch_size=64, epochs=1
    )
    model = app.compile_model(
        app.build_model(config, protocol), config, protocol
    )
    mode = examples.mode_of(config.model, config.protocol)
    batches = pipelines.for_training(
        examples.training(protocol.train, mode, config.history),
        config.batch_size,
        seed=0,
        position=pipelines.Position(),
        transform=examples.transform(protocol.train, mode, config.history),
    )
    steps = min(STEPS, int(batches.cardinality()))
    seconds = _train_seconds(model, batches, steps)
    trained = len(protocol.train.values) * steps / int(batches.cardinality())
    return {
        "interactions": num,
        "steps": steps,
        "prepare_seconds": round(prepared - start, 1),
        "prepare_seconds_per_million": round((prepared - start) / num * 1e6, 2),
        "train_seconds_per_million": round(seconds / trained * 1e6, 2),
        "peak_memory_mb": round(runtime.peak_memory_mb()),
    }


def _train_seconds(model: Any, batches: Any, steps: int) -> float:
    """Returns the seconds of `steps` steps, once the step is traced.

    Args:
        model: A compiled Keras model.
        batches: A `tf.data.Dataset`.
        steps: The number of batches to train on.
    """
    model.fit(batches.take(16), shuffle=False, verbose=0)
    begun = time.monotonic()
    model.fit(batches.take(steps), shuffle=False, verbose=0)
    return time.monotonic() - begun


def main(sizes: list[str]) -> None:
    """Measures each size in a process of its own; prints a line for each."""
    if len(sizes) == 1:
        print(json.dumps(measure(int(sizes[0]))))
        return
    for size in sizes:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.recommender_scale", size],
            check=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["100000", "1000000", "10000000"])
