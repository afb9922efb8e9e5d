"""Fine-tuning of a wrapped twin, with the app's own loss and data."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from common.data import pipelines
from common.data.splits import Split
from common.shared_options import Options

from . import loop

Loss = Callable[[Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class Finetuning:
    """The data, the options and the loss that twins are fine-tuned with.

    Attributes:
        split: The training examples.
        transform: See `pipelines.for_training`.
        options: Gives batch size, seed, and the compression options.
        loss: Maps targets and outputs to the loss; by default the model's own
            loss. For a model of several outputs a list, in their order; None
            for an output that is not trained.
        loss_weights: The factors of these losses in the sum.
        soften: Maps the teacher's outputs to targets, e.g. logits to
            probabilities. Only used if `options.distill` is not 0.
    """

    split: Split
    transform: pipelines.TrainingTransform
    options: Options
    loss: Loss | list[Loss | None] | None = None
    loss_weights: list[float] | None = None
    soften: Callable[[Any], Any] = lambda outputs: outputs


class Finetuner:
    """Trains the twins of one model, step after step, on the same batches.

    The pipeline, including the teacher inside it, is traced once for all steps.
    """

    def __init__(
        self,
        model: keras.Model,
        teacher: tf_keras.Model,
        finetuning: Finetuning,
    ) -> None:
        """Prepares the batches.

        Args:
            model: The Keras 3 model; its loss is the default.
            teacher: The model's twin, not compressed.
            finetuning: The data and the options.
        """
        options = finetuning.options
        self._options, self._position = options, pipelines.Position()
        self._num_steps = pipelines.num_steps(
            finetuning.split, options.batch_size
        )
        # By default the Keras 3 loss that the model was trained with.
        self._loss = finetuning.loss or keras.losses.get(model.loss)
        self._loss_weights = finetuning.loss_weights
        self._batches = pipelines.for_training(
            finetuning.split,
            options.batch_size,
            seed=options.seed + 1,
            position=self._position,
            transform=finetuning.transform,
        )
        if options.distill:
            self._batches = distilled(
                self._batches, teacher, options.distill, finetuning.soften
            )

    @property
    def num_steps(self) -> int:
        """The number of training steps that a twin gets."""
        return self._num_steps * self._options.finetune_epochs

    def batches(self) -> tf.data.Dataset:
        """Returns the batches of the first epoch."""
        self._position.set(0)
        return self._batches

    def train(self, wrapped: tf_keras.Model) -> float:
        """Trains a wrapped twin; returns the last epoch's loss."""
        rate = tf_keras.optimizers.schedules.CosineDecay(
            self._options.finetune_learning_rate, self.num_steps
        )
        wrapped.compile(
            tf_keras.optimizers.Adam(rate),
            loss=tf.nest.map_structure(_plain, self._loss),
            loss_weights=self._loss_weights,
        )
        return loop.train(
            wrapped,
            self._batches,
            self._position,
            self._options.finetune_epochs,
            self._num_steps,
        )


def _plain(loss: Loss | None) -> Loss | None:
    """Returns a loss of Keras 3 as a function, as which Keras 2 takes it."""
    return loss and (lambda targets, outputs: loss(targets, outputs))


def distilled(
    batches: tf.data.Dataset,
    teacher: tf_keras.Model,
    weight: float,
    soften: Callable[[Any], Any] = lambda outputs: outputs,
) -> tf.data.Dataset:
    """Mixes the teacher's outputs into the targets (Hinton et al., 2015).

    For losses that are linear in the target (cross-entropies), or whose
    gradient is linear in it (squared error), fitting the mixture is the same as
    adding a distillation term at temperature 1.

    Args:
        batches: Pairs of inputs and targets.
        teacher: A twin whose outputs have the structure of the targets.
        weight: The part of the teacher's outputs in the targets, from 0 to 1.
        soften: Maps the teacher's outputs to targets.
    """

    def mix(inputs: Any, targets: Any) -> tuple[Any, Any]:
        outputs = soften(teacher(inputs, training=False))
        return inputs, tf.nest.map_structure(
            lambda target, output: (
                (1 - weight) * tf.cast(target, output.dtype) + weight * output
            ),
            targets,
            outputs,
        )

    return batches.map(mix, tf.data.AUTOTUNE)
