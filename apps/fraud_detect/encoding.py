"""From raw features to what a network takes: fixed, float, and no weights.

Amounts and counts have long tails that eight bits cannot hold, so this part
stays in float in every file; what it gives is bounded and quantizes well.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from .own_columns import KINDS, Column

# Logarithms of these ratios are added where both features exist: the spending
# of now, today and this week against the customer's habit.
RATIOS = (
    ("amount", "customer_mean_7d"),
    ("amount", "customer_mean_30d"),
    ("customer_mean_1d", "customer_mean_30d"),
    ("customer_mean_7d", "customer_mean_30d"),
    ("amount", "customer_mean_before"),
    ("amount", "customer_mean_past"),
    ("customer_mean_7d", "customer_mean_past"),
)
LEAST_WIDTH = 1e-3  # Of a bin, or a deviation; of the span if that is less.
LARGEST = 8.0  # Standardized values are clipped to this many deviations.


@dataclasses.dataclass(frozen=True)
class Flag:
    """Whether a feature has a certain value: a category, or none at all.

    Attributes:
        feature: The index of the raw feature.
        code: The code of the category; None tells whether the value is missing.
        owner: The index of the quantity that the flag belongs to.
    """

    feature: int
    code: int | None
    owner: int


class Quantities:
    """How raw features become quantities: numbers, and flags of 0 and 1.

    Numbers stay; ratios are added to them. The times of a table's own columns
    become the hour of the day, and the weekday, which is 0 on Mondays. The
    median of training stands for a missing value, which has a flag if training
    missed some too. Each category that training saw has a flag.

    Attributes:
        names: The names of the quantities: those of the numbers, and then
            those of the categories, which have flags only.
        flags: The flags.
    """

    def __init__(
        self,
        features: Sequence[str],
        raw: np.ndarray,
        own: Sequence[Column] = (),
        with_ratios: bool = True,
    ) -> None:
        """Fits the quantities to training features.

        Args:
            features: The names of the raw features.
            raw: Training features, `(num, features)`.
            own: The table's own columns, which the last features are of.
            with_ratios: Whether ratios are added.
        """
        windows = len(features) - len(own)
        kinds = ["number"] * windows + [column.kind for column in own]
        self._places = {
            kind: [i for i, other in enumerate(kinds) if other == kind]
            for kind in KINDS
        }
        self._has_own = bool(own)
        self._pairs = [
            tuple(features.index(name) for name in pair)
            for pair in RATIOS
            if with_ratios and set(pair) <= set(features)
        ]
        self._medians = _medians(raw)
        names = [features[i] for i in self._places["number"]]
        for i in self._places["time"]:
            names += [f"{features[i]}_hour", f"{features[i]}_weekday"]
        names += [f"{features[a]}/{features[b]}" for a, b in self._pairs]
        self._num = len(names)
        num_numbers = len(self._places["number"])
        owners = {i: at for at, i in enumerate(self._places["number"])}
        for at, i in enumerate(self._places["time"]):
            owners[i] = num_numbers + 2 * at
        for i in self._places["category"]:
            owners[i] = len(names)
            names.append(features[i])
        self.names = tuple(names)
        self.flags = tuple(
            Flag(i, code, owners[i])
            for i, kind in enumerate(kinds[windows:], windows)
            for code in _seen(raw[:, i], kind)
        )

    def owners(self, repeats: int) -> np.ndarray:
        """Returns the quantity that each column of an encoding belongs to.

        Args:
            repeats: How often the numbers are repeated, before the flags.
        """
        numbers = np.tile(np.arange(self._num), repeats)
        return np.array([*numbers, *(flag.owner for flag in self.flags)], int)

    def numbers(self, raw: Any) -> Any:
        """Returns the numbers.

        Args:
            raw: `(..., features)`: an array, a tensor or a Keras tensor.

        Returns:
            `(..., numbers)`, of the kind of `raw`; an array's as a tensor.
        """
        parts = []
        filled = self._filled(raw) if self._has_own else raw
        if not self._has_own:
            parts.append(raw)
        elif self._places["number"]:
            parts.append(ops.take(filled, self._places["number"], axis=-1))
        for place in self._places["time"]:
            hours = filled[..., place : place + 1]
            days = ops.floor(hours / 24.0)
            weekday = days + 3.0  # 1970-01-01 was a Thursday.
            weekday = weekday - 7.0 * ops.floor(weekday / 7.0)
            parts += [hours - 24.0 * days, weekday]
        for pair in self._pairs:
            first, second = (filled[..., i : i + 1] for i in pair)
            # One unit of money keeps the ratio of small amounts calm.
            parts.append(ops.log((first + 1.0) / (second + 1.0)))
        return ops.concatenate(parts, axis=-1) if parts[1:] else parts[0]

    def _filled(self, raw: Any) -> Any:
        """Returns raw features with the medians in place of missing values."""
        medians = ops.cast(self._medians, raw.dtype)
        # NaN differs from itself; TFLite has no operation that asks for it.
        return ops.where(ops.equal(raw, raw), raw, medians)

    def flag_values(self, raw: Any) -> Any:
        """Returns the flags, `(..., flags)` zeros and ones; see `numbers`."""
        # All at once: an operation per category would cost seconds of tracing.
        values = ops.take(raw, [flag.feature for flag in self.flags], axis=-1)
        codes = [flag.code for flag in self.flags]
        # No value equals NaN; only a missing value, which no category has,
        # differs from itself.
        is_set = ops.equal(values, ops.cast(np.array(codes, float), raw.dtype))
        if None in codes:
            is_set = ops.logical_or(is_set, ops.not_equal(values, values))
        return ops.cast(is_set, raw.dtype)

    def of(self, raw: Any) -> Any:
        """Returns the numbers with the flags behind them; see `numbers`."""
        if not self.flags:
            return self.numbers(raw)
        if not self._num:
            return self.flag_values(raw)
        return ops.concatenate(
            [self.numbers(raw), self.flag_values(raw)], axis=-1
        )


def _medians(raw: np.ndarray) -> np.ndarray:
    """Returns the median of each feature's known values; 0 without any."""
    return np.array(
        [
            np.median(known) if len(known := column[~np.isnan(column)]) else 0.0
            for column in raw.T
        ]
    )


def _seen(values: np.ndarray, kind: str) -> list[int | None]:
    """Returns the codes of the flags that a feature's training values need."""
    if kind == "category":
        return [int(code) for code in np.unique(values)]
    return [None] if np.isnan(values).any() else []


def codes(
    inputs: keras.KerasTensor,
    quantities: Quantities,
    raw: np.ndarray,
    bins: int,
) -> keras.KerasTensor:
    """Returns the codes of the numbers, with the flags behind them.

    Args:
        inputs: Raw features, `(..., features)`.
        quantities: What the features become.
        raw: Training features, `(num, features)`.
        bins: Bins per number.
    """
    if len(quantities.owners(1)) == len(quantities.flags):
        return quantities.flag_values(inputs)
    values = np.asarray(quantities.numbers(raw))
    coded = piecewise_linear(quantities.numbers(inputs), values, bins)
    if not quantities.flags:
        return coded
    return ops.concatenate([coded, quantities.flag_values(inputs)], axis=-1)


def piecewise_linear(
    derived: keras.KerasTensor, values: np.ndarray, bins: int
) -> keras.KerasTensor:
    """Encodes each quantity by how far it is through each of its bins.

    Piecewise linear encoding (Gorishniy et al., On embeddings for numerical
    features in tabular deep learning, 2022): 1 for bins below the value, 0 for
    those above, the fraction within. It gives a network a tree's thresholds.

    Args:
        derived: `(..., quantities)`.
        values: Training values, `(num, quantities)`, whose quantiles are the
            edges.
        bins: Bins per quantity.

    Returns:
        `(..., bins * quantities)` in [0, 1]; the quantity changes fastest.
    """
    edges = np.stack([bin_edges(column, bins) for column in values.T], axis=1)
    # Own columns may be of any scale, such as rates.
    span = np.ptp(values, axis=0)
    least = LEAST_WIDTH * np.where(span > 0, np.minimum(span, 1.0), 1.0)
    width = np.maximum(np.diff(edges, axis=0), least)
    copies = layers.Concatenate(name="copies")([derived] * bins)
    inside = layers.Normalization(
        mean=edges[:-1].ravel(), variance=width.ravel() ** 2, name="bins"
    )(copies)
    return layers.ReLU(max_value=1.0, name="codes")(inside)


def bin_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Returns `bins + 1` ascending edges at the quantiles of `values`.

    If a single value fills many quantiles (most terminals have no fraud), the
    quantiles of the other values are used too.
    """
    share = np.linspace(0, 1, bins + 1)
    edges = np.unique(np.quantile(values, share))
    if len(edges) <= bins:
        common = np.median(values)
        others = values[values != common]
        if len(others):
            edges = np.unique([*edges, *np.quantile(others, share)])
    if len(edges) > bins + 1:
        picked = np.linspace(0, len(edges) - 1, bins + 1)
        edges = edges[np.round(picked).astype(int)]
    missing = bins + 1 - len(edges)
    return np.concatenate([edges, edges[-1] + 1 + np.arange(missing)])


def standardize(
    derived: keras.KerasTensor, values: np.ndarray
) -> keras.KerasTensor:
    """Standardizes by the training values, and clips at `LARGEST` deviations.

    Args:
        derived: `(..., quantities)`.
        values: Training values, `(num, quantities)`.
    """
    variance, span = values.var(axis=0), np.ptp(values, axis=0)
    least = (LEAST_WIDTH * np.minimum(span, 1.0)) ** 2
    scaled = layers.Normalization(
        mean=values.mean(axis=0),
        variance=np.where(variance > 0, np.maximum(variance, least), 1e-6),
        name="standard",
    )(derived)
    return ops.clip(scaled, -LARGEST, LARGEST)
