"""TFDS builder of synthetic chest phantoms; needs no download."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

SIZE = 32
# Normal and lesion images of each split: anomaly detection trains on normal.
NUM = {"train": (384, 0), "validation": (96, 64), "test": (128, 96)}


class Builder(tfds.core.GeneratorBasedBuilder):
    """Synthetic images, 32 x 32 grey pixels: a body, two lungs, ribs.

    Two fifths of those held out have a lesion: a soft bright spot in one lung.
    They are drawn by a formula with random sizes, brightness and noise, to try
    the application without data; nothing can be concluded from them about
    medicine.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes images `(32, 32, 1) uint8` and the classes."""
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 1)),
                    "label": tfds.features.ClassLabel(
                        names=("normal", "lesion")
                    ),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Draws each split with a random generator of its own."""
        return {
            name: self._generate_examples(seed, *counts)
            for seed, (name, counts) in enumerate(NUM.items())
        }

    def _generate_examples(
        self, seed: int, normal: int, lesion: int
    ) -> Iterator:
        """Yields `(key, example)`."""
        rng = np.random.default_rng(seed)
        for key in range(normal + lesion):
            label = int(key >= normal)
            image = phantom(rng, lesion=bool(label))
            yield key, {"image": image, "label": label}


def phantom(rng: np.random.Generator, lesion: bool) -> np.ndarray:
    """Returns a phantom, `(SIZE, SIZE, 1) uint8`."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = 0.62 * _ellipse(x, y, rng.normal(0, 0.02, 2), (0.92, 0.98))
    height, width = rng.uniform(0.55, 0.7), rng.uniform(0.25, 0.32)
    centres = [
        (side * rng.uniform(0.4, 0.46), rng.normal(0, 0.03)) for side in (-1, 1)
    ]
    for centre in centres:
        image -= 0.42 * _ellipse(x, y, centre, (width, height))
    period, phase = rng.uniform(0.28, 0.3), rng.normal(0, 0.3)
    ribs = np.sin(2 * np.pi * (y + 0.25 * np.abs(x)) / period + phase)
    image += 0.05 * ribs * (image > 0.1)
    if lesion:
        middle = np.array(centres[rng.integers(2)])
        middle += rng.uniform(-1, 1, 2) * (0.4 * width, 0.5 * height)
        radius = rng.uniform(0.09, 0.16)
        distance = (x - middle[0]) ** 2 + (y - middle[1]) ** 2
        image += rng.uniform(0.2, 0.35) * np.exp(-distance / (2 * radius**2))
    image = image * rng.uniform(0.9, 1.1) + rng.normal(0, 0.015, image.shape)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)[..., None]


def _ellipse(
    x: np.ndarray, y: np.ndarray, centre: Any, radii: Any
) -> np.ndarray:
    """Returns a filled ellipse with soft edges, 1 inside and 0 outside."""
    radius = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    return 1 / (1 + np.exp(np.clip(20 * (radius - 1), -50, 50)))
