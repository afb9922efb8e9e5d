"""TFDS builder of simulated card transactions; needs no download."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.data.datasets.simulated_transactions import simulator

SEED = 2022


class Builder(tfds.core.GeneratorBasedBuilder):
    """Simulated card transactions of 1,000 customers over 75 days.

    No payment in it was ever made: see `simulator`. One example is a day.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the columns, each `(transactions of the day,)`."""
        dtypes = {
            "time": np.int64,
            "customer": np.int64,
            "terminal": np.int64,
            "amount": np.float64,
            "fraud": np.int64,
            "scenario": np.int64,
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    name: tfds.features.Tensor(shape=(None,), dtype=dtype)
                    for name, dtype in dtypes.items()
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Puts all days into train: the app splits them by time."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator:
        """Yields `(key, example)` for each day."""
        columns = simulator.simulate(simulator.World(), SEED)
        days = columns["time"] // simulator.DAY
        for day in np.unique(days):
            rows = days == day
            yield (
                int(day),
                {name: column[rows] for name, column in columns.items()},
            )
