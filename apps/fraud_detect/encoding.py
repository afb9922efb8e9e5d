"""From raw features to what a network takes: fixed, float, and no weights.

Amounts and counts have long tails that eight bits cannot hold, so this part
stays in float in every file; what it gives is bounded and quantizes well.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

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
LARGEST = 8.0  # Standardized values are clipped to this many deviations.


def names(raw: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the quantities that `derive` makes.

    Args:
        raw: The names of the raw features.
    """
    pairs = [f"{a}/{b}" for a, b in _pairs(raw)]
    return (*raw, *pairs)


def _pairs(raw: Sequence[str]) -> list[tuple[str, str]]:
    return [pair for pair in RATIOS if set(pair) <= set(raw)]


def derive(
    raw: keras.KerasTensor, feature_names: Sequence[str]
) -> keras.KerasTensor:
    """Adds the ratios to raw features.

    Args:
        raw: `(..., features)`.
        feature_names: The names of the features.

    Returns:
        `(..., quantities)`, named by `names`.
    """
    parts = [raw]
    for pair in _pairs(feature_names):
        places = (feature_names.index(name) for name in pair)
        first, second = (raw[..., place : place + 1] for place in places)
        # One unit of money keeps the ratio of small amounts calm.
        parts.append(ops.log((first + 1.0) / (second + 1.0)))
    return layers.Concatenate(name="derived")(parts) if parts[1:] else raw


def derived_values(raw: np.ndarray, feature_names: Sequence[str]) -> np.ndarray:
    """Returns the quantities of `derive` for an array.

    Args:
        raw: `(..., features)`.
        feature_names: The names of the features; () adds no ratio.
    """
    parts = [raw]
    for pair in _pairs(feature_names):
        first, second = (raw[..., [feature_names.index(name)]] for name in pair)
        parts.append(np.log((first + 1.0) / (second + 1.0)))
    return np.concatenate(parts, axis=-1)


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
    width = np.maximum(np.diff(edges, axis=0), 1e-3)
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
    scaled = layers.Normalization(
        mean=values.mean(axis=0),
        variance=np.maximum(values.var(axis=0), 1e-6),
        name="standard",
    )(derived)
    return ops.clip(scaled, -LARGEST, LARGEST)
