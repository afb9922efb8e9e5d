"""The inputs of the SavedModel: columns as a client has them.

A client sends each feature by its name: numbers as float32, a time as float64
seconds since 1970, a category as text. A NaN or an empty text is a missing one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from . import own_cells, own_columns
from .own_columns import Column

DTYPES = {"number": tf.float32, "time": tf.float64, "category": tf.string}


class Inputs:
    """The inputs of a detector's signature.

    Attributes:
        specs: The spec of each feature, in the features' order.
        tracked: The tables that a SavedModel must be saved with.
    """

    def __init__(
        self,
        features: Sequence[str],
        own: Sequence[Column],
        shape: Sequence[int | None],
    ) -> None:
        """Makes the specs and the tables.

        Args:
            features: The names of the raw features.
            own: The table's own columns, which the last features are of.
            shape: The shape of a feature's tensor: the batch, and steps.
        """
        self._columns = columns_of(features, own)
        self.specs = tuple(
            tf.TensorSpec(shape, DTYPES[column.kind], name)
            for name, column in zip(features, self._columns, strict=True)
        )
        self._codes = {
            column.name: _table(column)
            for column in self._columns
            if column.kind == "category"
        }
        self.tracked = list(self._codes.values())

    def raw(self, tensors: Sequence[Any]) -> tf.Tensor:
        """Returns raw features, `(batch, ..., features) float32`.

        Args:
            tensors: As in `specs`.
        """
        parts = []
        for column, tensor in zip(self._columns, tensors, strict=True):
            if column.kind == "category":
                # As `own_columns` reads a category.
                text = tf.strings.strip(tensor)
                text = tf.strings.strip(
                    tf.strings.substr(
                        text, 0, own_cells.LONGEST_VALUE, unit="UTF8_CHAR"
                    )
                )
                tensor = self._codes[column.name].lookup(text)
            elif column.kind == "time":
                tensor = tensor / own_columns.HOUR
            parts.append(tf.cast(tensor, tf.float32))
        return tf.stack(parts, axis=-1)

    def cells(self, raw: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns raw features as the columns that `raw` takes."""
        return tuple(
            own_columns.cells_of(column, raw[..., place])
            for place, column in enumerate(self._columns)
        )


def columns_of(
    features: Sequence[str], own: Sequence[Column]
) -> tuple[Column, ...]:
    """Returns a column for each feature; those that are computed are numbers.

    Args:
        features: The names of the raw features.
        own: The table's own columns, which the last features are of.
    """
    computed = features[: len(features) - len(own)]
    return (*(Column(name, "number") for name in computed), *own)


def _table(column: Column) -> tf.lookup.StaticHashTable:
    """Returns the codes of a category's values."""
    codes = dict.fromkeys(sorted(own_cells.MISSING_TEXTS), 0)
    codes |= {value: 2 + code for code, value in enumerate(column.values)}
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            list(codes), tf.constant(list(codes.values()), tf.int64)
        ),
        default_value=1,
    )
