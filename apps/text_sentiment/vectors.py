"""Word vectors from the words nearby in the texts, made in seconds.

The positive pointwise mutual information of words within five words of one
another, factored: Levy and Goldberg, Neural word embedding as implicit matrix
factorization, 2014; smoothing and weights as in Levy, Goldberg and Dagan,
Improving distributional similarity, 2015.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from .data import TextSplits
from .vocabulary import SPECIAL

WINDOW = 5  # Words; the count of a pair is 1 / distance.
SMOOTHING = 0.75  # Power of the frequency of contexts.
SCALE = 0.3  # Standard deviation of the vectors' values.


def of(splits: TextSplits, size: int, seed: int) -> np.ndarray:
    """Returns word vectors from all texts but those of validation and test.

    Args:
        splits: The texts; unlabelled ones count as well.
        size: The length of a vector.
        seed: See `learn`.

    Returns:
        `(num_words, size) float32`.
    """
    ids = {word: i for i, word in enumerate(splits.tokenizer.vocabulary)}
    unknown = splits.tokenizer.unknown
    texts = [
        [ids.get(word, unknown) for word in words]
        for name in ("train", "unlabelled")
        for words in splits.words[name]
    ]
    return learn(texts, len(ids), size, seed)


def learn(
    texts: Sequence[Sequence[int]], num_words: int, size: int, seed: int
) -> np.ndarray:
    """Returns `(num_words, size) float32`; ids without a word get zeros.

    Args:
        texts: The ids of each text.
        num_words: The size of the vocabulary.
        size: The length of a vector.
        seed: Fixes the factorization's random start.
    """
    left, values, _ = randomized_svd(
        _information(_counts(texts, num_words)),
        min(size, num_words - 1),
        n_iter=2,
        random_state=seed,
    )
    vectors = np.zeros((num_words, size), np.float32)
    vectors[:, : len(values)] = left * np.sqrt(values)
    vectors *= SCALE / max(float(vectors.std()), 1e-9)
    vectors[: len(SPECIAL)] = 0.0
    return vectors


def _counts(
    texts: Sequence[Sequence[int]], num_words: int
) -> sparse.csr_matrix:
    """Returns the counts of nearby words, each weighted by 1 / distance."""
    lengths = [len(text_ids) for text_ids in texts]
    ids = np.concatenate([np.asarray(row, np.int32) for row in texts])
    text = np.repeat(np.arange(len(texts)), lengths)
    known = ids >= len(SPECIAL)
    counts = sparse.csr_matrix((num_words, num_words), dtype=np.float32)
    for gap in range(1, WINDOW + 1):
        pair = known[gap:] & known[:-gap] & (text[gap:] == text[:-gap])
        places = ids[:-gap][pair], ids[gap:][pair]
        weights = np.full(len(places[0]), 1 / gap, np.float32)
        counts += sparse.coo_matrix((weights, places), counts.shape).tocsr()
    return counts + counts.T


def _information(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Returns the positive pointwise mutual information of counts."""
    counts = counts.tocoo()
    words = np.bincount(counts.row, counts.data, counts.shape[0])
    contexts = words**SMOOTHING
    expected = words[counts.row] * contexts[counts.col] / contexts.sum()
    information = np.log(counts.data / expected).astype(np.float32)
    positive = information > 0
    return sparse.csr_matrix(
        (
            information[positive],
            (counts.row[positive], counts.col[positive]),
        ),
        counts.shape,
    )
