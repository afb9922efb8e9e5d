"""What is learnt before the LSTM: baselines, word vectors, a teacher's labels.

The NB-weighted baseline labels the unlabelled texts; the LSTM learns from
these probabilities beside the true labels (Hinton et al., Distilling the
knowledge in a neural network, 2015). Word vectors start the embedding. All of
it is learnt from training and unlabelled texts alone.
"""

import dataclasses
import time
from typing import Any

import numpy as np

from apps.text_sentiment import baselines, vectors
from apps.text_sentiment.data import TextSplits, with_unlabelled
from common import metrics, runtime


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What the LSTM learns from.

    Attributes:
        splits: Their training labels are probabilities `(num, classes)`, the
            teacher's among them; the notes say what was done.
        vectors: `(num_words, size)` to start the embedding with, or None.
        baselines: Rows of the report.
    """

    splits: TextSplits
    vectors: np.ndarray | None
    baselines: list[dict[str, Any]]


def prepare(
    splits: TextSplits, vector_size: int, teach: bool, seed: int
) -> Lesson:
    """Fits the baselines; learns vectors and labels where asked to.

    Args:
        splits: Validation and test only measure the baselines.
        vector_size: The size of the vectors to learn; 0 for none.
        teach: Whether a baseline labels the unlabelled texts.
        seed: Fixes the vectors.
    """
    notes, found, start = [], None, time.monotonic()
    teacher = _fit(splits)
    fitted = time.monotonic()
    rows = [_naive_bayes(teacher, splits, fitted - start), _svm(splits)]
    labels = np.empty((0, len(splits.class_names)), np.float32)
    if teach:
        begin = time.monotonic()
        labels = teacher(splits.words["unlabelled"])
        seconds = fitted - start + time.monotonic() - begin
        notes.append(
            f"the NB-weighted baseline labelled {len(labels):,} texts, "
            f"{seconds:.1f} s with its own training"
        )
    if vector_size:
        begin = time.monotonic()
        found = _vectors(splits, vector_size, seed)
        seconds = time.monotonic() - begin
        notes.append(
            f"word vectors of {vector_size} numbers learnt in {seconds:.1f} s"
        )
    for note in notes:
        runtime.console().print(note)
    taught = with_unlabelled(splits, labels)
    taught = dataclasses.replace(taught, notes=(*splits.notes, *notes))
    return Lesson(taught, found, rows)


def _fit(splits: TextSplits) -> baselines.NaiveBayesLogistic:
    """Returns the NB-weighted baseline, fitted to the training texts."""
    teacher = baselines.NaiveBayesLogistic()
    with runtime.console().status("fitting the baselines"):
        teacher.fit(
            splits.words["train"],
            splits.corpus.splits["train"].labels,
            len(splits.class_names),
        )
    return teacher


def _naive_bayes(
    teacher: baselines.NaiveBayesLogistic, splits: TextSplits, seconds: float
) -> dict[str, Any]:
    """Returns the NB-weighted baseline's row."""
    found = teacher(splits.words["test"])
    accuracy = metrics.accuracy(found, splits.corpus.splits["test"].labels)
    return {
        "name": "NB-weighted 1-2-grams, logistic regression",
        "metrics": {"accuracy": accuracy, "seconds": round(seconds, 1)},
    }


def _svm(splits: TextSplits) -> dict[str, Any]:
    """Returns the row of TF-IDF and a linear SVM."""
    start, parts = time.monotonic(), splits.corpus.splits
    found = baselines.support_vectors(
        splits.words["train"], parts["train"].labels, splits.words["test"]
    )
    accuracy = float(np.mean(found == parts["test"].labels))
    seconds = round(time.monotonic() - start, 1)
    return {
        "name": "TF-IDF 1-2-grams, linear SVM",
        "metrics": {"accuracy": accuracy, "seconds": seconds},
    }


def _vectors(splits: TextSplits, size: int, seed: int) -> np.ndarray:
    """Returns word vectors from all texts but validation's and test's."""
    ids = {word: i for i, word in enumerate(splits.tokenizer.vocabulary)}
    texts = [
        [ids.get(word, splits.tokenizer.unknown) for word in words]
        for name in ("train", "unlabelled")
        for words in splits.words[name]
    ]
    return vectors.learn(texts, len(ids), size, seed)
