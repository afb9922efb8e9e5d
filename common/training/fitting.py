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

from . import (
    backups,
    callbacks,
    checkpoint,
    data_service,
    distillation,
    distribution,
    trials,
)

# Examples per batch in evaluation, which keeps no gradients.
EVALUATION_BATCH = 500
# With 4,000 rows, the defaults of fraud_detect (at most 80 updates) gave a test
# AP of .113; batches of 64 in 20 epochs gave .253.
FEW_STEPS = 200


@dataclasses.dataclass(frozen=True)
class Log:
    """The metrics and the speed of a training.

    Attributes:
        history: Values per epoch, by metric.
        seconds: Wall time, including that before a restart.
        examples_per_second: Training examples per second; the time of
            validation counts too.
    """

    history: dict[str, list[float]]
    seconds: float
    examples_per_second: float

    def describe(self) -> dict[str, float]:
        """Returns the figures for `training` in `report.json`."""
        return {
            "seconds": round(self.seconds, 1),
            "epochs": len(self.history.get("loss", ())),
            "examples_per_second": round(self.examples_per_second, 1),
        }


@contextmanager
def scope(options: Options) -> Iterator[None]:
    """Sets the seed and enters the devices for building a model in the block.

    Keras draws initial weights from Python's `random`, and other libraries may
    have drawn from it since the program's start. One did so on its first run
    only, so that the same command gave another model.

    Args:
        options: Gives the seed and the distribution strategy.
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
            a cosine (Loshchilov and Hutter, 2017); with any other value the
            rate is constant.
        warmup: The part of all steps in which the rate rises, from 0 to 1.
        num_steps: The number of steps in an epoch.
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
    teacher: distillation.Teacher | None = None,
) -> Log:
    """Fits a compiled model and leaves the best weights in it.

    If `work_dir` holds a backup, training continues from there and ends with
    the weights of an uninterrupted run.

    Args:
        model: A compiled Keras 3 model.
        splits: The model is fitted to `train`; `valid` decides which weights
            are best.
        options: Gives epochs, patience, batch size and seed.
        work_dir: The directory of the checkpoints and logs.
        transform: See `pipelines.for_training`.
        evaluation_transform: See `pipelines.for_evaluation`.
        monitor: The validation metric that decides which weights are best.
        mode: `max` if a larger metric is better, `min` if a smaller one is.
        plateau: Whether to halve the learning rate when the metric stops
            improving.
        first: Callbacks that run before the standard ones, such as a callback
            that adds the metric `monitor` to an epoch's logs.
        teacher: A trained network whose outputs the model learns as well as
            the labels, if any.

    Returns:
        The metrics of all epochs and the speed.

    Raises:
        InputError: If training diverges, or `work_dir` is in use or cannot be
            written.
    """
    _announce_few_steps(splits, options)
    if teacher:
        teacher.announce()
    _prepare(model)
    position = pipelines.Position()
    train, valid = _inputs(
        splits, options, position, transform, evaluation_transform
    )
    with cluster.all_present(), _own(work_dir):
        standard = callbacks.standard(
            work_dir,
            position,
            epochs=options.epochs,
            num_steps=pipelines.num_steps(splits.train, options.batch_size),
            monitor=monitor,
            mode=mode,
            patience=options.patience,
            plateau=plateau,
        )
        backup = standard[-1]
        cluster.agree(
            "--work_dir",
            f"{work_dir.name}, epoch {backup.epoch}, {backup.step}",
        )
        with (
            closing(backup),
            distribution.corrected_fit(model.distribute_strategy),
            distillation.taught(model, teacher),
        ):
            _fit_epochs(
                model, train, valid, options, position, backup,
                [*first, *trials.callbacks(monitor), *standard],
            )  # fmt: skip
    # A training that had ended before has not restored the optimizer yet.
    backup.restore(model)
    backup.best.restore(model)
    examples = len(backup.history["loss"]) * splits.train.num_examples
    return Log(
        backup.history, backup.seconds, examples / max(backup.seconds, 1e-9)
    )


def _prepare(model: keras.Model) -> None:
    """Makes a compiled model ready for a backup and for several devices."""
    strategy = model.distribute_strategy
    with strategy.scope():
        # The optimizer's variables must exist before a backup is restored.
        model.optimizer.build(model.trainable_variables)
    if strategy.num_replicas_in_sync > 1:
        # Keras's loop over several steps fails on batches of several devices.
        model.steps_per_execution = 1


def _announce_few_steps(splits: Splits, options: Options) -> None:
    """Prints a note if the weights are updated too seldom to move far."""
    num_steps = pipelines.num_steps(splits.train, options.batch_size)
    if num_steps * options.epochs < FEW_STEPS:
        console.get().print(
            f"note: {options.epochs} epochs of {num_steps} batches update the "
            f"weights only {num_steps * options.epochs} times; a smaller "
            f"--batch_size (now {options.batch_size}) or more --epochs may "
            "give a better model."
        )


def _fit_epochs(
    model: keras.Model,
    train: Callable[..., tf.data.Dataset],
    valid: Callable[..., tf.data.Dataset],
    options: Options,
    position: pipelines.Position,
    backup: backups.Backup,
    watch: Sequence[keras.callbacks.Callback],
) -> None:
    """Fits the epochs that `backup` says are left.

    Args:
        model: The compiled model.
        train: Returns the training batches of a `replica`.
        valid: Returns the validation batches of a `replica`.
        options: Gives the number of epochs and the data service.
        position: The training pipeline's position.
        backup: The epoch and the step to begin with; one of `watch`.
        watch: The callbacks, apart from those for several devices.
    """
    strategy = model.distribute_strategy
    watch = [
        *watch,
        distribution.OwnRandomness(),
        distribution.AverageStatistics(),
    ]
    while not backup.stopped:
        position.set(backup.epoch, backup.step)
        # The rest of an interrupted epoch needs a `fit` of its own, since Keras
        # takes the length of the first epoch for that of all epochs. A data
        # service gets the batches of one epoch at a time.
        one_epoch = backup.step or options.data_service
        model.fit(
            distribution.batches(strategy, train),
            validation_data=distribution.batches(strategy, valid),
            initial_epoch=backup.epoch,
            epochs=backup.epoch + 1 if one_epoch else options.epochs,
            callbacks=watch,
            shuffle=False,
            verbose=0,
        )


@contextmanager
def _own(work_dir: Path) -> Iterator[None]:
    """Prepares a work directory and locks it while inside the block.

    Raises:
        InputError: If the directory is in use, or cannot be written at any time
            inside the block.
    """
    with runtime.writing("--work_dir", work_dir), ExitStack() as stack:
        if cluster.is_chief():
            work_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(runtime.alone(work_dir))
            for note in checkpoint.mend(work_dir / backups.FILE):
                console.get(stderr=True).print(note)
        # The other workers read the backup after the chief has mended it.
        cluster.agree("--work_dir", work_dir.name)
        yield


def _inputs(
    splits: Splits,
    options: Options,
    position: pipelines.Position,
    transform: pipelines.TrainingTransform,
    evaluation_transform: pipelines.Transform,
) -> tuple[Callable[..., tf.data.Dataset], Callable[..., tf.data.Dataset]]:
    """Returns the functions that make the batches of train and of valid.

    Each takes the argument `replica`, whose batches it returns.
    """
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
    """Removes the checkpoints and locks of fits whose release is written.

    The logs stay. The same command then trains anew.

    Args:
        *work_dirs: The `work_dir` of each fit.
    """
    for work_dir in work_dirs:
        checkpoint.remove(work_dir / backups.FILE)
        (work_dir / "lock").unlink(missing_ok=True)
