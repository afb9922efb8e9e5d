"""Training of a user's model on the outputs of a larger one, its teacher."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from common.data import pipelines
from common.data.splits import Splits
from common.options import InputError
from common.training import distillation, fitting

from . import user_data, user_model
from .config import APP, Config
from .objective import Objective
from .pixels import scales_itself


def load(
    config: Config, learner: user_model.UserModel, feed: user_data.Feed
) -> user_model.UserModel:
    """Returns the model of `--teacher`, checked against the student.

    Args:
        config: The options.
        learner: The model that is to learn.
        feed: Brings examples into the student's form.

    Raises:
        InputError: If the file cannot be read, if the models' inputs or outputs
            differ, or if the loss is no cross-entropy.
    """
    objective = feed.objective
    if not isinstance(objective, Objective) or not (
        objective.distills and (objective.num_classes or objective.is_binary)
    ):
        raise InputError(
            "--teacher needs a model with one output and a loss of "
            "cross-entropy, categorical or binary; this model has others. Pass "
            "--loss, or leave --teacher out."
        )
    try:
        user = user_model.read(config.teacher)
    except InputError as error:
        # It names the option of the model to compress.
        raise InputError(str(error).replace("--model", "--teacher")) from None
    network, student = user.model, learner.model
    steps = [x.front.steps if x.front else [] for x in (user, learner)]
    if steps[0] != steps[1]:
        raise InputError(
            "--teacher must turn strings and keys into numbers as --model "
            "does, with the same layers and vocabularies; "
            f"{config.teacher} does not."
        )
    distillation.check(network, student, config.teacher)
    names, own = map(user_model.input_names, (network, student))
    if len(own) > 1 and names != own:
        raise InputError(
            f"--teacher must have the inputs {', '.join(own)}; "
            f"{config.teacher} has {', '.join(names)}."
        )
    if feed.pixels and config.scale == "auto":
        _check_scale(config, network, student)
    return user


def _check_scale(
    config: Config, teacher: keras.Model, student: keras.Model
) -> None:
    """Refuses models of which only one scales bytes itself."""
    names = [user_model.input_names(model) for model in (teacher, student)]
    taught, own = (
        scales_itself(model, inputs[0])
        for model, inputs in zip((teacher, student), names, strict=True)
    )
    if taught != own:
        which = config.teacher if taught else config.model
        raise InputError(
            "--teacher and --model must take bytes in the same form; only "
            f"{which} scales them itself. Pass --scale if that is wrong, or "
            "save both with the same preprocessing."
        )


def train(
    config: Config,
    student: keras.Model,
    teacher: distillation.Teacher,
    splits: Splits,
    feed: user_data.Feed,
) -> tuple[fitting.Log, Path]:
    """Trains the student in place; the epoch with the least loss is kept.

    Args:
        config: The options.
        student: The model of `--model`, with the weights of its file.
        teacher: The network that it learns from.
        splits: The data.
        feed: Brings examples into the models' form.

    Returns:
        The log, and the folder of the checkpoints.
    """
    objective: Objective = feed.objective
    steps = pipelines.num_steps(splits.train, config.batch_size)
    student.compile(
        keras.optimizers.Adam(
            fitting.learning_rate(config, "cosine", 0.1, steps)
        ),
        objective.loss,
        steps_per_execution=16,
        jit_compile=False,
    )

    def evaluation(features: Any, labels: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return feed.training(features, labels, tf.zeros(2, tf.int64))

    work_dir = config.run_dir(
        APP,
        splits.digest(),
        distillation.weights_digest(student),
        teacher.digest,
    )
    log = fitting.fit(
        student, splits, config,
        work_dir=work_dir,
        transform=feed.training,
        evaluation_transform=evaluation,
        monitor="val_loss",
        mode="min",
        teacher=teacher,
    )  # fmt: skip
    return log, work_dir
