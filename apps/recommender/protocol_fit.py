"""Fitting a network to a protocol, and the metric that the fit watches."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from common.data.splits import Splits
from common.shared_options import Options
from common.training import fitting

from . import examples, quality, ranking
from . import model as networks
from .protocols import Protocol, Task, refitted

OptionsT = TypeVar("OptionsT", bound=Options)

# Users whose lists are made after every epoch.
WATCHED = 10_000
MONITOR = "val_ndcg@10"
EPOCHS = "epochs"


class Watch(keras.callbacks.Callback):
    """Adds NDCG@10 over all unseen items to an epoch's logs.

    Without a task it adds the number of epochs, so that the last is the best.

    Attributes:
        monitor: The name of the added figure.
    """

    def __init__(
        self, task: Task | None, wide: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self._task = task
        self.monitor = EPOCHS if task is None else MONITOR
        self._wide = None if wide is None else tf.constant(wide)
        self._run: Any = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the figure to `logs`, in place."""
        if logs is None:
            return
        if self._task is None:
            logs[EPOCHS] = epoch + 1
            return
        users = self._task.users[:WATCHED]
        task = Task(users, self._task.history, self._task.targets)
        logs[MONITOR] = quality.ndcg(self.lists(task), task)

    def lists(self, task: Task) -> np.ndarray:
        """Returns the lists for a task's users, `(users, k) int32`."""
        self._run = self._run or tf.function(self._best, reduce_retracing=True)
        width = max(int(task.history.lengths.max()), 1)
        lists = []
        for start in range(0, len(task.users), ranking.USERS_AT_A_TIME):
            users = task.users[start : start + ranking.USERS_AT_A_TIME]
            history = tf.constant(task.history.padded(users, width))
            user = tf.constant(users + 1, tf.int32)
            lists.append(self._run(history, user).numpy())
        return np.concatenate(lists)

    def _best(self, history: Any, user: Any) -> Any:
        model: networks.Recommender = self.model
        window = ranking.fit(history, model.settings.length)
        inputs = {"history": window, "user": user}
        queries = model(inputs, training=False)
        if len(queries.shape) == 3:
            queries = queries[:, -1]
        scores = model.items.scores(queries)
        if self._wide is not None:
            ones = tf.ones(tf.shape(window))
            ones = networks.rows_of(window, ones, scores.shape[-1])
            scores += tf.matmul(ones, self._wide)
        return ranking.best(scores, history, 0, quality.LENGTH)[0]


def splits(protocol: Protocol, mode: str, length: int) -> Splits:
    """Returns the training examples, and those of the validation loss."""
    valid = examples.evaluation(protocol.valid, mode, length)
    train = examples.training(protocol.train, mode, length)
    return Splits(protocol.data.name, (), train, valid, valid)


def fit(
    make: Callable[[OptionsT, Protocol], networks.Recommender],
    protocol: Protocol,
    options: OptionsT,
    work_dir: Path,
    *,
    mode: str,
    wide: np.ndarray | None,
    user_dropout: float,
    refit: bool,
) -> tuple[networks.Recommender, fitting.Log, np.ndarray]:
    """Fits a network to `train`; with `refit` again to validation as well.

    Args:
        make: Returns a compiled network.
        protocol: The data.
        options: Give epochs, patience, batch size and seed.
        work_dir: The folder of checkpoints; see `fitting.fit`.
        mode: One of `examples.MODES`.
        wide: An item-item matrix to add when validation's lists are made.
        user_dropout: See `examples.transform`.
        refit: Fit once more, from the start and to all but test, for as many
            epochs as were best for validation.

    Returns:
        The network; the log of the first fit, with the seconds of both fits;
        the first fit's lists for validation, `(users, k) int32`.
    """
    watch = Watch(protocol.valid, wide)
    model = make(options, protocol)
    log = _fit(model, protocol, options, work_dir, watch, mode, user_dropout)
    watch.set_model(model)  # Keras does not if no epoch was left to train.
    lists = watch.lists(protocol.valid)
    if not refit:
        return model, log, lists
    refit_protocol = refitted(protocol)
    best = int(np.argmax(log.history[MONITOR])) + 1
    again = options.replace(epochs=best, patience=0)
    model = make(again, refit_protocol)
    refit_log = _fit(
        model, refit_protocol, again, work_dir / "refit", Watch(None), mode,
        user_dropout,
    )  # fmt: skip
    seconds = log.seconds + refit_log.seconds
    return model, dataclasses.replace(log, seconds=seconds), lists


def _fit(
    model: networks.Recommender,
    protocol: Protocol,
    options: Options,
    work_dir: Path,
    watch: Watch,
    mode: str,
    user_dropout: float,
) -> fitting.Log:
    """Fits a compiled network to `protocol.train`."""
    length = model.settings.length
    return fitting.fit(
        model,
        splits(protocol, mode, length),
        options,
        work_dir=work_dir,
        transform=examples.transform(
            protocol.train, mode, length, user_dropout
        ),
        evaluation_transform=lambda features, labels: (features, labels),
        monitor=watch.monitor,
        first=[watch],
    )
