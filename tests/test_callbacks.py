"""The callbacks' hooks, called by hand; test_training.py runs trainings."""

import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from common import runtime
from common.data import pipelines
from common.options import InputError
from common.training import backups, callbacks, checkpoint
from common.training.progress import EpochLines


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_not_a_number_ends_training_with_advice(model) -> None:
    stop = callbacks.StopOnNaN(20)
    stop.set_model(model)
    stop.on_epoch_begin(4)
    stop.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(InputError, match=r"epoch 5, step 8.*--learning_rate"):
        stop.on_train_batch_end(7, {"loss": float("nan")})
    with pytest.raises(InputError, match=r"epoch 5, step 20,"):
        stop.on_train_batch_end(31, {"loss": float("nan")})


def best_of(model, monitor: str, mode: str, values) -> backups.BestWeights:
    """Drives the callback through epochs; the bias is the epoch's number."""
    best = backups.BestWeights(monitor, mode)
    best.set_model(model)
    for epoch, value in enumerate(values):
        model.layers[-1].bias.assign([epoch, epoch])
        best.on_epoch_end(epoch, {monitor: value})
    return best


def test_the_best_weights_are_kept(model) -> None:
    best = best_of(model, "val_accuracy", "max", [0.5, 0.8, 0.7])
    assert best.best == 0.8
    best.restore(model)
    np.testing.assert_array_equal(model.layers[-1].bias, [1, 1])


def test_a_smaller_metric_is_better_with_mode_min(model) -> None:
    assert best_of(model, "loss", "min", [3.0, 1.0, 2.0]).best == 1.0


def test_not_a_number_is_never_the_best(model) -> None:
    values = [np.nan, 1.0, np.nan, -np.inf, 2.0]
    best = best_of(model, "val_loss", "min", values)
    assert best.best == 1.0
    best.restore(model)
    np.testing.assert_array_equal(model.layers[-1].bias, [1, 1])


def test_no_weights_are_the_best_if_no_figure_is_a_number(model) -> None:
    best = best_of(model, "val_loss", "min", [np.nan, np.nan])
    with pytest.raises(InputError, match="a number for val_loss"):
        best.restore(model)


def test_a_first_figure_that_is_no_number_does_not_stop_training(
    model,
) -> None:
    stopping = callbacks.EarlyStopping("val_loss", mode="min", patience=2)
    stopping.set_model(model)
    stopping.on_train_begin()
    model.stop_training = False
    for epoch, value in enumerate([np.nan, 3.0, 2.0, 1.0]):
        stopping.on_epoch_end(epoch, {"val_loss": value})
    assert not model.stop_training and stopping.best == 1.0


def backup_of(model, path: Path, others=()) -> backups.Backup:
    checkpoint.mend(path)
    best = backups.BestWeights("val_loss", "min")
    backup = backups.Backup(
        path, pipelines.Position(), 5, 20, best, (best, *others)
    )
    backup.set_model(model)
    backup.best.set_model(model)
    backup.set_params({"epochs": 5})
    return backup


def test_a_backup_brings_everything_back(model, tmp_path: Path) -> None:
    path = tmp_path / "backup.npz"
    stopping = keras.callbacks.EarlyStopping("val_loss")
    stopping.wait, stopping.best = 2, 0.25
    first = backup_of(model, path, [stopping])
    first.on_train_begin()
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    first.best.on_epoch_end(0, {"val_loss": 0.5})
    first.on_epoch_end(0, {"loss": 0.5})
    first.on_train_end()
    variables = [*model.variables, *model.optimizer.variables]
    expected = [variable.numpy() for variable in variables]

    for variable in variables:
        variable.assign(np.zeros_like(variable.numpy()))
    stopping.wait, stopping.best = 0, None
    second = backup_of(model, path, [stopping])
    assert (second.epoch, second.step, second.stopped) == (1, 0, False)
    second.on_train_begin()
    second.on_train_end()
    assert second.history == {"loss": [0.5]}
    assert (stopping.wait, stopping.best) == (2, 0.25)
    for value, variable in zip(expected, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    # Weights, the dropout's random state, the optimizer.
    assert len(expected) > 5
    assert second.best.best == 0.5
    for array, variable in zip(
        second.best.arrays, model.variables, strict=True
    ):
        np.testing.assert_array_equal(array, variable.numpy())


def test_a_backup_is_read_once(model, tmp_path: Path) -> None:
    # The first worker writes the file slowly, so that the other workers' next
    # `fit` would find the old file.
    path = tmp_path / "backup.npz"
    stopping = keras.callbacks.EarlyStopping("val_loss")
    old = backup_of(model, path)
    old.on_train_begin()
    old.on_epoch_end(0, {"loss": 0.5})
    old.on_train_end()
    content = path.read_bytes()

    worker = backup_of(model, path, [stopping])
    worker.on_train_begin()
    model.layers[-1].bias.assign([7.0, 7.0])
    stopping.wait = 3
    worker.on_epoch_end(1, {"loss": 0.4})
    worker.on_train_end()
    path.write_bytes(content)
    stopping.wait = 0  # As Keras's `on_train_begin` sets it.
    worker.on_train_begin()
    worker.close()
    np.testing.assert_array_equal(model.layers[-1].bias, [7.0, 7.0])
    assert (worker.epoch, stopping.wait) == (2, 3)


def test_a_backup_of_another_model_is_refused(model, tmp_path: Path) -> None:
    path = tmp_path / "backup.npz"
    backup = backup_of(model, path)
    backup.on_train_begin()
    backup.on_epoch_end(0, {"loss": 0.5})
    backup.on_train_end()
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    other.compile("adam", "mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(InputError, match="a backup of this very model"):
        backup_of(other, path).on_train_begin()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_backs_up_and_ends(model, tmp_path, signum, capsys) -> None:
    handler = signal.getsignal(signal.SIGINT)
    backup = backup_of(model, tmp_path / "backup.npz")
    backup.on_train_begin()
    backup.on_epoch_begin(0)
    backup.on_train_batch_end(0)
    assert not backup.path.exists()
    signal.raise_signal(signum)
    with pytest.raises(runtime.Interrupted) as ended:
        backup.on_train_batch_end(15)
    assert ended.value.code == 128 + signum
    assert "the same command again" in capsys.readouterr().err
    assert backup_of(model, backup.path).step == 16
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_signal_in_the_last_steps_waits_for_the_epoch(
    model, tmp_path, capsys
) -> None:
    backup = backup_of(model, tmp_path / "backup.npz")  # 20 steps an epoch.
    backup.on_train_begin()
    backup.on_epoch_begin(0)
    backup.on_train_batch_end(15)
    signal.raise_signal(signal.SIGTERM)
    backup.on_train_batch_end(31)  # An execution of 16 steps, of which 4 ran.
    assert not backup.path.exists()
    with pytest.raises(runtime.Interrupted):
        backup.on_epoch_end(0, {"loss": 0.5})
    assert "after 1 epochs and 0 steps" in capsys.readouterr().err
    restored = backup_of(model, backup.path)
    assert (restored.epoch, restored.step) == (1, 0)


def test_long_epochs_are_backed_up_on_the_way(
    model, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(backups, "SECONDS", 0.0)
    backup = backup_of(model, tmp_path / "backup.npz")
    backup.on_train_begin()
    backup.on_epoch_begin(2)
    backup.on_train_batch_end(3)
    backup.on_train_end()
    restored = backup_of(model, backup.path)
    assert restored.step == 4 and backup.step == 0


def test_one_line_per_epoch(model, capsys) -> None:
    lines = EpochLines(12, 3)
    lines.set_model(model)
    lines.on_epoch_begin(8)
    lines.on_train_batch_end(2)
    lines.on_epoch_end(8, {"loss": 0.123456, "learning_rate": 0.1})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch  9/12") and line.endswith("loss 0.1235")


def test_the_standard_list(tmp_path: Path) -> None:
    def names(**changes) -> list[str]:
        standard = callbacks.standard(
            tmp_path / "run", pipelines.Position(), epochs=3, num_steps=4,
            monitor="val_accuracy", **changes,
        )  # fmt: skip
        return [type(callback).__name__ for callback in standard]

    plain = names()
    assert plain[-1] == "Backup"
    assert {"StopOnNaN", "BestWeights", "CSVLogger", "TensorBoard"} < {*plain}
    assert "EarlyStopping" in names(patience=2)
    assert "ReduceLROnPlateau" in names(plateau=True)
