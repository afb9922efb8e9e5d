import numpy as np
import pytest
from sklearn import metrics as reference

from common.report import metrics


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(7), 500), rng.integers(0, 7, 500)


def test_they_equal_scikit_learn(scored) -> None:
    probabilities, labels = scored
    predicted = probabilities.argmax(axis=1)
    found = metrics.classification(probabilities, labels)
    assert found["accuracy"] == reference.accuracy_score(labels, predicted)
    assert found["top_5_accuracy"] == reference.top_k_accuracy_score(
        labels, probabilities, k=5
    )
    assert found["loss"] == pytest.approx(
        reference.log_loss(labels, probabilities)
    )
    matrix = metrics.confusion_matrix(probabilities, labels)
    np.testing.assert_array_equal(
        matrix, reference.confusion_matrix(labels, predicted)
    )
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted
    )
    each = metrics.per_class(probabilities, labels)
    np.testing.assert_allclose(each["precision"], precision)
    np.testing.assert_allclose(each["recall"], recall)
    np.testing.assert_allclose(each["f1"], f1)
    np.testing.assert_array_equal(each["support"], support)


def test_calibration_error_of_known_gaps() -> None:
    sure = np.array([[0.9, 0.1]] * 10)
    right = np.zeros(10, int)
    half = np.array([0, 1] * 5)
    ece = metrics.expected_calibration_error
    assert ece(sure, right) == pytest.approx(0.1)
    assert ece(sure, half) == pytest.approx(0.4)


def test_figures_without_meaning_are_left_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    found = metrics.classification(rng.dirichlet(np.ones(5), 200), labels)
    assert list(found) == ["accuracy", "loss", "ece"]
    found = metrics.classification(rng.dirichlet(np.ones(6), 99), labels[:99])
    assert list(found) == ["accuracy", "top_5_accuracy", "loss"]


def test_a_class_that_never_occurs_scores_zero() -> None:
    each = metrics.per_class(np.eye(2)[[0, 0, 0]], np.zeros(3, int))
    assert each["precision"] == [1.0, 0.0] and each["recall"] == [1.0, 0.0]
    assert each["f1"] == [1.0, 0.0] and each["support"] == [3, 0]


def test_a_loss_is_finite_and_knows_classes_that_do_not_occur() -> None:
    sure = np.eye(3, dtype=np.float32)[[0, 1]]
    assert metrics.log_loss(sure, np.array([0, 1])) < 1e-6
    wrong = metrics.log_loss(sure, np.array([1, 1]))
    assert wrong == pytest.approx(-np.log(1e-7) / 2, rel=1e-6)
    matrix = metrics.confusion_matrix(sure, np.array([1, 1]))
    assert matrix.tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_value_are_left_out() -> None:
    scores, labels = np.arange(30.0), np.arange(30) == 12

    def first(scores: np.ndarray, labels: np.ndarray) -> float:
        return scores[labels].mean() if labels.any() else float("nan")

    assert metrics.bootstrap_interval(first, scores, labels) == (12, 12)
    alone = np.array([0.5])
    assert metrics.bootstrap_interval(np.mean, alone) == (0.5, 0.5)


def test_bootstrap_interval_holds_the_mean_of_a_normal_sample() -> None:
    rows = np.random.default_rng(0).normal(1.0, 1.0, 400)
    low, high = metrics.bootstrap_interval(lambda one: one.mean(), rows)
    assert low < rows.mean() < high
    # Standard error 1 / 20, so that 95 % are about 0.2 wide.
    assert 0.15 < high - low < 0.25
    again = metrics.bootstrap_interval(lambda one: one.mean(), rows)
    assert again == (low, high)
