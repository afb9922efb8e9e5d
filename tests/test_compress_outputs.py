"""apps.compress with several outputs, one in a dict, and fixed batches."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_networks
import zoo_sequences

from apps.compress import outputs, user_model
from apps.compress import train as app
from common.mobile import litert
from common.options import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 6)).astype(np.float32)
LABELS = {"y_kind": np.argmax(X[:, :3], axis=1), "y_age": X[:, :1] * 2}
LOSSES = {"kind": "sparse_categorical_crossentropy", "age": "mse"}


def save(model: keras.Model, folder: Path) -> str:
    model.save(folder / "model.keras")
    return str(folder / "model.keras")


def compiled(**changes: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = zoo_networks.outputs_in_a_dict()
    options = {
        "loss": LOSSES,
        "metrics": {"kind": ["accuracy"], "age": ["mae"]},
        "loss_weights": {"kind": 1.0, "age": 0.5},
    }
    model.compile("adam", **{**options, **changes})
    return model


def config(folder: Path, **options: Any) -> app.Config:
    np.savez(folder / "data.npz", x=X, **LABELS)
    return app.Config(
        model=str(folder / "model.keras"),
        export_dir=str(folder / "releases"),
        dataset=str(folder / "data.npz"),
        **options,
    )


def test_each_output_has_its_loss_and_its_metric(tmp_path: Path) -> None:
    model = compiled()
    model.fit(X, by_output(), epochs=3, verbose=0)
    save(model, tmp_path)
    result = app.run(
        config(
            tmp_path,
            variants=("int8", "prune+int8", "qat"),
            sparsity=0.5,
            finetune_epochs=2,
        )
    )
    # The outputs of a dict are sorted, and the first is judged.
    assert result["task_metric"] == "age_mae"
    expected = model.evaluate(X, by_output(), verbose=0, return_dict=True)
    assert set(result["metrics"]["test"]) >= {"age_mae", "kind_accuracy"}
    assert set(expected) >= {"age_mae", "kind_accuracy"}
    rows = {row["name"]: row for row in result["variants"]}
    assert set(rows) == {"float32", "int8", "prune+int8", "qat"}
    for row in rows.values():
        assert row["outputs"]["age_mae"] == pytest.approx(row["metric"], 1e-5)
        assert row["outputs"]["kind_accuracy"] > 0.3
    folder = tmp_path / "releases" / "compress" / "1"
    loaded = keras.saving.load_model(folder / "model.keras", compile=False)
    wanted = loaded.predict(X[:9], verbose=0)
    assert set(wanted) == {"kind", "age"}
    served = tf.saved_model.load(folder).signatures["serving_default"]
    (name,) = served.structured_input_signature[1]
    answers = served(**{name: tf.constant(X[:9])})
    content = (folder / "mobile" / "float32.tflite").read_bytes()
    file = litert.Runner(content)(**{name: X[:9]})
    for key, values in wanted.items():
        np.testing.assert_allclose(answers[key], values, atol=1e-5)
        np.testing.assert_allclose(file[key], values, atol=1e-5)


def by_output() -> dict[str, Any]:
    return {name.removeprefix("y_"): y for name, y in LABELS.items()}


def test_the_objectives_that_the_options_give(tmp_path: Path) -> None:
    user = user_model.load(save(compiled(loss=None), tmp_path))
    with pytest.raises(InputError, match="--loss=age=mse,kind=mse"):
        outputs.build(user, "", "")
    loss = "kind=sparse_categorical_crossentropy"
    built = outputs.build(user, loss, "accuracy")
    assert (built.name, built.loss[0]) == ("kind_accuracy", None)
    assert not built.distills
    with pytest.raises(InputError, match="--task_output must be kind"):
        outputs.build(user, loss, "", task="age")
    with pytest.raises(InputError, match=r"--loss must name outputs .*'sort'"):
        outputs.build(user, "sort=mse", "")
    user = user_model.load(save(compiled(), tmp_path))
    built = outputs.build(user, "", "", task="kind")
    assert built.name == "kind_accuracy" and built.higher_is_better
    assert built.loss_weights == [0.5, 1.0]


def test_an_output_without_labels_is_named(tmp_path: Path) -> None:
    save(compiled(), tmp_path)
    options = config(tmp_path)
    np.savez(tmp_path / "data.npz", x=X, y_age=LABELS["y_age"])
    with pytest.raises(InputError, match="y_kind too: x and y_age and y_kind"):
        app.run(options)


def test_images_have_no_labels_of_several_outputs(tmp_path: Path) -> None:
    save(zoo_networks.outputs_in_a_list(), tmp_path)
    loss = "digit=sparse_categorical_crossentropy,box=mse"
    options = config(tmp_path, loss=loss).replace(dataset="mnist")
    with pytest.raises(InputError, match=r"npz file .* y_digit, y_box\."):
        app.run(options)


def test_outputs_without_labels_are_compared(tmp_path: Path) -> None:
    save(compiled(), tmp_path)
    np.savez(tmp_path / "inputs.npz", x=X)
    options = config(tmp_path, variants=("int8",), task_output="kind")
    result = app.run(
        options.replace(dataset="", calibration=str(tmp_path / "inputs.npz"))
    )
    assert result["task_metric"] == "kind_agreement"
    row = next(r for r in result["variants"] if r["name"] == "int8")
    assert row["outputs"]["age_agreement"] > 0.9


def test_one_output_in_a_dict_is_one_output(tmp_path: Path) -> None:
    model = zoo_networks.one_in_a_dict()
    user = user_model.load(save(model, tmp_path))
    assert user.outputs == ("output",)
    expected = model.predict(X[:4], verbose=0)["species"]
    np.testing.assert_allclose(user.model(X[:4]), expected, atol=1e-6)


def test_a_fixed_batch_and_a_state_are_given_up(tmp_path: Path) -> None:
    model = zoo_sequences.stateful_lstm()
    series = RNG.normal(size=(7, 16, 4)).astype(np.float32)
    user = user_model.load(save(model, tmp_path))
    actual = user.model(series)
    for start in (0, 2, 4):
        model.layers[0].reset_states()
        np.testing.assert_allclose(
            actual[start : start + 2], model(series[start : start + 2]),
            atol=1e-6,
        )  # fmt: skip
    assert "batches of 2" in user.notes[0]
    assert "lstm keeps its state" in user.notes[1]


def test_a_graph_for_one_batch_size_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(2, 6))
    flat = keras.ops.reshape(inputs, (12,))
    model = keras.Model(inputs, keras.ops.reshape(flat, (3, 4)))
    with pytest.raises(InputError, match=r"batches of any size; .* 2 examples"):
        user_model.load(save(model, tmp_path))


def test_options_name_layers_of_nested_models() -> None:
    model = zoo_networks.two_backbones()
    left = user_model.twin_names(model, ["left"])
    assert set(left) == {"left.conv1", "left.depthwise"}
    both = user_model.twin_names(model, ["conv1"])
    assert set(both) == {"left.conv1", "right.conv1"}
    odd = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, name="my layer ($)")]
    )
    assert user_model.twin_names(odd, ["my layer ($)"]) == ("my_layer____",)
