"""The linear baselines that an LSTM has to beat; one of them is its teacher.

Both count words and pairs of neighbouring words. NB-weighted features: Wang
and Manning, Baselines and bigrams, 2012.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import feature_extraction, linear_model, svm

Words = Sequence[Sequence[str]]


class NaiveBayesLogistic:
    """Logistic regression on presence times a naive Bayes log-ratio.

    One class against the rest, each with ratios of its own.

    Attributes:
        INVERSE_PENALTY: Chosen on 2,500 validation reviews of IMDB.
    """

    INVERSE_PENALTY = 0.3

    def fit(self, words: Words, labels: np.ndarray, num_classes: int) -> None:
        """Learns from texts as words."""
        self._vectorizer = _pairs(
            feature_extraction.text.CountVectorizer, binary=True
        )
        counts = self._vectorizer.fit_transform(words).astype(np.float64)
        # Two classes need one model: the other is its complement.
        ones = range(1 if num_classes == 2 else 0, num_classes)
        self._models = [_fit_one(counts, labels == one) for one in ones]

    def __call__(self, words: Words) -> np.ndarray:
        """Returns probabilities `(num, classes) float32`."""
        counts = self._vectorizer.transform(words).astype(np.float64)
        columns = [
            model.predict_proba(counts @ ratios)[:, 1]
            for ratios, model in self._models
        ]
        if len(columns) == 1:
            columns = [1 - columns[0], columns[0]]
        found = np.stack(columns, axis=1)
        return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def _fit_one(counts: Any, positive: np.ndarray) -> tuple[Any, Any]:
    """Returns the log-ratios, as a diagonal, and the regression on them."""
    rates = [
        1 + np.asarray(counts[rows].sum(axis=0)).ravel()
        for rows in (positive, ~positive)
    ]
    with_class, without = (rate / rate.sum() for rate in rates)
    ratios = sparse.diags(np.log(with_class / without))
    model = linear_model.LogisticRegression(
        C=NaiveBayesLogistic.INVERSE_PENALTY, solver="liblinear"
    )
    return ratios, model.fit(counts @ ratios, positive)


def support_vectors(
    train: Words, labels: np.ndarray, test: Words
) -> np.ndarray:
    """Returns the classes of `test` by a linear SVM on TF-IDF."""
    vectorizer = _pairs(
        feature_extraction.text.TfidfVectorizer, sublinear_tf=True
    )
    model = svm.LinearSVC().fit(vectorizer.fit_transform(train), labels)
    return model.predict(vectorizer.transform(test))


def _pairs(kind: Any, **options: Any) -> Any:
    """Returns a vectorizer of words and pairs of our own tokens."""
    return kind(min_df=2, analyzer=_one_and_two, **options)


def _one_and_two(words: Sequence[str]) -> list[str]:
    """Returns the words, and each with the one after it."""
    return [*words, *map(" ".join, itertools.pairwise(words))]
