"""Real data: pneumonia_mnist, with the floors of the claims in the README."""

import numpy as np
import pytest

pytestmark = pytest.mark.large
APP = "medical_autoencoder"
DATA = "pneumonia_mnist"


def test_pneumonia_is_told_from_normal(run) -> None:
    # A quarter of the epochs that the README's figure is measured with.
    result = run(
        "medical_autoencoder_pneumonia.flags",
        epochs=20, variants=("float32", "int8"),
    )  # fmt: skip
    assert result["dataset"]["train"] == 1214
    test = result["metrics"]["test"]
    assert test["auroc"] >= 0.90
    best = max(row["metrics"]["auroc"] for row in result["baselines"])
    assert test["auroc"] > best
    rows = {row["name"]: row for row in result["variants"]}
    assert rows["int8"]["drop"] <= 0.01


@pytest.mark.by_hand
def test_noise_is_removed(run) -> None:
    result = run(
        "medical_autoencoder_denoise.flags", epochs=6, variants=("float32",)
    )
    test = result["metrics"]["test"]
    assert test["psnr_gain"] >= 3
    assert test["psnr"] > np.max(
        [row["metrics"]["psnr"] for row in result["baselines"]]
    )
