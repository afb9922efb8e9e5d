"""The objectives of a model with several outputs, judged by one of them."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.options import InputError

from . import objective, user_model
from .objective import Agreement


class Objectives:
    """A loss and metrics for each output, all by the output's name.

    It has the attributes of `Objective`. The task metric is that of one output;
    the metrics of the others are measured and reported too.

    Attributes:
        task: The name of the output that models and files are judged by.
        parts: The objectives, by the name of their output.
        loss: The losses of fine-tuning, in the order of the model's outputs;
            None for an output that has none.
        loss_weights: The factors of these losses in their sum.
    """

    num_classes = 0

    def __init__(
        self,
        names: tuple[str, ...],
        parts: Mapping[str, Any],
        task: str,
        loss_weights: list[float] | None = None,
    ) -> None:
        """Keeps the objectives.

        Args:
            names: The names of all outputs, in the model's order.
            parts: An `Objective` or an `Agreement` for each of those that are
                trained and measured.
            task: One of the latter.
            loss_weights: For all outputs; by default 1.

        Raises:
            InputError: If `task` is no output with an objective.
        """
        if task not in parts:
            raise InputError(
                f"--task_output must be {' or '.join(parts)}, an output of the "
                f"model that has a loss; received {task!r}."
            )
        self.names, self.parts, self.task = names, dict(parts), task
        self.name = f"{task}_{parts[task].name}"
        self.higher_is_better = parts[task].higher_is_better
        self.distills = all(
            name in parts and parts[name].distills for name in names
        )
        self.loss = [getattr(parts.get(name), "loss", None) for name in names]
        self.loss_weights = loss_weights

    def measure(
        self,
        outputs: Mapping[str, np.ndarray],
        targets: Mapping[str, np.ndarray],
    ) -> dict[str, float]:
        """Returns the metrics of all outputs, those of the task first."""
        order = sorted(self.parts, key=lambda name: name != self.task)
        return {
            f"{name}_{metric}": value
            for name in order
            for metric, value in self.parts[name]
            .measure(outputs[name], targets[name])
            .items()
        }

    def targets(self, labels: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns labels as targets; see `Objective.targets`."""
        return {
            name: part.targets(labels[name])
            for name, part in self.parts.items()
        }

    def training_targets(
        self, labels: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        """Returns targets of `loss`, in the order of the model's outputs.

        An output without a loss gets a target that nothing reads.
        """
        unread = tf.zeros([len(next(iter(labels.values())))])
        return tuple(
            self.parts[name].training_targets(labels[name])
            if name in self.parts
            else unread
            for name in self.names
        )

    def soften(self, outputs: list[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Returns the float model's outputs as targets of `loss`."""
        return tuple(
            self.parts[name].soften(output)
            for name, output in zip(self.names, outputs, strict=True)
        )

    def check(self, labels: Mapping[str, np.ndarray], source: str) -> None:
        """Checks that labels fit the losses; see `Objective.check`."""
        for name, part in self.parts.items():
            part.check(labels[name], f"{source} ({name})")


def build(
    user: user_model.UserModel,
    loss: str,
    metric: str,
    direction: str = "auto",
    task: str = "",
) -> Objectives:
    """Returns the objectives that the options give, or else the file.

    Args:
        user: The model, with the losses and the metrics of its file.
        loss: The name of a Keras loss for all outputs, or `output=loss` for
            each, joined by commas; "" for the file's own.
        metric: The name of a Keras metric for the task output; "" for the
            file's own.
        direction: See `Objective`.
        task: The output that is judged; "" for the first that has a loss.

    Raises:
        InputError: If no output has a loss; see also `Objectives`.
    """
    losses = _by_output(_parse(loss, user.outputs) or user.loss, user.outputs)
    metrics = _by_output(user.metrics, user.outputs)
    weights = _by_output(user.loss_weights, user.outputs)
    named = [name for name in user.outputs if losses.get(name)]
    if not named:
        raise InputError(
            "--loss must be given, e.g. --loss="
            f"{','.join(f'{name}=mse' for name in user.outputs)}: the model "
            "was saved without a loss of Keras's own."
        )
    task = task or named[0]
    parts = {}
    for name, tensor in zip(user.outputs, user.model.outputs, strict=True):
        if name not in named:
            continue
        single = user_model.UserModel(
            keras.Model(user.model.inputs, tensor),
            loss=losses[name],
            metrics=metrics.get(name),
        )
        is_task = name == task
        parts[name] = objective.build(
            single,
            losses[name] if loss else "",
            metric if is_task else "",
            direction if is_task else "auto",
        )
    factors = [float(weights.get(name) or 1) for name in user.outputs]
    return Objectives(user.outputs, parts, task, factors)


def agreements(user: user_model.UserModel, task: str = "") -> Objectives:
    """Returns the agreement of every output, for data without labels.

    Args:
        user: The model.
        task: The output that is judged; "" for the first.

    Raises:
        InputError: If `task` is no output.
    """
    losses = _by_output(user.loss, user.outputs)
    parts = {
        name: Agreement(tensor, losses.get(name))
        for name, tensor in zip(user.outputs, user.model.outputs, strict=True)
    }
    return Objectives(user.outputs, parts, task or user.outputs[0])


def _parse(text: str, names: tuple[str, ...]) -> Any:
    """Returns what `--loss` says: a name for all outputs, or names by output.

    Raises:
        InputError: If it names an output that the model does not have.
    """
    if "=" not in text:
        return text
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    for name, _ in pairs:
        if name not in names:
            raise InputError(
                f"--loss must name outputs of the model, {', '.join(names)}; "
                f"received {name!r}."
            )
    return dict(pairs)


def _by_output(config: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Returns a part of a `compile_config` by the name of the output."""
    if isinstance(config, dict) and "class_name" not in config:
        return config
    if isinstance(config, list | tuple):
        return dict(zip(names, config, strict=False))
    return dict.fromkeys(names, config)
