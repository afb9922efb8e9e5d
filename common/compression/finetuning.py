"""Fine-tuning of a wrapped twin, with the app's own loss and data."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from common import data
from common.config import Options


@dataclasses.dataclass(frozen=True)
class Finetuning:
    """How a twin is trained after a step.

    Attributes:
        split: The training examples.
        transform: See `data.for_training`.
        options: Gives batch size, seed, and the compression options.
        loss: From targets and outputs to what is minimized; by default the
            model's own loss.
        soften: Makes targets of the teacher's outputs, e.g. probabilities of
            logits. Only used if `options.distill` is not 0.
    """

    split: data.Split
    transform: data.TrainingTransform
    options: Options
    loss: Callable[[Any, Any], Any] | None = None
    soften: Callable[[Any], Any] = lambda outputs: outputs


def finetune(
    model: keras.Model,
    teacher: tf_keras.Model,
    wrapped: tf_keras.Model,
    num_steps: int,
    finetuning: Finetuning,
) -> float:
    """Trains a wrapped twin; returns the last epoch's loss."""
    options, position = finetuning.options, data.Position()
    batches = data.for_training(
        finetuning.split,
        options.batch_size,
        seed=options.seed + 1,
        position=position,
        transform=finetuning.transform,
    )
    if options.distill:
        batches = distilled(
            batches, teacher, options.distill, finetuning.soften
        )
    rate = tf_keras.optimizers.schedules.CosineDecay(
        options.finetune_learning_rate, num_steps * options.finetune_epochs
    )
    loss = finetuning.loss or keras.losses.get(model.loss)
    wrapped.compile(
        tf_keras.optimizers.Adam(rate),
        # Keras 3's own loss: the very one that the model was trained with.
        loss=lambda targets, outputs: loss(targets, outputs),
        steps_per_execution=min(16, num_steps),
    )
    history = wrapped.fit(
        batches,
        epochs=options.finetune_epochs,
        verbose=0,
        callbacks=[
            tfmot.sparsity.keras.UpdatePruningStep(),
            tf_keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: position.set(epoch)
            ),
        ],
    )
    return history.history["loss"][-1]


def distilled(
    batches: tf.data.Dataset,
    teacher: tf_keras.Model,
    weight: float,
    soften: Callable[[Any], Any] = lambda outputs: outputs,
) -> tf.data.Dataset:
    """Mixes the teacher's outputs into the targets (Hinton et al., 2015).

    For losses that are linear in the target (cross-entropies), or whose
    gradient is (squared error), fitting the mixture is the same as adding a
    distillation term at temperature 1.
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
