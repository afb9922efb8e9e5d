"""The linear path beside the LSTM: weights of words and of word pairs.

An NB-weighted logistic regression (Wang and Manning, Baselines and bigrams,
2012) on the very ids that the network sees, pairs hashed. Its weights are not
trained further: the linear path fits the training texts almost perfectly, and
an LSTM trained beside it would have nothing left to learn. Both are joined
afterwards, as in Cheng et al., Wide and deep learning, 2016; the validation
split decides the weight of each.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy import sparse
from sklearn import linear_model

from common.data.splits import MemorySplit
from common.report import metrics

from . import model as networks
from .data import TextSplits
from .vocabulary import PADDING

INVERSE_PENALTY = 0.3  # Chosen on 2,500 validation reviews of IMDB.
STEPS = np.arange(0, 21) / 20


@dataclasses.dataclass(frozen=True)
class Tables:
    """The weights of the linear path.

    Attributes:
        words: `(num_words, classes) float32`.
        pairs: `(num_pairs, classes) float32`.
    """

    words: np.ndarray
    pairs: np.ndarray


@dataclasses.dataclass(frozen=True)
class Joined:
    """The results of `join`.

    Attributes:
        shares: The factors of the logits of the LSTM and of the linear path.
        alone: Probabilities of the test split, `(num, classes)`, by the name of
            the part of the network that gave them.
    """

    shares: tuple[float, float]
    alone: dict[str, np.ndarray]


def join(
    model: keras.Model,
    tables: Tables,
    splits: TextSplits,
    evaluate: Callable[[keras.Model, MemorySplit], np.ndarray],
) -> Joined:
    """Sets the linear path of a trained network, and both parts' factors.

    Args:
        model: The network, its linear path zero; changed in place.
        tables: The weights of that path, from `fit`.
        splits: The data; validation decides the factors.
        evaluate: From a model and a split to outputs `(num, classes)`.
    """
    logits = keras.Model(model.input, model.get_layer("joined").output)
    parts = (splits.valid, splits.test)
    lstm = [evaluate(logits, split).astype(np.float64) for split in parts]
    networks.set_tables(model, tables.words, tables.pairs)
    total = [evaluate(logits, split).astype(np.float64) for split in parts]
    linear = [joint - own for joint, own in zip(total, lstm, strict=True)]
    shares = _best_shares(
        lstm[0],
        linear[0],
        splits.valid.labels,
        _text_weights(splits, splits.valid.labels),
    )
    networks.scale_logits(model, shares[0])
    networks.set_tables(
        model, shares[1] * tables.words, shares[1] * tables.pairs
    )
    return Joined(
        shares,
        {
            "the LSTM alone": softmax(lstm[1]),
            "the linear path alone": softmax(linear[1]),
        },
    )


def _best_shares(
    lstm: np.ndarray,
    linear: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[float, float]:
    """Returns the factors of both parts' logits with the least log loss.

    Texts are weighted as in training.

    The LSTM has a factor too: it is overconfident, and its large logits would
    outweigh the linear path.
    """
    return min(
        itertools.product(STEPS[1:], STEPS),
        key=lambda pair: metrics.log_loss(
            softmax(pair[0] * lstm + pair[1] * linear), labels, weights
        ),
    )


def _text_weights(splits: TextSplits, labels: np.ndarray) -> np.ndarray | None:
    """Returns the weight of each text, `(num,)`; None if all count alike."""
    weights = splits.class_weights
    return None if weights is None else weights[labels]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits, both `(num, classes)`."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit(splits: TextSplits, num_pairs: int) -> Tables:
    """Returns the weights that tell the classes of the training texts apart.

    Args:
        splits: The data; only the training split is used.
        num_pairs: The number of hash buckets of word pairs.
    """
    split, num_classes = splits.train, len(splits.class_names)
    num_words = len(splits.tokenizer.vocabulary)
    counts = _counts(split.features, num_words, num_pairs)
    weights = _text_weights(splits, split.labels)
    if num_classes == 2:
        of_second = _fit_one(counts, split.labels == 1, weights)
        # The first class has zeros, which cost nothing in a packed file.
        weights = np.stack([np.zeros_like(of_second), of_second], axis=1)
    else:
        weights = np.stack(
            [
                _fit_one(counts, split.labels == k, weights)
                for k in range(num_classes)
            ],
            axis=1,
        )
    weights = weights.astype(np.float32)
    return Tables(weights[:num_words], weights[num_words:])


def log_odds(ids: np.ndarray, tables: Tables) -> np.ndarray:
    """Returns the logits of the linear path, `(num, classes)`.

    Args:
        ids: `(num, length) int32`, padded.
        tables: The weights of the linear path.
    """
    counts = _counts(ids, len(tables.words), len(tables.pairs))
    return counts @ np.concatenate([tables.words, tables.pairs])


def _counts(
    ids: np.ndarray, num_words: int, num_pairs: int
) -> sparse.csr_matrix:
    """Returns the counts of words and pairs, `(num, num_words + num_pairs)`."""
    pairs = keras.ops.convert_to_numpy(
        networks.pair_ids(ids, num_words, num_pairs)
    )
    real = ids != PADDING
    rows = np.nonzero(real)[0]
    columns = np.concatenate([ids[real], num_words + pairs[real]])
    ones = np.ones(len(columns), np.float64)
    shape = (len(ids), num_words + num_pairs)
    return sparse.csr_matrix((ones, (np.tile(rows, 2), columns)), shape)


def _fit_one(
    counts: sparse.csr_matrix,
    positive: np.ndarray,
    text_weights: np.ndarray | None,
) -> np.ndarray:
    """Returns the weights of one class against the rest."""
    present: Any = counts.sign()
    rates = [
        1 + np.asarray(present[rows].sum(axis=0)).ravel()
        for rows in (positive, ~positive)
    ]
    with_class, without = (rate / rate.sum() for rate in rates)
    ratios = np.log(with_class / without)
    # Without an intercept: the network's only bias is that of `logits`.
    model = linear_model.LogisticRegression(
        C=INVERSE_PENALTY, solver="liblinear", fit_intercept=False
    )
    model.fit(counts @ sparse.diags(ratios), positive, text_weights)
    return ratios * model.coef_[0]
