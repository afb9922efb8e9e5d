"""The streaming path: examples per second and memory as the data grow.

  python -m benchmarks.image_pipelines --images=3000

Writes folders of that many JPEG files of 64 x 64 pixels, and of ten times as
many; reads each for one epoch in a process of its own, by both pipelines; and
prints examples per second and what reading added to the process's memory.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

SIZE = 64


def write_folder(root: Path, num_images: int) -> None:
    """Writes two class folders of noise, which JPEG cannot shrink much."""
    import numpy as np
    import tensorflow as tf

    from common import runtime

    runtime.start(0)
    rng = np.random.default_rng(0)
    for index in range(num_images):
        path = root / ("even", "odd")[index % 2] / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        path.write_bytes(tf.io.encode_jpeg(image).numpy())


def measure(root: str, pipeline: str) -> tuple[float, float]:
    """Returns examples per second of an epoch, and MB that it added."""
    from apps.image_classify import augment
    from common import data, images, runtime

    runtime.start(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    splits = images.load(root, pipeline=pipeline)
    batches = data.for_training(
        splits.train,
        64,
        seed=0,
        position=data.Position(),
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
    parser.add_argument("--images", type=int, default=3000)
    small = parser.parse_args().images
    with tempfile.TemporaryDirectory() as root:
        spawn = multiprocessing.get_context("spawn")
        for count in (small, 10 * small):
            folder = Path(root) / str(count)
            with spawn.Pool(1) as pool:
                pool.apply(write_folder, (folder, count))
            for pipeline in ("streaming", "in_memory"):
                with spawn.Pool(1) as pool:
                    rate, added = pool.apply(measure, (str(folder), pipeline))
                print(
                    f"{count:7d} images  {pipeline:9s}  {rate:8.0f} examples/s"
                    f"  +{added:.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
