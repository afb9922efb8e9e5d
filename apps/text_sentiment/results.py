"""The results of the app: the files for phones, the report's figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn import metrics as sklearn_metrics

from common.mobile import conversion, files, measurement, metadata
from common.report import metrics, plots, slices
from common.report.page import Table
from common.shared_options import LSTMOptions
from common.variants import Plan, Techniques

from . import (
    baselines,
    batches,
    linear,
    vocabulary,
)
from .config import APP
from .corpus import Corpus
from .data import TextSplits

CALIBRATION_TEXTS = 200
QUANTIZED = ("Embedding", "Dense")
SHOWN, SHOWN_WORDS, SHOWN_CHARACTERS = 12, 6, 400


def write_mobile(
    directory: Path,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    splits: TextSplits,
    options: LSTMOptions,
    reference: np.ndarray,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files; adds the tokenizer's two files.

    Args:
        directory: The release's `mobile`, made here.
        twins: The tf_keras twins, from `chain.compress`.
        plan: The files to write.
        splits: The data.
        options: Give the seed, the licence, the size of the sample, the drop
            allowed and the form of the LSTMs.
        reference: The Keras model's probabilities of the test split, `(num,
            classes) float32`.

    Returns:
        The rows of `variants` in `report.json`.
    """
    sample = splits.train.sample(CALIBRATION_TEXTS, options.seed)
    paths = conversion.write(
        directory,
        twins,
        plan,
        {"token_ids": sample.features},
        ("probabilities",),
        _int8(twins.values()),
        lstm=options.mobile_lstm,
    )
    files.write_names(directory / files.LABELS, splits.class_names)
    vocabulary.write(directory, splits.tokenizer)
    metadata.write(paths, facts(splits.class_names, options.license))
    measured_with = measurement.sampled(
        splits, options, batches.padded, reference, metrics.accuracy
    )
    return measurement.measure_all(paths, measured_with, options.max_drop)


def facts(class_names: Sequence[str], license: str) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves.

    They hold the tokenizer's rules, but not its words, which would make a small
    file a quarter larger.
    """
    return metadata.Facts(
        APP,
        f"Tells which of {len(class_names)} classes a text belongs to.",
        {
            "token_ids": metadata.Tensor(
                f"The text's token ids, by the rules of {vocabulary.TOKENIZER} "
                f"and the lines of {vocabulary.VOCABULARY} beside the model, "
                "padded at the end."
            )
        },
        {
            "probabilities": metadata.Tensor(
                "The probability of each class.", names=files.LABELS
            )
        },
        license,
        (vocabulary.TOKENIZER,),
    )


def _int8(twins: Iterable[Any]) -> conversion.Int8:
    """Returns the settings of int8 files: tables and dense layers are int8.

    All else is computed in float. Sums over a text must be: their range is that
    of the longest texts, a step of it is more than the sum of a short one.
    """
    floats = {
        layer.name
        for twin in twins
        for layer in twin.layers
        if type(layer).__name__ not in QUANTIZED
    }
    return conversion.Int8("float32", whole=False, denylist=tuple(floats))


def measure(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the metrics that are single figures.

    The F1 and the area under the ROC curve are means over the classes that
    occur. If all labels are of one class, the area is left out.

    Args:
        probabilities: `(num, classes)` floats.
        labels: `(num,)` integers.
    """
    predicted = np.argmax(probabilities, axis=1)
    f1 = sklearn_metrics.f1_score(
        labels, predicted, average="macro", zero_division=0.0
    )
    areas = [
        sklearn_metrics.roc_auc_score(labels == label, probabilities[:, label])
        for label in range(probabilities.shape[1])
        if 0 < np.sum(labels == label) < len(labels)
    ]
    return {
        "accuracy": metrics.accuracy(probabilities, labels),
        "macro_f1": float(f1),
        **({"roc_auc": float(np.mean(areas))} if areas else {}),
        "loss": metrics.log_loss(probabilities, labels),
        **metrics.calibration(probabilities, labels),
    }


def summarize(
    measured: dict[str, np.ndarray], splits: TextSplits
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each split, and of each class on test.

    Args:
        measured: The probabilities of `valid` and `test`, by split.
        splits: The data.
    """
    figures: dict[str, dict[str, Any]] = {
        name: dict(measure(probabilities, getattr(splits, name).labels))
        for name, probabilities in measured.items()
    }
    test = (measured["test"], splits.test.labels)
    figures["test"]["per_class"] = {
        "class": list(splits.class_names),
        **metrics.per_class(*test),
    }
    figures["test"]["confusion"] = metrics.confusion_matrix(*test).tolist()
    return figures


def by_slice(
    measured: Mapping[str, np.ndarray],
    corpus: Corpus,
    columns: Sequence[str],
) -> dict[str, Any]:
    """Returns the figures of groups of texts; see `slices.build`.

    Args:
        measured: The probabilities `(num, classes)` of each split.
        corpus: The texts of these splits, in the same order.
        columns: The value of `--slice_by`.
    """

    def of(split: str, mask: np.ndarray) -> dict[str, Any]:
        labels = corpus.splits[split].labels[mask]
        figures = measure(measured[split][mask], labels)
        interval = metrics.proportion_interval(
            figures["accuracy"], int(mask.sum())
        )
        return {
            **{name: figures[name] for name in ("accuracy", "macro_f1")},
            "intervals": {"accuracy": list(interval)},
        }

    groups = {
        name: cells
        for name in measured
        if (cells := corpus.splits[name].groups) is not None
    }
    return slices.build(columns, groups, of) if columns else {}


def compare(
    splits: TextSplits, joined: linear.Joined | None
) -> list[dict[str, Any]]:
    """Returns the report's rows of baselines and of the network's parts.

    Args:
        splits: The data.
        joined: The network's parts; None if it has no linear path.
    """
    parts = joined.alone if joined else {}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "part": True,
            "metrics": dict(measure(probabilities, splits.test.labels)),
        }
        for name, probabilities in parts.items()
    ]
    return [*rows, *baselines.measure(splits)]


def show(
    result: dict[str, Any],
    model: keras.Model,
    splits: TextSplits,
    probabilities: np.ndarray,
) -> list[plots.Plot | Table]:
    """Returns the plots and tables of the report.

    Args:
        result: The report.
        model: The classifier.
        splits: The data.
        probabilities: Of the test split, `(num, classes)`.
    """
    matrix = metrics.confusion_matrix(probabilities, splits.test.labels)
    return [
        plots.size_against_metric(
            result["variants"], "accuracy", result["config"]["max_drop"]
        ),
        plots.learning_curves(result["history"], "accuracy"),
        plots.confusion(matrix, splits.class_names),
        worst_mistakes(model, splits, probabilities),
    ]


def worst_mistakes(
    model: keras.Model, splits: TextSplits, probabilities: np.ndarray
) -> Table:
    """Returns the table of the most confident wrong classifications of test."""
    predicted = np.argmax(probabilities, axis=1)
    confidence = np.max(probabilities, axis=1)
    order = np.argsort(-confidence, kind="stable")
    rows = []
    for index in order[predicted[order] != splits.test.labels[order]][:SHOWN]:
        words = splits.words["test"][index]
        moving = moving_words(model, splits, words, predicted[index])
        rows.append(
            [
                splits.class_names[splits.test.labels[index]],
                splits.class_names[predicted[index]],
                float(confidence[index]),
                ", ".join(f"{word} {change:+.2f}" for word, change in moving),
                shorten(splits.corpus.splits["test"].texts[index]),
            ]
        )
    return Table(
        "Worst mistakes",
        f"The {len(rows)} test texts that were classified wrongly with the "
        "most confidence, and the words that moved each prediction most: how "
        "far the log-odds of the predicted class fall when that one word is "
        "made unknown.",
        ("true", "predicted", "confidence", "words", "text"),
        rows,
    )


def moving_words(
    model: keras.Model, splits: TextSplits, words: Sequence[str], label: int
) -> list[tuple[str, float]]:
    """Returns the words that moved a prediction most, each left out in turn.

    Args:
        model: The classifier.
        splits: The data, for the tokenizer.
        words: The words of a text.
        label: The class whose log-odds are compared.

    Returns:
        Words, each with the fall of the log-odds of `label` without it.
    """
    tokenizer = splits.tokenizer
    ids = np.array(tokenizer.ids(words), np.int32)
    without = np.tile(ids, (len(ids) + 1, 1))
    np.fill_diagonal(without[1:], tokenizer.unknown)
    outputs = np.asarray(model(without, training=False), np.float64)
    chance = outputs[:, label]
    odds = np.log(np.clip(chance, 1e-7, 1))
    odds -= np.log(np.clip(1 - chance, 1e-7, 1))
    change = odds[0] - odds[1:]
    order = np.argsort(-np.abs(change), kind="stable")[:SHOWN_WORDS]
    return [(tokenizer.vocabulary[ids[i]], float(change[i])) for i in order]


def shorten(text: str, length: int = SHOWN_CHARACTERS) -> str:
    """Returns a text on one line; a long text is cut to its two ends."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    return f"{line[: length // 3]} … {line[-2 * length // 3 :]}"
