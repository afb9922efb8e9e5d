"""apps.compress of models with layers and functions of the user's own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers as L  # noqa: N812

from apps.compress import (
    custom_layers,
    custom_objects,
    stored_classes,
    user_model,
)
from apps.compress import train as app
from common.compression import wrappers
from common.keras2 import bridge, check, custom_layer, weights
from common.mobile import litert
from common.options import InputError
from common.shared_options import Options

# What people have in their scripts: nothing is registered.
CODE = '''
import keras
from keras import layers, ops
import neighbour

class Patches(layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, images):
        batch, height, width, channels = ops.shape(images)
        rows, columns = height // self.size, width // self.size
        x = ops.reshape(
            images, (batch, rows, self.size, columns, self.size, channels)
        )
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        area = self.size * self.size * channels
        return ops.reshape(x, (batch, rows * columns, area))

    def get_config(self):
        return {**super().get_config(), "size": self.size}

class Mixer(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.norm = layers.LayerNormalization()
        self.grow = layers.Dense(2 * width, activation="relu")
        self.shrink = layers.Dense(width)

    def build(self, shape):
        self.norm.build(shape)
        self.grow.build(shape)
        self.shrink.build((*shape[:-1], 2 * self.width))

    def call(self, x):
        return neighbour.twice(x) + self.shrink(self.grow(self.norm(x)))

    def get_config(self):
        return {**super().get_config(), "width": self.width}

class Mix(layers.Layer):
    """Own weights, and a layer with weights that training does not change."""
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 6), name="kernel")
        self.normalize = layers.BatchNormalization()
        self.normalize.build((None, 6))
        self.bias = self.add_weight(shape=(6,), name="bias")

    def call(self, x):
        return self.normalize(x @ self.kernel) + self.bias

def bent(x):
    return ops.tanh(x) + 0.1 * x
'''
BUILD = """
import sys
import keras, numpy as np
from keras import layers
import my_layers as my

keras.utils.set_random_seed(0)
x = inputs = keras.Input((8, 8, 1), name="image")
x = my.Mixer(8, name="mixer")(layers.Dense(8)(my.Patches(4, name="cut")(x)))
x = my.Mix(name="mix")(layers.Flatten()(x))
x = layers.Dense(3, activation="softmax")(layers.Activation(my.bent)(x))
model = keras.Model(inputs, x)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
data = np.load("data.npz")
model.fit(data["x"], data["y"], epochs=8, verbose=0)
model.save("model.keras")
np.save("outputs.npy", model.predict(data["x"][:9], verbose=0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A model that another process trained and saved, its code and its data."""
    root = tmp_path_factory.mktemp("import")
    (root / "my_layers.py").write_text(CODE, "utf-8")
    twice = "def twice(x):\n    return 2 * x\n"
    (root / "neighbour.py").write_text(twice, "utf-8")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 8, 8, 1)).astype(np.float32)
    y = (x[:, :4].sum((1, 2, 3)) > 0).astype(int)
    np.savez(root / "data.npz", x=x, y=y)
    subprocess.run([sys.executable, "-c", BUILD], cwd=root, check=True)
    return root


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forgets afterwards what a test registered."""
    known = keras.saving.get_custom_objects()
    before = dict(known)
    yield
    known.clear()
    known.update(before)


def config(folder: Path, **options: Any) -> app.Config:
    return app.Config(
        **{
            "model": str(folder / "model.keras"),
            "dataset": str(folder / "data.npz"),
            "export_dir": str(folder / "releases"),
            "import_": (str(folder / "my_layers.py"),),
            "variants": ("float32", "int8", "prune+int8"),
            "finetune_epochs": 2,
            "sparsity": 0.5,
            **options,
        }
    )


def test_without_import_the_message_says_how_to_go_on(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'cut' of my_layers.Patches.*") as e:
        app.build_model(config(folder, import_=()))
    assert "--import=my_layers.py" in str(e.value)


def test_a_run_with_layers_of_ones_own(folder: Path) -> None:
    result = app.run(config(folder))
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "int8", "prune+int8"}
    assert rows["float32"]["max_abs_error"] <= 1e-5
    assert rows["prune+int8"]["sparsity"] >= 0.4
    notes = " ".join(result["notes"])
    assert "the layers that they call: mixer, activation" in notes
    assert "stay whole" in notes and "cut, mix" in notes
    mobile = folder / "releases" / "compress" / "1" / "mobile"
    runner = litert.Runner((mobile / "float32.tflite").read_bytes())
    x = np.load(folder / "data.npz")["x"][:9]
    np.testing.assert_allclose(
        runner(image=x)["output"], np.load(folder / "outputs.npy"), atol=1e-5
    )


def test_the_layers_inside_have_names_and_techniques(folder: Path) -> None:
    user = app.build_model(config(folder))
    names = [layer.name for layer in user.model.layers]
    assert {"mixer_norm", "mixer_grow", "mixer_shrink"} <= set(names)
    twin = bridge.to_tf_keras(user.model)
    assert check.compare(user.original, twin) <= 1e-5
    assert twin.get_layer("mixer_grow").activation.__name__ == "relu"
    kernel = twin.get_layer("mix").get_prunable_weights()
    assert [tuple(weight.shape) for weight in kernel] == [(32, 6)]
    wrapped = wrappers.wrap(twin, ("prune",), 10, Options(sparsity=0.5))
    pruned = {layer.name for layer in wrapped.layers}
    assert {"prune_low_magnitude_mix", "prune_low_magnitude_mixer_grow"} <= (
        pruned
    )


def test_weights_of_a_whole_layer_go_both_ways(folder: Path) -> None:
    user = app.build_model(config(folder))
    twin = bridge.to_tf_keras(user.model, check=False)
    layer = twin.get_layer("mix")
    expected = [w + 1 for w in user.original.get_layer("mix").get_weights()]
    for weight, value in zip(layer.source_weights, expected, strict=True):
        weight.assign(value)
    weights.weights_back(twin, user.model)
    for actual, value in zip(
        user.original.get_layer("mix").get_weights(), expected, strict=True
    ):
        np.testing.assert_array_equal(actual, value)
    trainable = [weight.trainable for weight in layer.source_weights]
    assert trainable.count(False) == 2  # The moving statistics.
    x = tf.constant(np.load(folder / "data.npz")["x"][:4])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(twin(x, training=True) ** 2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_a_converter_of_the_user_is_preferred(folder: Path) -> None:
    from common.keras2 import registry

    code = """
import tf_keras
from common.keras2.registry import converter
exec(open(__file__.replace("converted", "my_layers")).read())

@converter(Patches)
def _(layer):
    return tf_keras.layers.Lambda(
        lambda x: __import__("tensorflow").zeros((2, 4, 16)), name=layer.name
    )
"""
    path = folder / "converted.py"
    path.write_text(code, "utf-8")
    user = app.build_model(config(folder, import_=(str(path),)))
    assert custom_layers._is_custom(user.model.get_layer("mix"))
    patches = type(user.model.get_layer("cut"))
    assert registry.find(user.model.get_layer("cut")) is not custom_layer.keep
    del registry._USERS[patches]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("none.py", "", "there is no"),
        ("bad.py", "1 / 0", "could not be imported: ZeroDivisionError"),
        ("bad.py", "exit(3)", "could not be imported: SystemExit: 3"),
        (
            "bad.py",
            "import nothing_here",
            "ModuleNotFoundError: No module named",
        ),
        ("no_such_module", "", "an installed module"),
        # It would take the place of Python's own for the whole program.
        ("json.py", "", "must not be called as a module that is in use, json"),
    ],
)
def test_modules_that_cannot_be_imported(name, code, words, tmp_path) -> None:
    for file in ("bad.py", "json.py"):
        (tmp_path / file).write_text(code, "utf-8")
    path = str(tmp_path / name) if name.endswith(".py") else name
    with pytest.raises(InputError, match=words) as caught:
        custom_objects.register(path)
    assert "\n" not in str(caught.value)


def test_a_file_cannot_import_a_module(tmp_path: Path) -> None:
    """Neither a class of an installed module nor a Lambda is made."""
    model = keras.Sequential([keras.Input((4,), name="x"), L.Dense(2)])
    config = json.loads(model.to_json())
    layer = config["config"]["layers"][1]
    for module, name, words in (
        ("subprocess", "Popen", "--import"),
        ("keras_hub.src.layers", "Any", "--import"),
        ("keras.layers", "Lambda", "Lambda"),
        ("zoo", "Lambda", "Lambda"),
    ):
        layer.update(module=module, class_name=name, registered_name=name)
        with pytest.raises(InputError, match=words):
            stored_classes.check_classes("m.keras", config["config"])


def test_a_subclassed_model_stays_refused(tmp_path: Path) -> None:
    import zoo_sequences

    zoo_sequences.subclassed().save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="holds a subclassed model"):
        user_model.load(str(tmp_path / "model.keras"))


def test_the_twin_of_a_whole_layer_is_made_again() -> None:
    source = keras.layers.Dense(3, name="own")
    source.build((None, 4))
    layer = custom_layer.keep(source)
    copy = type(layer).from_config(layer.get_config())
    x = tf.ones((2, 4))
    model = tf_keras.Sequential([tf_keras.Input((4,)), copy])
    for weight, value in zip(
        copy.source_weights, source.get_weights(), strict=True
    ):
        weight.assign(value)
    np.testing.assert_allclose(model(x), source(x), atol=1e-6)


ACTIVATIONS = """
import tensorflow as tf
from keras import ops

def bent(x):
    return ops.tanh(x) + 0.1 * x

def with_tensorflow(x):
    return x * tf.nn.sigmoid(x)
"""


def test_activations_of_ones_own_inside_layers(tmp_path: Path) -> None:
    """A stock operation where the code has one, else a call of the code."""
    path = tmp_path / "activations.py"
    path.write_text(ACTIVATIONS, "utf-8")
    custom_objects.register(str(path))
    known = keras.saving.get_custom_objects()
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = L.Conv2D(4, 3, activation=known["with_tensorflow"], name="conv")(x)
    x = L.Dense(16, activation=known["bent"], name="dense")(L.Flatten()(x))
    shared = L.Dense(16, activation=known["bent"], name="shared")
    model = keras.Model(inputs, L.Dense(3, name="out")(shared(shared(x))))
    model.save(tmp_path / "model.keras")
    known.clear()
    user = app.build_model(
        app.Config(
            model=str(tmp_path / "model.keras"),
            import_=(str(path),),
            calibration="x.npz",
        )
    )
    twin = bridge.to_tf_keras(user.model)
    assert check.compare(user.original, twin) <= 1e-5
    assert len(user.model.weights) == len(model.weights)
    kept, stay = " ".join(user.notes).split("stay whole")
    assert "conv, dense, shared" in kept and "conv_activation" in stay
    assert "dense" not in stay and "shared" not in stay
    kinds = {type(layer).__name__ for layer in twin.layers}
    assert "CustomLayer" in kinds
    names = {layer.name for layer in wrappers.wrap(
        twin, ("qat",), 10, Options()
    ).layers}  # fmt: skip
    assert {"quant_conv", "quant_dense", "quant_shared"} <= names
