"""Training: fit with resume, and learning-rate schedules."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from common import console, runtime
from common.data import pipelines
from common.data.splits import Splits
from common.shared_options import Options
from common.workers import cluster

from . import callbacks, checkpoint, data_service, distribution

# Examples at a time where there is no gradient to keep.
EVALUATION_BATCH = 500


@dataclasses.dataclass(frozen=True)
class Log:
    """What training did.

    Attributes:
        history: Values per epoch, by metric.
        seconds: Wall time, that before a restart included.
        examples_per_second: Training examples per second, validation's time
            included.
    """

    history: dict[str, list[float]]
    seconds: float
    examples_per_second: float

    def describe(self) -> dict[str, float]:
        """Returns the figures of `report.json`'s `training`."""
        return {
            "seconds": round(self.seconds, 1),
            "epochs": len(self.history.get("loss", ())),
            "examples_per_second": round(self.examples_per_second, 1),
        }


@contextmanager
def scope(options: Options) -> Iterator[None]:
    """Gives the place to build and compile a model in: seeded, on its devices.

    Keras draws initial weights from Python's `random`, and so may whatever was
    imported or read since the program's start: a library that draws there on
    its first run only made the same command give another model.
    """
    runtime.set_seed(options.seed)
    with cluster.strategy(options.strategy).scope():
        yield


def learning_rate(
    options: Options, schedule: str, warmup: float, num_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate, or its schedule over all steps.

    Args:
        options: Gives the peak rate and the number of epochs.
        schedule: `cosine` warms up linearly and then falls to zero along half
            a cosine (Loshchilov and Hutter, 2017); the others are constant.
        warmup: The part of all steps in which the rate rises.
        num_steps: Steps in an epoch.
    """
    peak = options.learning_rate
    if schedule != "cosine":
        return peak
    total = options.epochs * num_steps
    rising = int(warmup * total)
    if not rising:
        return keras.optimizers.schedules.CosineDecay(peak, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        total - rising,
        warmup_target=peak,
        warmup_steps=rising,
    )


def fit(
    model: keras.Model,
    splits: Splits,
    options: Options,
    *,
    work_dir: Path,
    transform: pipelines.TrainingTransform,
    evaluation_transform: pipelines.Transform,
    monitor: str,
    mode: str = "max",
    plateau: bool = False,
    first: Sequence[keras.callbacks.Callback] = (),
) -> Log:
    """Fits a compiled model, leaves the best weights in it.

    If `work_dir` holds a backup, training continues from there and ends with
    the weights of an uninterrupted run.

    Args:
        model: A compiled Keras 3 model.
        splits: Train is fitted, valid decides which weights are best.
        options: Gives epochs, patience, batch size and seed.
        work_dir: Where checkpoints and logs go.
        transform: See `data.for_training`.
        evaluation_transform: See `data.for_evaluation`.
        monitor: See `callbacks.standard`, as are the rest.
        mode: `max` or `min`.
        plateau: Halve the rate on a plateau.
        first: Callbacks that come before the standard ones, such as one that
            adds the metric to monitor to an epoch's logs.
    """
    position = pipelines.Position()
    strategy = model.distribute_strategy
    with strategy.scope():
        # Before any file is read that has its variables.
        model.optimizer.build(model.trainable_variables)
    if strategy.num_replicas_in_sync > 1:
        # Keras's loop over several steps fails on inputs of several devices.
        model.steps_per_execution = 1
    train, valid = _inputs(
        splits, options, position, transform, evaluation_transform
    )
    with cluster.all_present(), _own(work_dir):
        watch = callbacks.standard(
            work_dir,
            position,
            epochs=options.epochs,
            num_steps=pipelines.num_steps(splits.train, options.batch_size),
            monitor=monitor,
            mode=mode,
            patience=options.patience,
            plateau=plateau,
        )
        backup = watch[-1]
        watch = [
            *first,
            *watch,
            distribution.OwnRandomness(),
            distribution.AverageStatistics(),
        ]
        cluster.agree(
            "--work_dir",
            f"{work_dir.name}, epoch {backup.epoch}, {backup.step}",
        )
        with closing(backup), distribution.corrected_fit(strategy):
            while not backup.stopped:
                position.set(backup.epoch, backup.step)
                model.fit(
                    distribution.batches(strategy, train),
                    validation_data=distribution.batches(strategy, valid),
                    initial_epoch=backup.epoch,
                    # The rest of an interrupted epoch is a `fit` of its own:
                    # Keras takes the length of the first epoch for that of
                    # all. A service is told of one epoch at a time.
                    epochs=backup.epoch + 1
                    if backup.step or options.data_service
                    else options.epochs,
                    callbacks=watch,
                    shuffle=False,
                    verbose=0,
                )
    # Where training had ended before, nothing has read the optimizer's state.
    backup.restore(model)
    backup.best.restore(model)
    examples = len(backup.history["loss"]) * splits.train.num_examples
    return Log(
        backup.history, backup.seconds, examples / max(backup.seconds, 1e-9)
    )


@contextmanager
def _own(work_dir: Path) -> Iterator[None]:
    """Makes a work directory ready, and keeps it from other runs.

    Raises:
        InputError: If it is in use, or cannot be written, now or later.
    """
    with runtime.writing("--work_dir", work_dir), ExitStack() as stack:
        if cluster.is_chief():
            work_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(runtime.alone(work_dir))
            for note in checkpoint.mend(work_dir / callbacks.BACKUP):
                console.get(stderr=True).print(note)
        # The other workers read the backup when it has been looked at.
        cluster.agree("--work_dir", work_dir.name)
        yield


def _inputs(
    splits: Splits,
    options: Options,
    position: pipelines.Position,
    transform: pipelines.TrainingTransform,
    evaluation_transform: pipelines.Transform,
) -> tuple[Callable[..., tf.data.Dataset], Callable[..., tf.data.Dataset]]:
    """Returns what makes train's and valid's batches for a `replica`."""
    for_training = pipelines.for_training
    if options.data_service:
        data_service.check(options.data_service, splits.train)
        for_training = functools.partial(
            data_service.for_training, address=options.data_service
        )
    train = functools.partial(
        for_training, splits.train, options.batch_size,
        seed=options.seed, position=position, transform=transform,
    )  # fmt: skip
    valid = functools.partial(
        pipelines.for_evaluation, splits.valid, EVALUATION_BATCH,
        transform=evaluation_transform,
    )  # fmt: skip
    return train, valid


def finish(*work_dirs: Path) -> None:
    """Removes the checkpoints of fits whose release is written, and locks.

    The logs stay. The same command then trains anew.
    """
    for work_dir in work_dirs:
        checkpoint.remove(work_dir / callbacks.BACKUP)
        (work_dir / "lock").unlink(missing_ok=True)
