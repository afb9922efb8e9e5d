"""The streaming path: examples per second and memory as the data grow.

  python -m benchmarks.image_pipelines --images=12000

Writes folders of that many JPEG files of 64 x 64 pixels, and of ten times as
many; reads each for one epoch in a process of its own, by both pipelines; and
prints examples per second and what reading added to the process's memory.
The smaller folder must fill the shuffle buffer (10,000 files), or the memory of
streaming seems to grow with the data.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

SIZE = 64


def write_folder(root: Path, num_images: int) -> None:
    """Writes two class folders of noise, which JPEG cannot shrink much."""
    from common import runtime

    runtime.start(0)
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for index in range(num_images):
        path = root / ("even", "odd")[index % 2] / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        path.write_bytes(tf.io.encode_jpeg(image).numpy())


def measure(root: str, pipeline: str) -> tuple[float, float]:
    """Returns examples per second of an epoch, and MB that it added."""
    from common import runtime

    runtime.start(0)  # Before TensorFlow is imported, or it is not quiet.
    from apps.image_classify import augment
    from common.data import image_sets, pipelines

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    splits = image_sets.load(root, pipeline=pipeline)
    batches = pipelines.for_training(
        splits.train,
        64,
        seed=0,
        position=pipelines.Position(),
        transform=augment.for_training(2, augment.Augmentation(shift=0.1)),
    )
    start = time.perf_counter()
    for _ in batches:
        pass
    seconds = time.perf_counter() - start
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return splits.train.num_examples / seconds, added / 1024


def main() -> None:
    """Prints a line for each size and pipeline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12_000)
    small = parser.parse_args().images
    with tempfile.TemporaryDirectory() as root:
        for count in (small, 10 * small):
            folder = Path(root) / str(count)
            in_new_process(write_folder, folder, count)
            for pipeline in ("streaming", "in_memory"):
                rate, added = in_new_process(measure, str(folder), pipeline)
                print(
                    f"{count:7d} images  {pipeline:9s}  {rate:8.0f} examples/s"
                    f"  +{added:.0f} MB",
                    flush=True,
                )


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what a call gives in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
