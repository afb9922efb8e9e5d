"""The linear part: an item-item matrix in closed form.

EASE (Steck, 2019) and the leading directions of the same Gram matrix, both of
interactions that are normalized, as in spectral methods (Shen et al., 2021,
GF-CF), by powers of how much a user took and how often an item was taken.
"""

import numpy as np
import scipy.sparse
from scipy.sparse import linalg

from .interactions import Ragged

# Chosen on validation of MovieLens 100K: 0 is EASE as it was published, .5 is
# the cosine.
POWER = 0.25
LOW_RANK = 0.6  # The weight of the leading directions.


def matrix(lists: Ragged, num_items: int) -> scipy.sparse.csr_matrix:
    """Returns lists as a matrix of ones, `(users, items + 1) float32`."""
    ones = np.ones(len(lists.values), np.float32)
    shape = (len(lists), num_items + 1)
    return scipy.sparse.csr_matrix(
        (ones, (lists.rows, lists.values)), shape=shape
    )


def ease(gram: np.ndarray, penalty: float) -> np.ndarray:
    """Returns EASE's matrix, `(items + 1, items + 1)`, zeros on its diagonal.

    Args:
        gram: `(items + 1, items + 1) float64`: how often two items were taken
            by the same user.
        penalty: The weight of the squared matrix.
    """
    penalized = gram.copy()
    penalized[np.diag_indices_from(penalized)] += penalty
    inverse = np.linalg.inv(penalized)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def item_item(
    lists: Ragged, num_items: int, penalty: float, rank: int
) -> np.ndarray:
    """Returns the matrix that histories are multiplied with.

    Args:
        lists: The interactions.
        num_items: The number of items, padding not among them.
        penalty: EASE's penalty, for the normalized interactions.
        rank: The number of leading directions; 0 for none.

    Returns:
        `(items + 1, items + 1) float32`; padding has zeros.
    """
    taken = matrix(lists, num_items)
    users = np.maximum(np.asarray(taken.sum(axis=1)).ravel(), 1) ** POWER
    items = np.maximum(np.asarray(taken.sum(axis=0)).ravel(), 1) ** POWER
    scaled = scipy.sparse.diags_array(1 / users) @ taken
    scaled = scaled @ scipy.sparse.diags_array(1 / items)
    gram = (scaled.T @ scaled).toarray().astype(np.float64)
    weights = ease(gram, penalty)
    rank = min(rank, num_items - 1)
    if rank:
        start = np.ones(len(gram))  # Fixed, for the same result in each run.
        _, leading = linalg.eigsh(gram, rank, v0=start)
        weights += LOW_RANK * leading @ leading.T
    return (weights / items[:, None] * items).astype(np.float32)
