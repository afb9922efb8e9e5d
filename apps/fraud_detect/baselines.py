"""Models that are not neural networks, on the same features."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import decomposition, ensemble, linear_model, pipeline
from sklearn import preprocessing as scaling

from common.console import track

from . import encoding, ranking
from .folds import Data, Fold

# From raw features `(num, features)` to scores `(num,)`.
Score = Callable[[np.ndarray], np.ndarray]


def logistic_regression(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Fits the Handbook's: standardized features, scikit-learn's defaults."""
    model = pipeline.make_pipeline(
        scaling.StandardScaler(),
        linear_model.LogisticRegression(max_iter=1000),
    ).fit(raw, fraud)
    return lambda rows: model.predict_proba(rows)[:, 1]


def random_forest(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Fits the Handbook's random forest of 100 full trees."""
    model = ensemble.RandomForestClassifier(
        100, random_state=seed, n_jobs=-1
    ).fit(raw, fraud)
    return lambda rows: model.predict_proba(rows)[:, 1]


def gradient_boosting(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Fits histogram gradient boosting of 100 small steps."""
    model = ensemble.HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, random_state=seed
    ).fit(raw, fraud)
    return lambda rows: model.predict_proba(rows)[:, 1]


def isolation_forest(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Fits an isolation forest, without labels, by scikit-learn's defaults."""
    model = ensemble.IsolationForest(random_state=seed).fit(raw)
    return lambda rows: -model.score_samples(rows)


def pca_reconstruction(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Scores by the squared error of two principal components, no labels."""
    scaler = scaling.StandardScaler().fit(raw)
    model = decomposition.PCA(2, random_state=seed).fit(scaler.transform(raw))

    def score(rows: np.ndarray) -> np.ndarray:
        scaled = scaler.transform(rows)
        back = model.inverse_transform(model.transform(scaled))
        return np.sum((scaled - back) ** 2, axis=1)

    return score


def deviations(raw: np.ndarray, fraud: np.ndarray, seed: int) -> Score:
    """Scores by how far each quantity is above its mean, without labels.

    There is no model: this is an autoencoder that expects the mean of every
    quantity.
    """
    scaler = scaling.StandardScaler().fit(raw)

    def score(rows: np.ndarray) -> np.ndarray:
        above = np.clip(scaler.transform(rows), 0.0, encoding.LARGEST)
        return np.mean(above**2, axis=1)

    return score


SUPERVISED = (logistic_regression, random_forest, gradient_boosting)
UNSUPERVISED = (isolation_forest, pca_reconstruction, deviations)
DERIVED = (deviations,)  # These see the ratios of amounts, as networks do.


def measure(data: Data, seed: int, top: int) -> list[dict[str, Any]]:
    """Returns the rows of `baselines` in `report.json`: means over folds.

    Args:
        data: The folds.
        seed: The seed of the models that are random.
        top: Cards looked at a day.
    """
    makers = (*SUPERVISED, *UNSUPERVISED)
    labelled = all(fold.splits.train.labels.any() for fold in data.folds)
    rows = []
    for make in track(makers, "baselines", len(makers)):
        if make in SUPERVISED and not labelled:
            continue
        folds = [
            judge(make, fold, seen(data, fold, make in DERIVED), seed, top)
            for fold in data.folds
        ]
        metrics = {
            key: float(np.mean([figures[key] for figures in folds]))
            for key in folds[0]
            if all(key in figures for figures in folds)
        }
        name = make.__name__.replace("_", " ")
        rows.append({"name": name, "metrics": metrics})
    return rows


def seen(data: Data, fold: Fold, with_ratios: bool) -> Score:
    """Returns a function to a baseline's features: no gaps, no categories.

    Args:
        data: Gives the features' names and the table's own columns.
        fold: Gives the training features.
        with_ratios: Whether the baseline sees the ratios of amounts too.
    """
    raw = last(fold.splits.train.features).astype(np.float64)
    quantities = encoding.Quantities(data.names, raw, data.own, with_ratios)
    return lambda features: np.asarray(quantities.of(last(features)))


def judge(
    make: Callable[[np.ndarray, np.ndarray, int], Score],
    fold: Fold,
    seen: Score,
    seed: int,
    top: int,
) -> dict[str, float]:
    """Returns the metrics of a baseline on one fold.

    Args:
        make: Fits the baseline.
        fold: The data.
        seen: Turns raw features into those that the baseline sees.
        seed: The seed of a baseline that is random.
        top: Cards looked at a day.
    """
    train, judged = fold.splits.train, fold.test
    score = make(seen(train.features), train.labels, seed)
    scores = score(seen(fold.splits.test.features))
    return ranking.summarize(
        scores, judged.fraud, judged.customer, judged.day, top
    )


def last(features: np.ndarray) -> np.ndarray:
    """Returns the features of the last transaction of each sequence."""
    return features[:, -1] if features.ndim == 3 else features
