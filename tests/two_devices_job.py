"""For the tests: trains on two logical devices, and on one, and compares.

A process of its own, for devices must be made before TensorFlow starts.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import runtime
from common.data.splits import MemorySplit, Splits
from common.shared_options import Options
from common.teacher_options import TeacherOptions
from common.training import distillation, fitting

ROWS = {"train": (0, 99), "valid": (99, 120), "test": (120, 147)}


def plain(features, labels, seed=None):
    return features, labels


def build(layer) -> keras.Model:
    """Returns a compiled model with `layer` in its middle."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu"),
            layer(),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"],
        steps_per_execution=4,
    )  # fmt: skip
    return model


def toy() -> Splits:
    """Returns rows whose class is the sign of their sum."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(147, 6)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    parts = {k: MemorySplit(x[a:b], y[a:b]) for k, (a, b) in ROWS.items()}
    return Splits("toy", ("no", "yes"), **parts)


def teacher() -> distillation.Teacher:
    """Returns a network that teaches."""
    runtime.set_seed(3)
    network = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(2, "softmax")]
    )
    options = TeacherOptions(teacher="big", teacher_weight=0.7)
    return distillation.Teacher.of(network, options, metrics={})


def train(
    strategy: tf.distribute.Strategy,
    work_dir: Path,
    layer,
    taught_by: distillation.Teacher | None = None,
) -> tuple[keras.Model, dict]:
    """Returns a model trained on batches that do not divide, and logs."""
    runtime.set_seed(0)
    with strategy.scope():
        model = build(layer)
    log = fitting.fit(
        model, toy(), Options(epochs=3, batch_size=8), work_dir=work_dir,
        transform=plain, evaluation_transform=plain, monitor="val_loss",
        mode="min", teacher=taught_by,
    )  # fmt: skip
    return model, log.history


def check_normalization(model: keras.Model, history: dict) -> None:
    """Fails where validation showed other figures than the release has."""
    released = build(keras.layers.BatchNormalization)
    released.set_weights(model.get_weights())
    valid = toy().valid
    loss, accuracy = released.evaluate(valid.features, valid.labels, verbose=0)
    best = int(np.argmin(history["val_loss"]))
    np.testing.assert_allclose(history["val_loss"][best], loss, rtol=1e-5)
    np.testing.assert_allclose(history["val_accuracy"][best], accuracy)


def main() -> None:
    """Fails where two devices do not train as one does."""
    root = Path(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert mirrored.num_replicas_in_sync == 2
    _, found = train(mirrored, root / "two", keras.layers.Identity)
    _, alone = train(
        tf.distribute.get_strategy(), root / "one", keras.layers.Identity
    )
    for name in ("loss", "val_loss", "val_accuracy"):
        # The training loss that is shown counts the last batch's filling too.
        atol = 2e-3 if name == "loss" else 1e-5
        np.testing.assert_allclose(found[name], alone[name], atol=atol)
    taught, taught_alone = (
        train(strategy, root / f"taught_{name}", keras.layers.Identity,
              teacher())[0]
        for name, strategy in (
            ("two", mirrored), ("one", tf.distribute.get_strategy())
        )
    )  # fmt: skip
    for one, other in zip(
        taught.get_weights(), taught_alone.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # A batch's statistics are each device's own: no equality with one's.
    norm = keras.layers.BatchNormalization
    check_normalization(*train(mirrored, root / "norm", norm))


if __name__ == "__main__":
    main()
