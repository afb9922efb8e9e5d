"""apps.compress on models that were trained elsewhere, with real data."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812

from apps.compress import train as app
from common.data import image_sets
from common.mobile import litert

pytestmark = pytest.mark.large
TFDS = os.environ.get("TFDS_DATA_DIR", "")

# This script does not use this project: only Keras, NumPy and two arrays.
SCRIPT = """
import keras, numpy as np; from keras import layers as L; d = np.load("t.npz")
keras.utils.set_random_seed(0); m = keras.Sequential([keras.Input((28, 28, 1)), L.Conv2D(16, 5, activation="relu"), L.MaxPooling2D(), L.Conv2D(32, 5, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(128, activation="relu"), L.Dense(10, activation="softmax")])
m.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
m.fit(d["x"] / 255.0, d["y"], batch_size=128, epochs=3, verbose=0)
m.save("mnist.keras")
"""  # noqa: E501


@pytest.mark.skipif(
    not (Path(TFDS) / "mnist").is_dir(), reason="no mnist in $TFDS_DATA_DIR"
)
def test_mnist_becomes_15_times_smaller(tmp_path: Path) -> None:
    splits = image_sets.load("mnist", data_dir=TFDS)
    np.savez(tmp_path / "t.npz", x=splits.train.features, y=splits.train.labels)
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, check=True)
    result = app.run(
        app.Config(
            model=str(tmp_path / "mnist.keras"),
            dataset="mnist",
            data_dir=TFDS,
            variants=("float32", "int8", "prune+cluster+int8"),
            batch_size=128,
            finetune_epochs=3,
            max_drop=0.005,
            export_dir=str(tmp_path / "releases"),
        )
    )
    rows = {row["name"]: row for row in result["variants"]}
    (chosen,) = (row for row in rows.values() if row["chosen"])
    assert rows["float32"]["metric"] >= 0.985
    assert chosen["drop"] <= 0.005
    assert rows["float32"]["gzip_bytes"] >= 15 * chosen["gzip_bytes"]


def transformer(vocabulary: int, length: int) -> keras.Model:
    """Returns a model with attention, layer normalization and residuals."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    x = L.Embedding(vocabulary, 32, name="embedding")(tokens)
    x = L.Dropout(0.2)(x)
    for _ in range(2):
        x = L.LayerNormalization()(x + L.MultiHeadAttention(4, 8)(x, x))
        y = L.Dense(32)(L.Dense(64, activation="gelu")(x))
        x = L.LayerNormalization()(L.Add()([x, y]))
    x = L.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, L.Dense(10, activation="softmax")(x))


def test_a_transformer_is_pruned_and_becomes_int8(tmp_path: Path) -> None:
    splits = image_sets.load("digits")
    parts: list[Any] = [splits.train, splits.valid, splits.test]
    x = np.concatenate([part.features for part in parts]).reshape(-1, 64)
    y = np.concatenate([part.labels for part in parts])
    # A token stands for a level of grey, 0 to 3, at one of 64 places.
    tokens = x // 64 + 4 * np.arange(64, dtype="int32")
    order = np.random.default_rng(0).permutation(len(y))
    train, valid, test = np.split(order, [1000, 1400])
    model = transformer(4 * 64, 64)
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(tokens[train], y[train], batch_size=32, epochs=30, verbose=0)
    model.save(tmp_path / "transformer.keras")
    np.savez(
        tmp_path / "digits.npz",
        x=tokens[train], y=y[train],
        x_valid=tokens[valid], y_valid=y[valid],
        x_test=tokens[test], y_test=y[test],
    )  # fmt: skip
    result = app.run(
        app.Config(
            model=str(tmp_path / "transformer.keras"),
            dataset=str(tmp_path / "digits.npz"),
            variants=("float32", "int8", "prune+int8"),
            sparsity=0.5,
            batch_size=32,
            finetune_epochs=10,
            export_dir=str(tmp_path / "releases"),
        )
    )
    assert not result["refused_variants"]
    rows = {row["name"]: row for row in result["variants"]}
    # The model has learnt: chance is 0.1.
    assert rows["float32"]["metric"] >= 0.9
    for name in ("int8", "prune+int8"):
        assert rows[name]["drop"] <= 0.01
    assert rows["prune+int8"]["sparsity"] >= 0.4
    (release,) = (tmp_path / "releases" / "compress").iterdir()
    content = (release / "mobile" / "prune+int8.tflite").read_bytes()
    # All is quantized, the matrix products of attention included.
    runner = litert.Runner(content)
    dtypes = {
        tensor["dtype"].__name__
        for tensor in runner._interpreter.get_tensor_details()
        if "attention" in tensor["name"]
    }
    assert "BATCH_MATMUL" in litert.ops(content) and "int8" in dtypes
