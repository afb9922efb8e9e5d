"""Models of the zoo through all of apps.compress, from a file to a release."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_networks as networks
import zoo_sequences as sequences

from apps.compress import front_end
from apps.compress import train as app
from common.keras2 import check

pytestmark = pytest.mark.by_hand

# The greatest error of int8 files, as a part of the greatest output: twice what
# docs/architectures.md says was measured.
INT8_ERROR = {
    networks.transfer: 0.01,
    networks.conv_relu_bn: 0.015,
    networks.seven_inputs: 0.01,
    sequences.conv1d_unet: 0.025,
    sequences.lstm_attention: 0.025,
    sequences.own_vit: 0.07,
    sequences.text: 0.01,
}


def examples(model: keras.Model, num: int) -> dict[str, np.ndarray]:
    """Returns random inputs, for texts those that the zoo has."""
    batches: list[Any] = []
    for seed in range(num // 2):
        try:
            batches.append(check.random_inputs(model, seed))
        except (TypeError, ValueError):  # Strings.
            rng = np.random.default_rng(seed)
            batches.append(rng.choice(sequences.TEXTS, (2, 1)))
    arrays = [
        np.concatenate(parts)
        for parts in zip(*map(keras.tree.flatten, batches), strict=True)
    ]
    names = [x._keras_history.operation.name for x in model.inputs]
    return dict(zip(names, arrays, strict=True))


@pytest.mark.parametrize(
    "build", [pytest.param(x, id=x.__name__) for x in INT8_ERROR]
)
def test_a_whole_run(build: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build()
    model.save(tmp_path / "model.keras")
    inputs = examples(model, 80)
    tensors = [tf.constant(array) for array in inputs.values()]
    labels = model.predict(
        tensors if len(tensors) > 1 else tensors[0], verbose=0
    )
    np.savez(tmp_path / "data.npz", **inputs, y=labels)
    result = app.run(
        app.Config(
            model=str(tmp_path / "model.keras"),
            dataset=str(tmp_path / "data.npz"),
            loss="mse",
            export_dir=str(tmp_path / "releases"),
            variants=("float32", "int8", "prune+int8"),
            sparsity=0.5,
            finetune_epochs=1,
        )
    )
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "int8", "prune+int8"}
    assert rows["float32"]["max_abs_error"] <= 1e-5
    error = rows["int8"]["max_abs_error"] / np.abs(labels).max()
    assert error <= INT8_ERROR[build]
    assert rows["prune+int8"]["sparsity"] >= 0.3
    mobile = tmp_path / "releases" / "compress" / "1" / "mobile"
    assert (mobile / front_end.FILE).exists() == (build is sequences.text)
