"""A small LSTM learns from a released one, on tiny data."""

from pathlib import Path

import pytest

from apps.text_sentiment import train as app
from common.options import InputError

TINY = {
    "max_tokens": 40,
    "embedding_dim": 12,
    "units": 16,
    "num_pairs": 997,
    "dropout": 0.05,
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.01,
    "variants": ("float32", "dynamic"),
    "max_drop": 1.0,
}


def small(release: Path, **changes) -> app.Config:
    options = {**TINY, "units": 4, "num_pairs": 0, "export_dir": "small"}
    return app.Config(**{**options, "teacher": str(release), **changes})


def test_a_small_lstm_learns_from_a_joined_network(released) -> None:
    big, release = released
    result = app.run(small(release))
    taught = result["teacher"]
    assert taught["metrics"]["valid"]["accuracy"] == pytest.approx(
        big["metrics"]["valid"]["accuracy"]
    )
    assert taught["student_weights"] < taught["weights"]
    assert not any("other splits" in note for note in result["notes"])
    alone = app.run(small("", export_dir="alone"))
    assert alone["history"]["loss"] != result["history"]["loss"]


def test_a_teacher_of_other_words_is_refused(released) -> None:
    _, release = released
    with pytest.raises(InputError, match=r"tokenizer of this run, of 50 ids"):
        app.run(small(release, vocabulary_size=50))
    # Texts may be cut elsewhere.
    config = small(release, max_tokens=20)
    splits = app.load_data(config)
    model = app.build_model(config, splits)
    assert app.load_teacher(config, splits, model).network.name == "lstm"
