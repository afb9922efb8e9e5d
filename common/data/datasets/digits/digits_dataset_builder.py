"""TFDS builder of scikit-learn's handwritten digits; needs no download."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from sklearn import datasets

TRAIN = 1437  # Four fifths; other people wrote the last fifth.


class Builder(tfds.core.GeneratorBasedBuilder):
    """1,797 real digits, 8 x 8 pixels, 10 classes.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten
    Digits, UCI Machine Learning Repository, 1998, as scikit-learn embeds it.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes images `(8, 8, 1) uint8` and labels 0 to 9."""
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Puts the first `TRAIN` digits into train, the others into test."""
        digits = datasets.load_digits()
        # Intensities are 0 to 16.
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        rows = list(zip(images[..., None], digits.target, strict=True))
        return {
            "train": self._generate_examples(rows[:TRAIN]),
            "test": self._generate_examples(rows[TRAIN:]),
        }

    def _generate_examples(self, rows: list) -> Iterator:
        """Yields `(key, example)`."""
        for key, (image, label) in enumerate(rows):
            yield key, {"image": image, "label": int(label)}
