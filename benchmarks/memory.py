"""How much memory a run and a prediction take, on generated images.

  python -m benchmarks.memory --images=20000 --size=224

One line for the whole run of image_classify on a streamed folder of JPEG
files, and one for `predict` on 200 of them and on all. The network is small, at
the default batch size, so that the pipeline is measured: of a large one,
training keeps more for the gradient, whatever the number of images. The files
are generated in a folder that is removed.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from common import options
from common.flags import launch

CLASSES = 10
FEW = 200
TRAINING = (
    "--model=lenet5", "--epochs=1", "--finetune_epochs=1",
    "--variants=float32,int8,prune+int8",
    "--pipeline=streaming", "--measure_examples=500",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config(options.Checked):
    """What is generated."""

    images: int = options.option(20_000, "how many images.", minimum=200)
    size: int = options.option(224, "their height and width.", minimum=16)


def main(config: Config) -> None:
    """Generates the images, runs and prints."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        generate(place / "images", config.images, config.size)
        paths = sorted((place / "images").glob("*/*.jpg"))[:FEW]
        (place / "few").mkdir()
        for path in paths:
            os.link(path, place / "few" / path.name)
        releases = f"--export_dir={place / 'releases'}"
        seconds, peak = peak_of(
            [f"--dataset={place / 'images'}", f"--work_dir={place / 'work'}",
             f"--image_size={config.size}", releases, *TRAINING]
        )  # fmt: skip
        print(
            f"run: {config.images:,} images of {config.size} x {config.size}, "
            f"{seconds:.0f} s, peak {peak:.0f} MB",
            flush=True,
        )
        peaks = {}
        for name, pattern in (("few", "few"), ("all", "images/*/*.jpg")):
            output = f"--output={place / name}.csv"
            inputs = f"--inputs={place / pattern}"
            _, peaks[name] = peak_of(
                ["--mode=predict", releases, inputs, output]
            )
        print(
            f"predict: {FEW} files peak {peaks['few']:.0f} MB, "
            f"{config.images:,} files {peaks['all'] - peaks['few']:.0f} MB more"
        )


def generate(folder: Path, num: int, size: int) -> None:
    """Writes JPEG files of blobs, one hue a class, in folders of classes."""
    generator = np.random.default_rng(0)
    for index in range(num):
        label = index % CLASSES
        path = folder / f"class{label}" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        blobs = generator.integers(0, 256, (14, 14, 3), np.uint8)
        blobs[..., label % 3] //= 1 + label // 3
        Image.fromarray(blobs).resize((size, size)).save(path, quality=85)


def peak_of(arguments: Sequence[str]) -> tuple[float, float]:
    """Runs image_classify; returns the seconds and the peak memory in MB."""
    command = [sys.executable, "-m", "apps.image_classify", *arguments]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    launch(main, Config)
