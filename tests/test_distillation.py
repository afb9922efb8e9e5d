"""The loss of a student, and its training with a teacher."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training
from test_training import OPTIONS, Killer, crash, make_model, make_splits

from benchmarks import distillation as benchmark
from common import runtime
from common.options import InputError
from common.teacher_options import TeacherOptions
from common.training import callbacks, distillation, fitting

TAUGHT = TeacherOptions(
    teacher="big", teacher_temperature=3.0, teacher_weight=0.7
)


def network(outputs: int = 2, activation: str = "softmax", seed: int = 5):
    runtime.set_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                outputs, activation, kernel_initializer="random_normal",
                bias_initializer="random_normal", name="dense",
            ),
        ],
        name="network",
    )  # fmt: skip


def teacher_of(
    model: keras.Model, options: TeacherOptions = TAUGHT, **form: bool
) -> distillation.Teacher:
    return distillation.Teacher.of(
        model, options, metrics={"accuracy": 0.75}, notes=["old"], **form
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def logits_of(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    kernel, bias = model.layers[-1].get_weights()
    return (inputs @ kernel + bias).astype(np.float64)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_the_loss_is_that_of_hinton(binary: bool, from_logits: bool) -> None:
    outputs, activation = (1, "sigmoid") if binary else (4, "softmax")
    activation = "linear" if from_logits else activation
    big = network(outputs, activation, seed=1)
    student = network(outputs, activation, seed=2)
    teacher = teacher_of(big, binary=binary, from_logits=from_logits)
    inputs = np.random.default_rng(0).normal(size=(9, 6)).astype("f") * 30
    loss = teacher.loss(inputs, student(inputs))
    s, t = (logits_of(model, inputs) / 3 for model in (student, big))
    if binary:
        p, q = sigmoid(s), sigmoid(t)
        expected = -np.mean(q * np.log(p) + (1 - q) * np.log(1 - p))
    else:
        expected = -np.mean(np.sum(softmax(t) * np.log(softmax(s)), axis=1))
    assert float(loss) == pytest.approx(9 * expected, rel=1e-4)
    part = teacher.loss(inputs[:1], student(inputs[:1]), np.array([2.0]))
    alone = teacher.loss(inputs[:1], student(inputs[:1]))
    assert float(part) == pytest.approx(2 * float(alone))


def test_logits_of_sure_outputs_have_gradients() -> None:
    teacher = teacher_of(network())
    logits = tf.constant([[0.0, 60.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = teacher.loss(np.zeros((1, 6), "f"), tf.nn.softmax(logits))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.all(np.isfinite(gradient)) and abs(gradient[0, 0]) > 0.1


def fit(
    model: keras.Model, work_dir: Path, teacher: distillation.Teacher | None
) -> fitting.Log:
    one_hot = test_training.one_hot
    return fitting.fit(
        model, make_splits(), OPTIONS,
        work_dir=work_dir, transform=one_hot, evaluation_transform=one_hot,
        monitor="val_accuracy", teacher=teacher,
    )  # fmt: skip


def test_fit_minimizes_both_terms_on_the_batch_of_the_student(
    tmp_path: Path,
) -> None:
    teacher = teacher_of(network())
    seen = []
    call = teacher.network.call

    def watch(inputs, *args, **kwargs):
        tf.py_function(lambda batch: seen.append(batch.numpy()), [inputs], [])
        return call(inputs, *args, **kwargs)

    teacher.network.call = watch
    model = make_model()
    before = model.compute_loss.__func__
    log = fit(model, tmp_path, teacher)
    # Noise is the augmentation of `one_hot`.
    originals = make_splits().train.features
    assert len(seen) >= 4 * 7  # Validation does not ask the teacher.
    batch = seen[0]
    distances = np.abs(batch[:, None] - originals[None]).max(axis=2).min(axis=1)
    assert np.all(distances > 0) and np.all(distances < 1)
    assert model.compute_loss.__func__ is before
    alone = make_model()
    assert fit(alone, tmp_path / "alone", None).history != log.history
    # What is saved has no trace of the teacher.
    assert len(model.get_weights()) == len(alone.get_weights())


def test_the_loss_of_validation_is_that_of_the_labels(tmp_path: Path) -> None:
    teacher = teacher_of(network())
    model = make_model()
    log = fit(model, tmp_path, teacher)
    best = int(np.argmax(log.history["val_accuracy"]))
    features, labels = make_splits().valid.features, make_splits().valid.labels
    loss, _ = model.evaluate(
        features, np.eye(2)[labels], verbose=0, batch_size=50
    )
    # The noise of `one_hot` is not added in validation.
    assert log.history["val_loss"][best] == pytest.approx(loss, rel=1e-5)


def test_a_student_of_the_teacher_alone_becomes_it() -> None:
    big = network(seed=7)
    big.set_weights([weight * 20 for weight in big.get_weights()])
    options = TAUGHT.replace(teacher_weight=1.0)
    model = network(seed=8)
    model.compile(keras.optimizers.Adam(0.03), "categorical_crossentropy")
    with distillation.taught(model, teacher_of(big, options)):
        x = np.random.default_rng(0).normal(size=(512, 6)).astype("f")
        # The labels are all wrong.
        wrong = np.eye(2)[1 - big.predict(x, verbose=0).argmax(axis=1)]
        model.fit(x, wrong, epochs=60, verbose=0)
    agreement = np.mean(
        model.predict(x, verbose=0).argmax(1) == wrong.argmin(1)
    )
    assert agreement > 0.97


def test_a_killed_run_with_a_teacher_ends_like_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_of(network())
    whole = make_model(3)
    fit(whole, tmp_path / "whole", teacher)
    standard = callbacks.standard
    killer = Killer(2, 3, crash)
    monkeypatch.setattr(
        callbacks, "standard", lambda *a, **k: [killer, *standard(*a, **k)]
    )
    with pytest.raises(OSError):
        fit(make_model(3), tmp_path / "killed", teacher)
    monkeypatch.setattr(callbacks, "standard", standard)
    model = make_model(3)
    fit(model, tmp_path / "killed", teacher)
    for expected, weight in zip(
        whole.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(expected, weight)


def test_another_teacher_is_another_run() -> None:
    digests = {teacher_of(network(seed=seed)).digest for seed in (1, 2)}
    assert len(digests) == 2
    assert teacher_of(network(seed=1)).digest in digests
    paths = {OPTIONS.run_dir("app", "data", digest) for digest in digests}
    assert len(paths) == 2
    assert OPTIONS.run_dir("app", "data", None) == OPTIONS.run_dir(
        "app", "data"
    )


def test_a_teacher_of_another_form_is_refused() -> None:
    with pytest.raises(InputError, match=r"output .* \(None, 2\); .*mine has"):
        distillation.check(network(3), network(2), "mine")
    distillation.check(network(2), network(2), "mine")


def test_a_teacher_says_who_it_is(capsys: pytest.CaptureFixture) -> None:
    teacher = teacher_of(network(3))
    teacher.announce()
    said = capsys.readouterr().out
    assert "teacher: big, 21 weights, validation accuracy 0.7500" in said
    assert "note: old" in said
    assert teacher.describe(network(2)) == {
        "name": "big", "weights": 21, "student_weights": 14,
        "temperature": 3.0, "weight": 0.7,
        "metrics": {"valid": {"accuracy": 0.75}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_weight": 0.9}, "--teacher_weight needs --teacher"),
        ({"teacher_temperature": 5.0}, "--teacher_temperature needs"),
        ({"teacher": "x", "teacher_weight": 0.0}, "must be at least 0.01"),
        ({"teacher": "x", "teacher_temperature": 0.0}, "must be at least 0.1"),
    ],
)
def test_options_of_a_teacher_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TeacherOptions(**changes)


def test_the_benchmark_changes_the_teacher_alone(tmp_path: Path) -> None:
    options = ["--teacher=x", "--teacher_weight=0.7", "--width=0.5"]
    alone, taught = (
        benchmark.command("image_classify", options, 1, tmp_path, taught)
        for taught in (False, True)
    )
    assert [word for word in taught if word not in alone] == options[:2]
    assert "--width=0.5" in alone and "--seed=1" in alone


def test_the_benchmark_tells_a_gain_from_the_spread() -> None:
    clear = benchmark.verdict([0.90, 0.91], [0.92, 0.94], True)
    assert clear == (
        "mean 0.9050 alone, 0.9300 taught, gain +0.0250, more than the spread "
        "of 2 seeds"
    )
    assert "within" in benchmark.verdict([0.90, 0.93], [0.92, 0.94], True)
    assert "gain +0.0200, more than" in benchmark.verdict([0.5], [0.48], False)
