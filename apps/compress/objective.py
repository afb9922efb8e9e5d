"""The loss and the metrics that a model is fine-tuned and judged with."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.options import InputError

from .user_model import UserModel

# Losses whose targets may be mixed with another model's outputs.
MIXED = {
    "categoricalcrossentropy",
    "binarycrossentropy",
    "meansquarederror",
}
# Words in a metric's name that show its direction if Keras does not say it.
RISING = {
    "acc", "accuracy", "agreement", "auc", "auroc", "correlation", "dice",
    "f1", "fbeta", "iou", "kappa", "precision", "psnr", "r2", "recall",
    "sensitivity", "similarity", "specificity", "ssim",
}  # fmt: skip
FALLING = {
    "crossentropy", "deviance", "distance", "divergence", "entropy", "error",
    "false", "hinge", "logcosh", "loss", "mae", "mape", "mse", "msle", "nll",
    "perplexity", "poisson", "rmse",
}  # fmt: skip
BATCH = 1024


class Objective:
    """A loss and metrics, which Keras computes from outputs and targets.

    Attributes:
        name: The name of the task metric: the first metric, or the loss if
            there are no metrics.
        higher_is_better: Whether a higher task metric is better.
        loss: The Keras loss that fine-tuning minimizes.
        distills: Whether targets may be mixed with the float model's outputs.
        num_classes: The number of classes; 0 if targets are no classes.
    """

    def __init__(
        self,
        shape: tuple,
        loss: Any,
        metrics: list[Any],
        direction: str = "auto",
    ) -> None:
        """Resolves loss and metrics.

        Args:
            shape: The shape of the model's output, batch axis included.
            loss: A Keras loss, or its name.
            metrics: Keras metrics, or their names.
            direction: `up` if a higher task metric is better, `down` if a lower
                one is; `auto` if Keras or the metric's name says it.

        Raises:
            InputError: If a name is unknown, if loss or metrics do not fit the
                outputs, or if nothing says the direction.
        """
        self._shape = shape
        self._given = _get(keras.losses.get, loss, "--loss")
        for metric in metrics:
            _get(keras.metrics.get, metric, "--metric")
        settings: dict[str, Any] = getattr(self._given, "get_config", dict)()
        self._kind = _kind(self._given)
        self._logits = bool(settings.get("from_logits"))
        self._sparse = self._kind == "sparsecategoricalcrossentropy"
        self.loss = self._given
        if self._sparse and settings.get("ignore_class") is None:
            # The same loss for one-hot targets, which can be mixed.
            self._kind = "categoricalcrossentropy"
            self.loss = keras.losses.CategoricalCrossentropy(
                from_logits=self._logits
            )
        self.distills = self._kind in MIXED
        classes = "categorical" in self._kind
        self.num_classes = int(shape[-1]) if classes else 0
        self._judge = keras.Sequential(
            [keras.Input(shape[1:]), keras.layers.Activation("linear")]
        )
        self._judge.compile(loss=self._given, metrics=metrics or None)
        values = self._try(metrics)
        self.name = next((key for key in values if key != "loss"), "loss")
        if direction == "auto":
            direction = self._direction(self.name)
        self.higher_is_better = direction == "up"

    def _try(self, metrics: list[Any]) -> dict[str, float]:
        """Returns loss and metrics of made-up outputs, by name.

        Raises:
            InputError: If they cannot be computed, before any work is done.
        """
        outputs = np.full((2, *(n or 1 for n in self._shape[1:])), 0.5, "f")
        labels = outputs[..., 0] if self.num_classes else outputs
        targets = self.targets(tf.constant(labels)).numpy()
        try:
            return self.measure(outputs, targets)
        except Exception as error:
            raise InputError(
                f"--metric and --loss must fit outputs of shape {self._shape}; "
                f"received {metrics} and {self._kind}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from None

    def _direction(self, name: str) -> str:
        """Returns `up` if a higher metric is better, else `down`.

        Raises:
            InputError: If neither Keras nor the name says it.
        """
        for container in self._judge.metrics:
            for metric in getattr(container, "metrics", [container]):
                if metric.name == name and hasattr(metric, "_direction"):
                    return metric._direction
        words = set(re.findall(r"[a-z]+\d?", name.lower()))
        words |= {word.rstrip("0123456789") for word in words}
        up, down = words & RISING, words & FALLING
        if bool(up) == bool(down):
            raise InputError(
                "--metric_direction must be up or down where neither Keras nor "
                f"the name says whether more is better; received auto for the "
                f"metric {name!r}."
            )
        return "up" if up else "down"

    def measure(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> dict[str, float]:
        """Returns all metrics and the loss of a split, by name.

        Args:
            outputs: The model's outputs for the split, `(num, ...) float32`.
            targets: The targets, `(num, ...)`; see `targets`.
        """
        results = self._judge.evaluate(
            outputs, targets, batch_size=BATCH, verbose=0, return_dict=True
        )
        # Keras computes in float32, which has no more digits.
        values = {key: round(float(value), 7) for key, value in results.items()}
        return {**{k: v for k, v in values.items() if k != "loss"}, **values}

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns labels as targets of the model's own loss.

        Args:
            labels: `(batch, ...)`, of any form that `check` accepts.

        Returns:
            For a sparse loss the classes, as they are; for another loss of
            classes one-hot rows, `(batch, ..., num_classes) float32`; else
            `labels` as float32 in the shape of the outputs.
        """
        rank, shape = len(self._shape), labels.shape
        if self._sparse:
            squeeze = shape.rank == rank and shape[-1] == 1
            return tf.squeeze(labels, -1) if squeeze else labels
        if self.num_classes and shape.rank == rank - 1:
            return tf.one_hot(tf.cast(labels, tf.int64), self.num_classes)
        if shape.rank == rank - 1:
            labels = tf.expand_dims(labels, -1)
        return tf.cast(labels, tf.float32)

    def training_targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns labels as targets of `loss`, the loss of fine-tuning."""
        targets = self.targets(labels)
        if self._sparse and self.distills:
            return tf.one_hot(tf.cast(targets, tf.int64), self.num_classes)
        return targets

    def soften(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the float model's outputs as targets of `loss`.

        Logits become probabilities: their softmax, or with binary
        cross-entropy their sigmoid.
        """
        if not self._logits:
            return outputs
        softened = tf.sigmoid if self.is_binary else tf.nn.softmax
        return softened(outputs)

    @property
    def is_binary(self) -> bool:
        """Whether each output is a decision of its own."""
        return self._kind == "binarycrossentropy"

    @property
    def from_logits(self) -> bool:
        """Whether the model gives logits, not probabilities."""
        return self._logits

    def check(self, labels: np.ndarray, source: str) -> None:
        """Checks that labels fit the loss.

        Args:
            labels: The labels of a split, `(num, ...)`.
            source: The name of the data, for messages.

        Raises:
            InputError: If the shape does not fit, or a label is no class of
                the model.
        """
        shape = tuple(self._shape[1:])
        one_hot = labels.shape[1:] == shape and not self._sparse
        if self.num_classes and not one_hot:
            expected: tuple = shape[:-1]
            if labels.shape[1:] not in (expected, (*expected, 1)):
                raise InputError(
                    f"{source} must have labels of shape {expected} for this "
                    f"model and loss; received {labels.shape[1:]}."
                )
            bad = (labels < 0) | (labels >= self.num_classes)
            bad |= labels != np.floor(labels)
            if np.any(bad):
                raise InputError(
                    f"{source} must have labels 0 to {self.num_classes - 1}, "
                    f"the model's classes; received {labels[bad][0]}."
                )
        elif not self.num_classes and labels.shape[1:] not in (
            shape,
            shape[:-1] if shape[-1] == 1 else shape,
        ):
            raise InputError(
                f"{source} must have labels of the output's shape {shape}; "
                f"received {labels.shape[1:]}."
            )


class Agreement:
    """The agreement with the float model's outputs, for data without labels.

    For classes it is the part of the outputs whose class is the same; for other
    outputs, 1 minus the mean squared difference divided by their variance. See
    `Objective` for the attributes.
    """

    name = "agreement"
    higher_is_better = True
    num_classes = 0
    distills = False

    def __init__(self, output: keras.KerasTensor, loss: Any = None) -> None:
        """Finds out whether a model's outputs are classes.

        Args:
            output: The model's symbolic output.
            loss: The loss in the model's file, if any.
        """
        last = output._keras_history.operation
        self._activation = getattr(
            getattr(last, "activation", None), "__name__", ""
        )
        if isinstance(last, keras.layers.Softmax):
            self._activation = "softmax"
        logits = "crossentropy" in _kind(loss) if loss else False
        self._width = int(output.shape[-1] or 1)
        self._classes = self._activation in ("softmax", "sigmoid") or logits
        self._threshold = 0.5 if self._activation == "sigmoid" else 0.0

    def measure(
        self, outputs: np.ndarray, targets: np.ndarray
    ) -> dict[str, float]:
        """Returns the agreement, by name.

        Args:
            outputs: The outputs to judge, `(num, ...) float32`.
            targets: The float model's outputs, of the same shape.
        """
        if not self._classes:
            spread = np.mean((targets - targets.mean(axis=0)) ** 2)
            error = np.mean((outputs - targets) ** 2)
            return {self.name: float(1 - error / max(spread, 1e-12))}
        if self._width > 1 and self._activation != "sigmoid":
            same = outputs.argmax(axis=-1) == targets.argmax(axis=-1)
        else:
            same = (outputs > self._threshold) == (targets > self._threshold)
        return {self.name: float(np.mean(same))}

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns the labels unchanged: they are the float model's outputs."""
        return labels


def build(
    user: UserModel, loss: str, metric: str, direction: str = "auto"
) -> Objective:
    """Returns the objective that the options give, or else the file.

    Args:
        user: The model, with the loss and the metrics of its file.
        loss: The name of a Keras loss; "" for the file's own.
        metric: The name of a Keras metric; "" for the file's own.
        direction: See `Objective`.

    Raises:
        InputError: If neither gives a loss; see also `Objective`.
    """
    chosen_loss = loss or _loss(user.loss)
    if not chosen_loss:
        raise InputError(
            "--loss must be given, e.g. sparse_categorical_crossentropy: the "
            "model was saved without a loss of Keras's own."
        )
    metrics = [metric] if metric else _metrics(user.metrics)
    return Objective(user.model.output_shape, chosen_loss, metrics, direction)


def _loss(config: Any) -> Any:
    """Returns the loss of a `compile_config`, None if it has not just one."""
    while isinstance(config, (list, dict)):
        if isinstance(config, dict) and "class_name" in config:
            return _deserialize(config, "--loss")
        values = list(config.values()) if isinstance(config, dict) else config
        if len(values) != 1:
            return None
        config = values[0]
    return config


def _metrics(config: Any) -> list[Any]:
    """Returns the metrics of a `compile_config`, as one list."""
    if config is None:
        return []
    if isinstance(config, str):
        return [config]
    if isinstance(config, dict) and "class_name" in config:
        return [_deserialize(config, "--metric")]
    values = config.values() if isinstance(config, dict) else config
    return [metric for value in values for metric in _metrics(value)]


def _deserialize(config: dict[str, Any], option: str) -> Any:
    """Returns the object that a part of a `compile_config` describes."""
    try:
        return keras.saving.deserialize_keras_object(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{option} must be given: the model was saved with "
            f"{config['class_name']!r}, which this version of Keras cannot "
            f"make: {str(error).strip().splitlines()[0][:200]}"
        ) from None


def _get(getter: Callable[[Any], Any], given: Any, option: str) -> Any:
    """Returns the loss or metric that Keras has by a name.

    The names of metrics that only `compile` knows are returned as they are.
    """
    if option == "--metric" and given in ("acc", "accuracy", "crossentropy"):
        return given
    try:
        return getter(given)
    # The name is unknown, or its class needs arguments.
    except (ValueError, TypeError):
        place = getter.__module__.replace(".src", "")
        raise InputError(
            f"{option} must be a name in {place} that needs no arguments; "
            f"received {given!r}."
        ) from None


def _kind(loss: Any) -> str:
    """Returns a loss's name without case and underscores."""
    if isinstance(loss, dict):
        name = str(loss.get("class_name"))
    elif isinstance(loss, str):
        name = loss
    else:
        name = getattr(loss, "__name__", type(loss).__name__)
    return re.sub("_", "", name).lower()
