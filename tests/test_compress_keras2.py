"""apps.compress of models that Keras 2 saved, and of .h5 files."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from apps.compress import objective, user_model
from apps.compress import train as app
from common.keras2 import bridge
from common.options import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6, 6, 2)).astype(np.float32)
Y = (X[..., 0].sum((1, 2)) > 0).astype(int)


def old_model() -> tf_keras.Model:
    """Returns a functional model of Keras 2, with what changed since then."""
    tf_keras.utils.set_random_seed(0)
    x = inputs = tf_keras.Input((6, 6, 2), name="image")
    y = tf_keras.layers.Conv2D(4, 3, padding="same", name="conv")(x)
    y = tf_keras.layers.LeakyReLU(alpha=0.2)(y)
    y = tf_keras.layers.BatchNormalization()(y)
    y = tf_keras.layers.Concatenate()([x, y])
    y = tf_keras.layers.TimeDistributed(tf_keras.layers.GRU(3))(y)
    y = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(3))(y)
    y = tf_keras.layers.Dense(2, activation="softmax", name="out")(y)
    model = tf_keras.Model(inputs, y)
    loss = tf_keras.losses.SparseCategoricalCrossentropy()
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(X, Y, epochs=1, verbose=0)
    return model


def saved(folder: Path, suffix: str, written: str = "2.15.0") -> str:
    """Saves the model as a version of Keras 2 did."""
    path = folder / f"old{suffix}"
    old_model().save(path)
    if suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["keras_version"] = written
        return str(path)
    return changed(path, {"metadata.json": {"keras_version": written}})


def changed(path: Path, members: dict[str, Any]) -> str:
    """Replaces members of a .keras file."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content |= {k: json.dumps(v).encode() for k, v in members.items()}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in content.items():
            file.writestr(name, value)
    return str(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_models_of_keras_2_are_read(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, suffix)
    user = user_model.load(path)
    np.testing.assert_allclose(
        user.model(X[:9]), tf_keras.models.load_model(path)(X[:9]), atol=1e-6
    )
    judge = objective.build(user, "", "")
    assert judge.name == "accuracy" and judge.num_classes == 2


def test_a_run_with_a_model_of_keras_2(tmp_path: Path) -> None:
    path = saved(tmp_path, ".keras")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    result = app.run(
        app.Config(
            model=path,
            dataset=str(tmp_path / "data.npz"),
            export_dir=str(tmp_path / "releases"),
            variants=("float32", "dynamic"),
        )
    )
    assert result["variants"][0]["max_abs_error"] <= 1e-5
    kept = tmp_path / "releases" / "compress" / "1" / "model.keras"
    assert keras.saving.load_model(kept).get_layer("conv").filters == 4


def test_an_h5_file_of_keras_3_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    model.save(tmp_path / "new.h5")
    user = user_model.load(str(tmp_path / "new.h5"))
    assert user.loss == "mse"
    np.testing.assert_array_equal(user.model.get_weights()[0],
                                  model.get_weights()[0])  # fmt: skip


def lambda_model(folder: Path, suffix: str) -> str:
    layer = tf_keras.layers.Lambda(lambda x: x * 2, name="code")
    model = tf_keras.Sequential([tf_keras.Input((4,)), layer])
    model.save(folder / f"old{suffix}")
    return str(folder / f"old{suffix}")


def own_model(folder: Path, suffix: str) -> str:
    class Own(tf_keras.layers.Layer):
        """A layer of the user's."""

    model = tf_keras.Sequential([tf_keras.Input((4,)), Own(name="mine")])
    model.save(folder / f"old{suffix}")
    return str(folder / f"old{suffix}")


def operation_model(folder: Path, suffix: str) -> str:
    inputs = tf_keras.Input((4,))
    tf_keras.Model(inputs, tf.math.cumsum(inputs)).save(folder / f"old{suffix}")
    return str(folder / f"old{suffix}")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda_model, "has a Lambda layer, 'code'"),
        (own_model, "'mine' of .*Own"),
        (operation_model, r"tf\.math\.cumsum"),
    ],
)
def test_what_cannot_be_read_says_what_to_run(
    build: Any, words: str, suffix: str, tmp_path: Path
) -> None:
    path = build(tmp_path, suffix)
    with pytest.raises(InputError, match=words) as caught:
        user_model.load(path)
    message = str(caught.value)
    assert f"Keras {tf_keras.__version__} wrote" in message
    assert "model.load_weights('old.h5')" in message and "\n" not in message


@pytest.mark.parametrize("name", ["Mine", "Dense"])
def test_a_registered_name_imports_no_other_module(
    name: str, tmp_path: Path
) -> None:
    """Keras 2 would import the module that a file names."""
    path = Path(saved(tmp_path, ".keras"))
    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
    layer = config["config"]["layers"][1]
    registered = keras.saving.register_keras_serializable("here", "Mine")
    registered(type("Mine", (keras.layers.Layer,), {}))
    layer.update(
        module="antigravity", class_name=name, registered_name="here>Mine"
    )
    changed(path, {"config.json": config})
    with pytest.raises(InputError, match=r"cannot be read from a \.keras file"):
        user_model.load(str(path))


@pytest.mark.parametrize("kind", ["soft", "external", "claim", "none", "junk"])
def test_damaged_and_hostile_files(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        if kind == "soft":
            group["other"] = h5py.ExternalLink("/etc/hostname", "/")
        elif kind == "external":
            group.create_dataset(
                "x", (4,), "u1", external=[("/etc/hostname", 0, 4)]
            )
        elif kind == "claim":
            group.create_dataset("x", (2**45,), "f4", chunks=(1024,))
        elif kind == "none":
            del file.attrs["model_config"]
    if kind == "junk":
        Path(path).write_bytes(b"no model")
    with pytest.raises(InputError, match="is not a whole") as caught:
        user_model.load(path)
    assert "\n" not in str(caught.value)


def test_layers_that_declare_more_weights_than_the_file_holds(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["config"]["name"] == "out":
                layer["config"]["units"] = 10**10
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="declare weights of"):
        user_model.load(path)


def transfer() -> tf_keras.Model:
    """Returns a nested backbone behind operations, as tutorials have it."""
    layers = tf_keras.layers
    backbone = tf_keras.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.DepthwiseConv2D(3),
            layers.SeparableConv2D(3, 2),
            layers.Conv2DTranspose(3, 2),
        ]
    )
    features = tf_keras.Model(backbone.inputs, backbone.outputs)
    image = tf_keras.Input((6, 6, 2), name="image")
    caffe = tf.nn.bias_add(image[..., ::-1], [-103.9, -116.8])
    x = features(caffe / [127.5, 3.0] - 1.0, training=False)
    x = features(1.0 - image) + x  # Called twice, and a constant comes first.
    head = tf_keras.Sequential([layers.Flatten(), layers.Dense(2)])
    return tf_keras.Model(image, head(tf.nn.relu(x)))


def attention() -> tf_keras.Model:
    """Returns self-attention, whose calls have tensors by name."""
    layers = tf_keras.layers
    image = tf_keras.Input((6, 6, 2), name="image")
    x = tf.concat([layers.Dense(3)(image), image], axis=-1)
    x = tf.reshape(x, (-1, 36, 5))
    x = x + layers.MultiHeadAttention(2, 4)(x, value=x)
    x = tf.reduce_mean(x, axis=1)
    return tf_keras.Model(image, layers.Dense(2)(x * tf.sigmoid(x)))


def states() -> tf_keras.Model:
    """Returns an LSTM that begins with the states of another."""
    layers = tf_keras.layers
    image = tf_keras.Input((6, 6, 2), name="image")
    x = layers.Dense(3, name="a/b")(image[:, 1, :, :])
    x, *state = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    return tf_keras.Model(image, layers.LSTM(4)(x, initial_state=state))


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        # Keras 2 cannot write an ellipsis in a .keras file.
        (transfer, ".h5"),
        (attention, ".keras"),
        (attention, ".h5"),
        (states, ".keras"),
        (states, ".h5"),
    ],
)
def test_operations_between_layers_are_read(make, suffix, tmp_path) -> None:
    old = make()
    old.save(tmp_path / f"old{suffix}")
    user = user_model.load(str(tmp_path / f"old{suffix}"))
    np.testing.assert_allclose(user.model(X[:9]), old(X[:9]), atol=1e-6)
    assert not user.notes
    twin = bridge.to_tf_keras(user.model)
    np.testing.assert_allclose(twin(X[:9]), old(X[:9]), atol=1e-6)


def with_old_groups(group: h5py.Group, step: int) -> None:
    """Groups weights as Keras 2.13 (a step of 2) or 2.14 (1) did."""
    for item in list(group.values()):
        if isinstance(item, h5py.Group):
            with_old_groups(item, step)
    if "layers" not in group:
        return
    group.move("layers", "_layer_checkpoint_dependencies")
    layers = group["_layer_checkpoint_dependencies"]
    for name in sorted(layers, reverse=True):
        kind, _, number = name.rpartition("_")
        if number.isdigit():
            layers.move(name, f"{kind}_{step * int(number)}")


@pytest.mark.parametrize("step", [1, 2])
def test_weights_of_the_first_keras_files_are_read(step, tmp_path) -> None:
    layers = tf_keras.layers
    image = tf_keras.Input((6, 6, 2), name="image")
    inner = tf_keras.Sequential([layers.Dense(2), layers.Dense(2)])
    x = inner(layers.Dense(2)(layers.Dense(2)(image)))
    old = tf_keras.Model(image, layers.Dense(2)(x))
    path = tmp_path / "old.keras"
    old.save(path)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    weights = io.BytesIO(content["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        with_old_groups(file, step)
    content["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as file:
        for name, value in content.items():
            file.writestr(name, value)
    user = user_model.load(str(path))
    np.testing.assert_allclose(user.model(X[:9]), old(X[:9]), atol=1e-6)
