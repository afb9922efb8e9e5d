import contextlib
import functools
import math
import os
import random
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps import data_service as program
from common import runtime
from common.data.splits import MemorySplit, Splits
from common.options import InputError
from common.shared_options import Options
from common.training import backups, callbacks, fitting

OPTIONS = Options(epochs=4, batch_size=8, seed=3)


def make_splits() -> Splits:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    parts = [MemorySplit(x[i : i + 50], y[i : i + 50]) for i in (0, 50, 100)]
    return Splits("toy", ("no", "yes"), *parts)


def make_model(steps_per_execution: int = 1) -> keras.Model:
    runtime.set_seed(OPTIONS.seed)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(fitting.learning_rate(OPTIONS, "cosine", 0.1, 7)),
        "categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    return model


def test_a_run_that_was_killed_after_training_has_the_same_optimizer(
    tmp_path: Path,
) -> None:
    states = []
    for _ in range(2):  # The second run finds a backup, and trains nothing.
        model = make_model()
        fit(model, tmp_path)
        variables = model.optimizer.variables
        states.append([variable.numpy() for variable in variables])
    assert states[0][0] > 0  # The optimizer's iterations.
    for first, second in zip(*states, strict=True):
        np.testing.assert_array_equal(first, second)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    weights = []
    for _ in range(2):
        random.random()  # As a library may do on its first run.
        with fitting.scope(OPTIONS):
            model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        weights.append(model.get_weights()[0])
    np.testing.assert_array_equal(*weights)


def one_hot(features, labels, seed=None):
    if seed is not None:
        features += tf.random.stateless_normal(tf.shape(features), seed) / 10
    return features, tf.one_hot(labels, 2)


def fit(
    model: keras.Model, work_dir: Path, options: Options = OPTIONS
) -> fitting.Log:
    return fitting.fit(
        model, make_splits(), options,
        work_dir=work_dir, transform=one_hot, evaluation_transform=one_hot,
        monitor="val_accuracy",
    )  # fmt: skip


@pytest.mark.parametrize(("epochs", "is_said"), [(28, True), (29, False)])
def test_few_updates_are_said(epochs, is_said, tmp_path, capsys) -> None:
    # Seven batches an epoch.
    fit(make_model(), tmp_path, OPTIONS.replace(epochs=epochs))
    said = capsys.readouterr().out.replace("\n", " ")
    assert ("--batch_size (now 8) or more --epochs" in said) == is_said


class Killer(keras.callbacks.Callback):
    """Calls `act` in epoch `epoch`, before or after the batch `step`."""

    def __init__(self, epoch: int, step: int, act, after=False) -> None:
        super().__init__()
        self.when, self.act, self.epoch = (epoch, step), act, 0
        self.after = after

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if not self.after and (self.epoch, batch) == self.when:
            self.act()

    def on_train_batch_end(self, batch, logs=None) -> None:
        if self.after and (self.epoch, batch) == self.when:
            self.act()


class Counter(keras.callbacks.Callback):
    """Counts training batches."""

    batches = 0

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.batches += 1


def crash() -> None:
    raise OSError("power cut")


def interrupt() -> None:
    signal.raise_signal(signal.SIGTERM)


@functools.cache
def undisturbed(steps: int) -> tuple[fitting.Log, list[np.ndarray]]:
    """Returns the log and the weights of a training without interruption."""
    model = make_model(steps)
    with tempfile.TemporaryDirectory() as work_dir:
        log = fit(model, Path(work_dir))
    return log, model.get_weights()


def check_resume(
    tmp_path,
    monkeypatch,
    killer,
    raised,
    *,
    steps=1,
    between=lambda: None,
) -> None:
    """Trains with an interruption; it must end as `undisturbed` does.

    Args:
        tmp_path: The directory of the training.
        monkeypatch: Pytest's fixture.
        killer: The callback that interrupts the training.
        raised: The exception that the interrupted `fit` must raise.
        steps: Steps per execution.
        between: Called after the interruption, before training continues.
    """
    log, weights = undisturbed(steps)

    standard = callbacks.standard
    monkeypatch.setattr(
        callbacks, "standard", lambda *a, **k: [killer, *standard(*a, **k)]
    )
    with pytest.raises(raised):
        fit(make_model(steps), tmp_path / "killed")
    monkeypatch.setattr(callbacks, "standard", standard)
    assert not list((tmp_path / "killed").glob("*.partial*"))
    between()

    continued = make_model(steps)
    rest = fit(continued, tmp_path / "killed")
    assert list(rest.history) == list(log.history)
    for name, values in log.history.items():
        # The sums of a training epoch's metrics are made in two parts.
        rtol = 0 if name.startswith("val_") else 1e-6
        np.testing.assert_allclose(rest.history[name], values, rtol=rtol)
    for expected, weight in zip(weights, continued.get_weights(), strict=True):
        np.testing.assert_array_equal(expected, weight)


@pytest.mark.parametrize(
    "steps_per_execution", [pytest.param(1, marks=pytest.mark.slow), 3]
)
@pytest.mark.parametrize(
    ("act", "raised"), [(crash, OSError), (interrupt, SystemExit)]
)
def test_a_stopped_run_ends_like_one_that_was_not(
    tmp_path, monkeypatch, act, raised, steps_per_execution
) -> None:
    killer = Killer(2, 3, act)
    check_resume(
        tmp_path, monkeypatch, killer, raised, steps=steps_per_execution
    )


# An epoch has 7 steps: executions of 3 end after steps 2, 5 and "8", of 16
# after "15", of 7 and of 1 after 6, with the epoch.
@pytest.mark.parametrize(
    ("steps_per_execution", "last", "after"),
    [
        (3, 6, False),
        (16, 0, True),
        pytest.param(3, 6, True, marks=pytest.mark.slow),
        pytest.param(16, 0, False, marks=pytest.mark.slow),
        *(
            pytest.param(*steps, after, marks=pytest.mark.slow)
            for steps in ((7, 0), (1, 6))
            for after in (False, True)
        ),
    ],
)
def test_a_signal_in_the_last_execution_of_an_epoch(
    tmp_path, monkeypatch, steps_per_execution, last, after
) -> None:
    if after:
        last += steps_per_execution - 1
    killer = Killer(1, last, interrupt, after)
    check_resume(
        tmp_path, monkeypatch, killer, SystemExit, steps=steps_per_execution
    )


@pytest.mark.parametrize(
    "steps_per_execution", [3, pytest.param(16, marks=pytest.mark.slow)]
)
def test_a_crash_after_the_backup_of_a_last_execution(
    tmp_path, monkeypatch, steps_per_execution
) -> None:
    monkeypatch.setattr(backups, "SECONDS", 0.0)
    crashing = Killer(1, 0, crash)
    crashing.on_test_begin = lambda logs=None: (
        crash() if crashing.epoch == 1 else None
    )
    crashing.when = (-1, -1)
    check_resume(
        tmp_path, monkeypatch, crashing, OSError, steps=steps_per_execution
    )


@pytest.mark.parametrize(
    ("epoch", "damage"),
    [
        (1, b""),
        pytest.param(2, b"PK nonsense", marks=pytest.mark.slow),
        (2, b"half"),
    ],
)
def test_a_damaged_backup_costs_an_epoch_or_all(
    tmp_path, monkeypatch, capsys, epoch, damage
) -> None:
    def crash_and_damage() -> None:
        (path,) = tmp_path.rglob("killed/backup.npz")
        content = path.read_bytes()
        path.write_bytes(damage if damage != b"half" else content[:-400])
        crash()

    killer = Killer(epoch, 0, crash_and_damage)
    check_resume(tmp_path, monkeypatch, killer, OSError)
    start = "from the backup before it" if epoch > 1 else "anew"
    shown = " ".join(capsys.readouterr().err.split())
    assert f"backup.npz.damaged, and training starts {start}." in shown
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert names >= {"backup.npz", "backup.npz.damaged"}
    assert not any(".partial" in name for name in names)


def test_a_work_directory_deleted_under_the_run_is_one_line(
    tmp_path, monkeypatch
) -> None:
    killer = Killer(1, 0, lambda: shutil.rmtree(tmp_path / "killed"))
    check_resume(tmp_path, monkeypatch, killer, InputError)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a full disk")
@pytest.mark.parametrize(
    "room", [0, pytest.param(8192, marks=pytest.mark.slow)]
)
def test_a_disk_that_fills_up_is_one_line(tmp_path, monkeypatch, room) -> None:
    disk = tmp_path / "killed"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    filling = disk / "filling"

    def fill() -> None:
        with contextlib.suppress(OSError), filling.open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
        os.truncate(filling, filling.stat().st_size - room)

    try:
        check_resume(
            tmp_path, monkeypatch, Killer(1, 0, fill), InputError,
            between=filling.unlink,
        )  # fmt: skip
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    first = make_model()
    fit(first, tmp_path)
    second = make_model()
    log = fit(second, tmp_path)
    assert len(log.history["loss"]) == 4
    np.testing.assert_array_equal(
        first.weights[0].numpy(), second.weights[0].numpy()
    )
    fitting.finish(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "log.csv", "tensorboard",
    ]  # fmt: skip


def test_the_best_weights_end_in_the_model(tmp_path) -> None:
    model = make_model()
    log = fit(model, tmp_path)
    valid = make_splits().valid
    _, accuracy = model.evaluate(
        valid.features, np.eye(2)[valid.labels], verbose=0
    )
    assert accuracy == pytest.approx(max(log.history["val_accuracy"]))
    assert log.examples_per_second > 0 and log.seconds > 0


def test_patience_stops_early_and_a_restart_trains_no_more(tmp_path) -> None:
    def still() -> keras.Model:
        model = make_model()
        model.compile(  # At this rate nothing ever improves.
            keras.optimizers.SGD(1e-12),
            "categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    options = OPTIONS.replace(patience=1)
    log = fit(still(), tmp_path, options)
    assert len(log.history["loss"]) == 2
    again = fit(still(), tmp_path, options)
    assert len(again.history["loss"]) == 2


def test_schedules() -> None:
    rate = fitting.learning_rate(OPTIONS, "cosine", 0.25, 10)
    values = [float(rate(step)) for step in (0, 5, 10, 25, 40)]
    peak = OPTIONS.learning_rate
    assert values == pytest.approx(
        [0, peak / 2, peak, peak * (1 + math.cos(math.pi / 2)) / 2, 0]
    )
    assert fitting.learning_rate(OPTIONS, "constant", 0.25, 10) == peak


def test_two_runs_do_not_share_a_directory(tmp_path: Path) -> None:
    with (
        runtime.alone(tmp_path),
        pytest.raises(InputError, match="must not be in use"),
    ):
        fit(make_model(), tmp_path)
    assert len(fit(make_model(), tmp_path).history["loss"]) == 4


def test_a_data_service_trains_what_training_alone_would(tmp_path) -> None:
    dispatcher = program.serve(program.Config(port=0))
    target = dispatcher.target.removeprefix("grpc://")
    options = program.Config(port=0, dispatcher=target)
    workers = [program.serve(options) for _ in range(2)]
    counter = Counter()
    log = fitting.fit(
        make_model(), make_splits(),
        OPTIONS.replace(data_service=dispatcher.target),
        work_dir=tmp_path, transform=one_hot, evaluation_transform=one_hot,
        monitor="val_accuracy", first=[counter],
    )  # fmt: skip
    assert len(log.history["loss"]) == OPTIONS.epochs
    assert counter.batches == 4 * 7
    del workers
