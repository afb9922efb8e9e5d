"""apps.compress on tiny models: loading, data, objectives."""

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L  # noqa: N812

from apps.compress import npz, objective, user_data, user_model
from apps.compress import train as app
from common.options import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 6)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)


def classifier(*, loss: Any = "sparse_categorical_crossentropy") -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,), name="features"),
            L.Dense(32, activation="relu", name="wide"),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def save(model: Any, path: Path) -> str:
    model.save(path)
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    return save(classifier(), tmp_path / "model.keras")


def config(file: str, **options: Any) -> app.Config:
    folder = Path(file).parent
    options = {"dataset": str(folder / "data.npz"), **options}
    return app.Config(
        model=file, export_dir=str(folder / "releases"), **options
    )


# Loading.


class OwnLayer(L.Layer):
    """A layer that is not Keras's, and that no code here registers."""

    def call(self, inputs: Any) -> Any:
        return inputs


@keras.saving.register_keras_serializable("tests")
class Subclass(keras.Model):
    """A model without a graph."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.dense = L.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def functional(layer: Any) -> keras.Model:
    inputs = keras.Input((6,))
    return keras.Model(inputs, layer(L.Dense(2)(inputs)))


def subclass() -> keras.Model:
    model = Subclass()
    model(X[:2])
    return model


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: functional(L.Lambda(lambda x: x, name="code")), "'code'"),
        (lambda: functional(OwnLayer(name="own")), "'own'.*OwnLayer"),
        (subclass, "functional or Sequential.*Subclass"),
    ],
)
def test_models_that_are_refused(build, words, tmp_path) -> None:
    path = save(build(), tmp_path / "model.keras")
    with pytest.raises(InputError, match=words) as error:
        user_model.load(path)
    assert "\n" not in str(error.value)


def test_nothing_in_a_lambda_runs(tmp_path, monkeypatch) -> None:
    path = save(functional(L.Lambda(lambda x: x)), tmp_path / "model.keras")
    monkeypatch.setattr(
        keras.saving, "load_model", lambda *a, **k: pytest.fail("loaded")
    )
    with pytest.raises(InputError, match="Lambda"):
        user_model.load(path)


def test_files_that_are_no_models(file, tmp_path) -> None:
    content = Path(file).read_bytes()
    middle = content.find(b"class_name")
    damaged = bytearray(content)
    damaged[middle : middle + 10] = b"elass_nome"
    bad = {
        "text.keras": b"hello",
        "cut.keras": content[: len(content) // 2],
        "damaged.keras": bytes(damaged),
        "empty.keras": b"",
        "model.h5": content,
    }
    for name, body in bad.items():
        (tmp_path / name).write_bytes(body)
        with pytest.raises(InputError, match=name):
            user_model.load(str(tmp_path / name))
    with zipfile.ZipFile(tmp_path / "list.keras", "w") as archive:
        archive.writestr("config.json", "[]")
        archive.writestr("model.weights.h5", "")
    with pytest.raises(InputError, match="damaged"):
        user_model.load(str(tmp_path / "list.keras"))


def own_loss(truth: Any, outputs: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(truth, outputs)


def test_a_loss_of_ones_own_must_be_named(tmp_path) -> None:
    path = save(classifier(loss=own_loss), tmp_path / "model.keras")
    user = user_model.load(path)
    with pytest.raises(InputError, match="--loss must be given"):
        objective.build(user, "", "")
    built = objective.build(user, "sparse_categorical_crossentropy", "")
    assert built.name == "accuracy"


# Objectives.


def test_metrics_are_those_of_keras(file) -> None:
    model, user = classifier(), user_model.load(file)
    built = objective.build(user, "", "")
    assert (built.name, built.higher_is_better) == ("accuracy", True)
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    measured = built.measure(model.predict(X, verbose=0), Y)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-5)
    error = objective.Objective((None, 1), "mse", ["mae"])
    assert (error.name, error.higher_is_better) == ("mae", False)
    assert objective.Objective((None, 1), "mse", []).name == "loss"


def rises(metric: Any, direction: str = "auto") -> bool:
    built = objective.Objective((None, 1), "mse", [metric], direction)
    return built.higher_is_better


def own(name: str) -> keras.metrics.Metric:
    """Returns a metric whose direction Keras does not say."""
    return keras.metrics.MeanMetricWrapper(lambda truth, y: y[:, 0], name)


@pytest.mark.parametrize(
    ("metric", "up"),
    [
        # The class decides, whatever the name.
        (keras.metrics.MeanAbsoluteError(name="previous_mae"), False),
        (keras.metrics.MeanAbsoluteError(name="accuracy"), False),
        (keras.metrics.R2Score(name="error"), True),
        (keras.metrics.AUC(name="loss_of_area"), True),
        # Otherwise complete words of the name decide.
        (own("previous_mae"), False),
        (own("Top-5 Accuracy"), True),
        (own("valid_f1_score"), True),
        (own("auc_2"), True),
        (keras.metrics.KLDivergence(), False),
        (keras.metrics.FalsePositives(), False),
    ],
)
def test_the_direction_of_a_metric(metric, up) -> None:
    assert rises(metric) == up


@pytest.mark.parametrize("name", ["previous", "accuracy_error", "vacuum"])
def test_a_direction_that_nobody_knows_is_asked_for(name) -> None:
    with pytest.raises(InputError, match="--metric_direction must be up or"):
        rises(own(name))
    assert rises(own(name), "up") and not rises(own(name), "down")


def test_the_direction_that_is_given_reaches_the_objective(file) -> None:
    user = user_model.load(file)
    assert app.compile_model(user, config(file)).higher_is_better
    given = config(file, metric_direction="down")
    assert not app.compile_model(user, given).higher_is_better


def test_one_hot_targets_give_the_sparse_loss() -> None:
    outputs = tf.nn.softmax(tf.constant(X[:, :3]))
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    built = objective.Objective((None, 3), sparse, [])
    assert built.distills
    value = built.loss(built.training_targets(tf.constant(Y)), X[:, :3])
    assert float(value) == pytest.approx(float(sparse(Y, X[:, :3])), 1e-6)
    np.testing.assert_allclose(built.soften(X[:, :3]), outputs, atol=1e-6)
    huber = objective.Objective((None, 3), "huber", [])
    assert not huber.distills


@pytest.mark.parametrize(
    ("labels", "loss", "words"),
    [
        (np.array([0, 3]), "sparse_categorical_crossentropy", "0 to 2"),
        (np.array([0.5, 1]), "sparse_categorical_crossentropy", "0 to 2"),
        (np.zeros((2, 2)), "categorical_crossentropy", "shape"),
        (np.zeros(2), "mse", "shape"),
    ],
)
def test_labels_that_do_not_fit(labels, loss, words) -> None:
    with pytest.raises(InputError, match=words):
        objective.Objective((None, 3), loss, []).check(labels, "d")


def test_unknown_names(file) -> None:
    user = user_model.load(file)
    with pytest.raises(InputError, match=r"--loss .* 'nothing'"):
        objective.build(user, "nothing", "")
    with pytest.raises(InputError, match=r"--metric .* 'nothing'"):
        objective.build(user, "", "nothing")


def test_agreement_of_classes_and_of_numbers(file) -> None:
    user = user_model.load(file)
    agreement = objective.Agreement(user.model.outputs[0], user.loss)
    outputs = np.eye(3)[[0, 1, 2, 2]]
    assert agreement.measure(outputs, np.eye(3)[[0, 1, 2, 0]]) == {
        "agreement": 0.75
    }
    number = keras.Sequential([keras.Input((6,)), L.Dense(1)])
    other = objective.Agreement(number.outputs[0])
    truth = np.array([[0.0], [2.0]])
    assert other.measure(truth, truth)["agreement"] == 1
    assert other.measure(truth + 1, truth)["agreement"] == 0


# Data.


def test_npz_splits_are_disjoint_and_repeat(file, tmp_path) -> None:
    model, path = classifier(), str(tmp_path / "data.npz")
    splits, same = (npz.load(path, model, 3, True) for _ in range(2))
    sizes = splits.describe()
    assert [sizes[k] for k in ("train", "valid", "test")] == [192, 24, 24]
    np.testing.assert_array_equal(splits.test.features, same.test.features)
    rows = [s.features for s in (splits.train, splits.valid, splits.test)]
    assert len(np.unique(np.concatenate(rows), axis=0)) == 240
    np.savez(tmp_path / "own.npz", x=X, y=Y, x_test=X[:9], y_test=Y[:9])
    own = npz.load(str(tmp_path / "own.npz"), model, 0, True)
    np.testing.assert_array_equal(own.test.features, X[:9])
    assert own.valid.num_examples == 24


def test_bytes_are_scaled_unless_the_model_does_it(file, tmp_path) -> None:
    images = RNG.integers(0, 256, (16, 4, 4), np.uint8)
    np.savez(tmp_path / "i.npz", x=images, y=np.zeros(16))
    head = [L.Flatten(), L.Dense(3)]
    plain = keras.Sequential([keras.Input((4, 4, 1)), *head])
    scaling = keras.Sequential(
        [keras.Input((4, 4, 1)), L.Rescaling(1 / 255), L.Flatten(), L.Dense(3)]
    )
    judge = objective.Objective(
        (None, 3), "sparse_categorical_crossentropy", []
    )
    for model, options, factor in (
        (plain, {}, 1 / 255),
        (scaling, {}, 1),
        (plain, {"scale": "1/128", "offset": -1.0}, 1 / 128),
    ):
        splits = npz.load(str(tmp_path / "i.npz"), model, 0, True)
        feed, _ = user_data.fit(model, splits, judge, config(file, **options))
        inputs, _ = next(feed.batches(splits.test))
        (fed,) = inputs.values()
        expected = splits.test.features[..., None] * np.float32(factor)
        np.testing.assert_allclose(
            fed, expected + options.get("offset", 0), rtol=1e-6
        )
    for text in ("1/0", "1e999", "inf"):
        with pytest.raises(InputError, match="--scale"):
            user_data.parse_scale(text)
