"""Distillation: a network learns the outputs of a larger one, its teacher.

The loss of the network, the student, is (Hinton et al., Distilling the
knowledge in a neural network, 2015)

  (1 - w) loss(label, outputs) + w T^2 CE(softmax(t / T), softmax(s / T))

with the logits t of the teacher and s of the student, the temperature T and the
weight w. The factor T^2 keeps the gradients of the second term as large as
those of the first, whatever the temperature. With binary outputs, sigmoids take
the place of the softmaxes. The teacher sees the very batch that the student
sees, augmented and partly hidden.
"""

import contextlib
import dataclasses
import functools
import hashlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from common import console
from common.options import InputError
from common.teacher_options import TeacherOptions

# The least probability whose logarithm is taken. It is far below what float32
# can tell from 1, but logits are differences of logarithms.
LEAST = 1e-30
# The least distance of a binary probability from 0 and 1.
MARGIN = 1e-7


@typing.final
@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained network that another network learns from.

    Attributes:
        network: The trained network; it takes the student's inputs.
        name: What the report calls it: its release or its file.
        temperature: The temperature T, above 0.
        weight: The weight w of the teacher's outputs in the loss, up to 1.
        metrics: Its own figures on the validation split, by name.
        notes: Sentences on the teacher that the user should read.
        binary: Whether each output is a decision of its own, whose probability
            is a sigmoid; otherwise the last axis has the classes.
        from_logits: Whether networks give logits rather than probabilities.
    """

    network: keras.Model
    name: str
    temperature: float
    weight: float
    metrics: Mapping[str, float]
    notes: tuple[str, ...] = ()
    binary: bool = False
    from_logits: bool = False

    @classmethod
    def of(
        cls,
        network: keras.Model,
        options: TeacherOptions,
        *,
        metrics: Mapping[str, float],
        notes: Sequence[str] = (),
        binary: bool = False,
        from_logits: bool = False,
    ) -> "Teacher":
        """Returns the teacher that `--teacher` and its options describe.

        Args:
            network: The trained network; it is frozen.
            options: Give `teacher`, its temperature and its weight.
            metrics: See `Teacher`.
            notes: See `Teacher`.
            binary: See `Teacher`.
            from_logits: See `Teacher`.
        """
        network.trainable = False
        return cls(
            network, options.teacher, options.teacher_temperature,
            options.teacher_weight, metrics, tuple(notes), binary, from_logits,
        )  # fmt: skip

    @functools.cached_property
    def digest(self) -> str:
        """8 hex digits that identify the network by its weights."""
        return weights_digest(self.network)

    def loss(self, inputs: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Returns T^2 times the cross-entropy with the teacher's outputs.

        Args:
            inputs: A batch of the student's inputs.
            outputs: The student's outputs for them, `(batch, ..., classes)`.
            sample_weight: The weight of each example, `(batch,)`, if any.
        """
        taught = ops.stop_gradient(self.network(inputs, training=False))
        student, teacher = (
            self._logits(values) / self.temperature
            for values in (outputs, taught)
        )
        if self.binary:
            loss: keras.losses.Loss = keras.losses.BinaryCrossentropy(True)
            targets = ops.sigmoid(teacher)
        else:
            loss = keras.losses.CategoricalCrossentropy(True)
            targets = ops.softmax(teacher)
        return self.temperature**2 * loss(targets, student, sample_weight)

    def _logits(self, outputs: Any) -> Any:
        """Returns the logits of outputs, up to a constant of each example."""
        outputs = ops.cast(outputs, "float32")
        if self.from_logits:
            return outputs
        if not self.binary:
            return ops.log(ops.maximum(outputs, LEAST))
        outputs = ops.clip(outputs, MARGIN, 1 - MARGIN)
        return ops.log(outputs) - ops.log1p(-outputs)

    def announce(self) -> None:
        """Prints who teaches, and the notes."""
        shown = ", ".join(f"{k} {v:.4f}" for k, v in self.metrics.items())
        console.get().print(
            f"teacher: {self.name}, {self.network.count_params():,} weights, "
            f"validation {shown}"
        )
        for note in self.notes:
            console.get().print(f"note: {note}")

    def describe(self, student: keras.Model) -> dict[str, Any]:
        """Returns the part of `report.json` about the teacher."""
        return {
            "name": self.name,
            "weights": self.network.count_params(),
            "student_weights": student.count_params(),
            "temperature": self.temperature,
            "weight": self.weight,
            "metrics": {"valid": dict(self.metrics)},
        }


def check(network: keras.Model, student: keras.Model, name: str) -> None:
    """Refuses a teacher whose inputs or outputs are not the student's.

    Args:
        network: The teacher's network.
        student: The network that is to learn from it.
        name: The teacher's name, for the error.

    Raises:
        InputError: If the shapes differ.
    """
    for part in ("input", "output"):
        own, other = (
            getattr(model, f"{part}_shape") for model in (network, student)
        )
        if own != other:
            raise InputError(
                f"--teacher must have the {part} of the network to train, of "
                f"shape {other}; that of {name} has {own}."
            )


def weights_digest(model: keras.Model) -> str:
    """Returns 8 hex digits that identify a model by its weights."""
    state = hashlib.sha256()
    for weight in model.get_weights():
        state.update(weight.tobytes())
    return state.hexdigest()[:8]


@contextlib.contextmanager
def taught(model: keras.Model, teacher: Teacher | None) -> Iterator[None]:
    """Adds the teacher's term to the loss that `fit` minimizes in the block.

    The loss of validation stays that of the labels, and so do all metrics.

    Args:
        model: The compiled student.
        teacher: The teacher; None leaves the loss as it is.
    """
    if teacher is None:
        yield
        return
    of_labels = model.compute_loss

    def compute_loss(
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = of_labels(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
        soft = teacher.loss(x, y_pred, sample_weight)
        return (1 - teacher.weight) * loss + teacher.weight * soft

    # Keras asks the model itself for the loss of a step, so the model stays
    # the one that is saved, compressed and restored from checkpoints.
    model.compute_loss = compute_loss
    try:
        yield
    finally:
        del model.compute_loss
        model.train_function = None  # It has the teacher's term.
