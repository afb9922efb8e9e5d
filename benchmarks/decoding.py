"""Decoding images: the suite's pipeline against plain TensorFlow.

  python -m benchmarks.decoding --images=4000 --rounds=9

Writes folders of images of noise, reads each again and again, in turn by
`tf.io.decode_image` and `tf.image.resize` alone and as training reads it, and
prints the median of the ratios of CPU time, and the time of an image.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from common import runtime

runtime.start(0)  # Before TensorFlow is imported, or it is not quiet.

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from common.data import image_sets, pipelines  # noqa: E402

BATCH_SIZE = 64
# The ending, the side in pixels, and the part of the images to write.
KINDS = ((".jpg", 28, 1.0), (".png", 28, 1.0), (".jpg", 224, 0.25))


def write_folder(root: Path, suffix: str, side: int, num_images: int) -> None:
    """Writes two class folders of images of noise."""
    rng = np.random.default_rng(0)
    encode = tf.io.encode_jpeg if suffix == ".jpg" else tf.io.encode_png
    for index in range(num_images):
        path = root / ("even", "odd")[index % 2] / f"{index:06d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        path.write_bytes(encode(image).numpy())


def plain(root: Path, side: int, num_images: int) -> tf.data.Dataset:
    """Returns batches of a folder's first images, by TensorFlow alone."""
    paths = [str(path) for path in sorted(root.rglob("*.*g"))[:num_images]]

    def parse(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(
            tf.io.read_file(path), channels=3, expand_animations=False
        )
        image.set_shape([None, None, 3])
        image = tf.image.resize(image, (side, side), antialias=True)
        return tf.cast(image, tf.uint8)

    images = tf.data.Dataset.from_tensor_slices(paths)
    batches = images.map(parse, tf.data.AUTOTUNE).batch(BATCH_SIZE)
    return batches.prefetch(pipelines.PREPARED)


def cpu_seconds(batches: tf.data.Dataset) -> float:
    """Returns the CPU time of all threads in one pass."""
    start = time.process_time()
    for _ in batches:
        pass
    return time.process_time() - start


def main() -> None:
    """Prints a line for each kind of image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for suffix, side, part in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_folder(root, suffix, side, int(options.images * part))
            start = time.process_time()
            split = image_sets.load(
                folder, image_size=side, pipeline="streaming"
            ).train
            checking = time.process_time() - start
            num = split.num_examples
            own = pipelines.for_evaluation(
                split, BATCH_SIZE, transform=lambda image, label: image
            )
            other = plain(root, side, num)
            pairs = [
                (cpu_seconds(own), cpu_seconds(other))
                for _ in range(options.rounds + 1)
            ][1:]  # The first traces the graphs.
        ratio = statistics.median(first / second for first, second in pairs)
        micros = [
            statistics.median(times) / num * 1e6
            for times in zip(*pairs, strict=True)
        ]
        print(
            f"{suffix[1:]} {side:3d} x {side:3d}  {ratio:.2f} times plain: "
            f"{micros[0]:.0f} and {micros[1]:.0f} us an image; checked before "
            f"in {checking / (options.images * part) * 1e6:.0f} us",
            flush=True,
        )


if __name__ == "__main__":
    main()
