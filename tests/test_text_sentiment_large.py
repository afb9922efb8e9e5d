"""Real data: IMDB, with floors below what the README publishes."""

from pathlib import Path

import flagfiles
import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.text_sentiment import baselines, graph, vocabulary
from apps.text_sentiment import train as app
from common import runtime
from common.mobile import litert

pytestmark = pytest.mark.large


@pytest.fixture
def options(tfds_dir, tmp_path, monkeypatch) -> app.Config:
    """The published setting, cut to one epoch and one file."""
    monkeypatch.chdir(tmp_path)
    return flagfiles.read(
        app.Config, "text_sentiment_imdb.flags",
        data_dir=tfds_dir("imdb_reviews"), epochs=1, variants=("float32",),
    )  # fmt: skip


def test_an_epoch_of_imdb(options, monkeypatch) -> None:
    monkeypatch.setattr(baselines, "measure", lambda splits: [])
    runtime.start(options.seed)
    result = app.run(options)
    assert result["dataset"]["test"] == 25_000
    assert result["metrics"]["test"]["accuracy"] >= 0.905
    (row,) = result["variants"]
    assert not row["stateful"]
    assert row["max_abs_error"] <= 1e-4
    assert result["serving"]["max_abs_error"] <= 1e-5
    release = Path("saved_models/text_sentiment/1").absolute()
    texts = app.load_texts(options).splits["test"].texts[:1000]
    tokenizer = vocabulary.read(release / "mobile")
    ids = np.array([tokenizer.padded(text) for text in texts], np.int32)
    model = keras.saving.load_model(release / "model.keras")
    expected = model.predict(ids, verbose=0)
    runner = litert.Runner((release / "mobile/float32.tflite").read_bytes())
    probabilities = runner(token_ids=ids)["probabilities"]
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    served = tf.saved_model.load(release).signatures["serving_default"]
    probabilities = served(text=tf.constant(texts[:200]))["probabilities"]
    np.testing.assert_allclose(probabilities, expected[:200], atol=1e-5)


def test_both_tokenizers_agree_on_all_labelled_reviews(options) -> None:
    splits = app.load_data(options)
    tokenize = tf.function(
        graph.GraphTokenizer(splits.tokenizer).__call__,
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    count = 0
    for name, part in splits.corpus.splits.items():
        expected = getattr(splits, name).features
        for start in range(0, len(part.texts), 500):
            ids = tokenize(part.texts[start : start + 500]).numpy()
            rows = expected[start : start + 500]
            np.testing.assert_array_equal(ids, rows[:, : ids.shape[1]])
            assert not rows[:, ids.shape[1] :].any()
            count += len(rows)
    assert count == 50_000
