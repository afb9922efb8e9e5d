"""The linear baselines that an LSTM has to beat, on the same split.

Both know words and pairs of neighbouring words. NB-weighted features: Wang and
Manning, Baselines and bigrams, 2012.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import feature_extraction, linear_model, svm

from common.console import track

from .data import TextSplits

text = feature_extraction.text


def measure(splits: TextSplits) -> list[dict[str, Any]]:
    """Returns the baselines' rows of the report: accuracy on test, seconds."""
    methods: dict[str, Callable] = {
        "TF-IDF 1-2-grams, linear SVM": support_vectors,
        "NB-weighted 1-2-grams, logistic regression": naive_bayes,
    }
    words, parts, rows = splits.words, splits.corpus.splits, []
    for name in track(list(methods), "fitting baselines", len(methods)):
        start = time.monotonic()
        predicted = methods[name](
            words["train"], parts["train"].labels, words["test"]
        )
        figures = {
            "accuracy": float(np.mean(predicted == parts["test"].labels)),
            "seconds": round(time.monotonic() - start, 1),
        }
        rows.append({"name": name, "metrics": figures})
    return rows


def support_vectors(
    train: Sequence[Sequence[str]],
    labels: np.ndarray,
    test: Sequence[Sequence[str]],
) -> np.ndarray:
    """Returns the classes of `test` by a linear SVM on TF-IDF."""
    vectorizer = text.TfidfVectorizer(
        analyzer=_one_and_two, min_df=2, sublinear_tf=True
    )
    model = svm.LinearSVC().fit(vectorizer.fit_transform(train), labels)
    return model.predict(vectorizer.transform(test))


def naive_bayes(
    train: Sequence[Sequence[str]],
    labels: np.ndarray,
    test: Sequence[Sequence[str]],
) -> np.ndarray:
    """Returns the classes of `test` by NB-weighted logistic regressions.

    Each class has a model against the rest. A feature is 1 if the text has the
    word or pair, times its log-ratio.
    """
    vectorizer = text.CountVectorizer(
        analyzer=_one_and_two, min_df=2, binary=True, dtype=np.float64
    )
    train_counts = vectorizer.fit_transform(train)
    test_counts, scores = vectorizer.transform(test), []
    for label in np.unique(labels):
        positive = labels == label
        rates = [
            1 + np.asarray(train_counts[rows].sum(axis=0)).ravel()
            for rows in (positive, ~positive)
        ]
        with_class, without = (rate / rate.sum() for rate in rates)
        ratios = sparse.diags(np.log(with_class / without))
        # The penalty was chosen on 2,500 validation reviews of IMDB.
        model = linear_model.LogisticRegression(C=0.3, solver="liblinear")
        model.fit(train_counts @ ratios, positive)
        scores.append(model.decision_function(test_counts @ ratios))
    return np.unique(labels)[np.argmax(scores, axis=0)]


def _one_and_two(words: Sequence[str]) -> list[str]:
    """Returns the words, and the pairs of neighbouring words."""
    return [*words, *map(" ".join, itertools.pairwise(words))]
