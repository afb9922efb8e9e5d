"""apps.compress of a MobileNetV2 with a head of one's own, on photographs."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
import sklearn.datasets
from PIL import Image

pytestmark = pytest.mark.by_hand

SIZE = 96
# Pieces of eight photographs that scikit-image and scikit-learn bring: the
# task is to tell which photograph a piece is of. Those of the test split are
# from the right third, and the others from the rest.
NUM_PIECES = {"train": 150, "test": 50}


def photographs() -> dict[str, np.ndarray]:
    """Returns the photographs by name, `(height, width, 3)` uint8."""
    china, flower = sklearn.datasets.load_sample_images().images
    folder = Path(skimage.data.__file__).parent
    files = (
        "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg",
        "motorcycle_left.png", "rocket.jpg",
    )  # fmt: skip
    return {"china": china, "flower": flower} | {
        Path(file).stem: np.asarray(Image.open(folder / file)) for file in files
    }


def write_pieces(root: Path) -> None:
    """Writes a folder per split and class with JPEG files of the pieces."""
    rng = np.random.default_rng(0)
    for name, photograph in photographs().items():
        height, width, _ = photograph.shape
        border = 2 * width // 3
        parts = {"train": (0, border), "test": (border, width)}
        for split, (left, right) in parts.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(NUM_PIECES[split]):
                size = int(rng.integers(72, 144))
                x = int(rng.integers(left, right - size + 1))
                y = int(rng.integers(0, height - size + 1))
                piece = photograph[y : y + size, x : x + size]
                image = Image.fromarray(piece).resize((SIZE, SIZE))
                image.save(folder / f"{index:03}.jpg", quality=92)


def trained(folder: Path) -> keras.Model:
    """Returns the network after three epochs on the pieces of train."""
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV2(
        (SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # Three epochs are too few steps for 0.999.
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.applications.mobilenet_v2.preprocess_input(inputs)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x))
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.Dense(8, activation="softmax", name="head")(x)
    model = keras.Model(inputs, x)
    model.compile(
        keras.optimizers.Adam(2e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    images = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=16, seed=0, verbose=False
    )
    model.fit(images, epochs=3, verbose=2)
    return model


def test_qat_and_the_whole_chain(tmp_path: Path) -> None:
    write_pieces(tmp_path / "photographs")
    model = trained(tmp_path / "photographs" / "train")
    model.save(tmp_path / "photographs.keras")
    subprocess.run(
        [
            sys.executable, "-m", "apps.compress",
            f"--model={tmp_path}/photographs.keras",
            f"--dataset={tmp_path}/photographs",
            "--variants=int8,qat,prune+cluster+qat",
            "--sparsity=0.5", "--num_clusters=32", "--finetune_epochs=3",
            "--batch_size=16", f"--export_dir={tmp_path}/releases",
        ],
        check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    release = tmp_path / "releases" / "compress" / "1"
    report = json.loads((release / "report" / "report.json").read_text("utf-8"))
    assert not report["refused_variants"]
    rows = {row["name"]: row for row in report["variants"]}
    assert list(rows) == ["float32", "int8", "qat", "prune+cluster+qat"]
    for row in rows.values():
        print(row["name"], row["metric"], row["bytes"], row["gzip_bytes"])
    assert rows["float32"]["metric"] >= 0.5
    for name in ("qat", "prune+cluster+qat"):
        assert rows[name]["metric"] >= rows["float32"]["metric"] - 0.05
        assert rows[name]["output"]["dtype"] == "uint8"
    assert rows["qat"]["gzip_bytes"] < 0.35 * rows["float32"]["gzip_bytes"]
    assert (
        rows["prune+cluster+qat"]["gzip_bytes"]
        < 0.7 * rows["qat"]["gzip_bytes"]  # Half of the weights are left.
    )
