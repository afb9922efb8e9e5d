"""A loaded SavedModel: every use of a release calls it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from . import warmup
from .status import ServingError

DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# The parts of TensorFlow's messages that are meant for its own developers.
INTERNALS = re.compile(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]")


class Model:
    """A release's SavedModel.

    Attributes:
        path: The release's directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loaded = tf.saved_model.load(path)

    def warm_up(self) -> int:
        """Replays the release's recorded requests; returns their number."""
        logs = list(warmup.read(self.path))
        for log in logs:
            request = log.predict_log.request
            inputs = {
                name: tf.make_ndarray(proto)
                for name, proto in request.inputs.items()
            }
            self.predict(request.model_spec.signature_name, inputs)
        return len(logs)

    def inputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Returns the inputs of a signature by name; batch axes are None.

        Args:
            signature: The signature's name; "" for the default.

        Raises:
            ServingError: If there is no such signature.
        """
        function = self._loaded.signatures.get(signature or DEFAULT)
        if function is None:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"The model has no signature {signature or DEFAULT!r}",
            )
        return dict(function.structured_input_signature[1])

    def dtypes(self, signature: str) -> dict[str, np.dtype]:
        """Returns the inputs' NumPy dtypes by name, `object` for strings."""
        specs = self.inputs(signature)
        return {
            name: np.dtype(spec.dtype.as_numpy_dtype)
            for name, spec in specs.items()
        }

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Answers a request.

        Args:
            signature: The signature's name, "" for the default.
            inputs: Arrays by name, of exactly the signature's dtypes.
            outputs: The names of the outputs to return; by default all.

        Returns:
            The outputs as arrays by name.

        Raises:
            ServingError: If the request is refused, with TF Serving's own
                code.
        """
        specs = self.inputs(signature)
        _check_names(specs, inputs)
        feed = {
            name: _tensor(name, inputs[name], spec)
            for name, spec in specs.items()
        }
        try:
            tensors = self._loaded.signatures[signature or DEFAULT](**feed)
            arrays = {name: _array(value) for name, value in tensors.items()}
        except tf.errors.OpError as error:
            raise ServingError(_code(error), _message(error)) from None
        except (ValueError, TypeError) as error:
            raise ServingError("INVALID_ARGUMENT", _message(error)) from None
        return _selected(arrays, outputs)


def _check_names(
    specs: Mapping[str, tf.TensorSpec], inputs: Mapping[str, Any]
) -> None:
    """Raises `ServingError` if the signature has other inputs."""
    extra, missing = (
        sorted(set(inputs) - set(specs)),
        sorted(set(specs) - set(inputs)),
    )
    if extra or missing:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"The inputs must be {', '.join(sorted(specs))}. Missing: "
            f"{', '.join(missing) or 'none'}. Unknown: "
            f"{', '.join(extra) or 'none'}.",
        )


def _tensor(name: str, value: np.ndarray, spec: tf.TensorSpec) -> tf.Tensor:
    """Returns an input as a tensor; raises if its dtype or shape is wrong."""
    array = np.asarray(value)
    if array.dtype != np.dtype(spec.dtype.as_numpy_dtype):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Input {name} must be of type {spec.dtype.name}; received "
            f"{_dtype_name(array)}",
        )
    if not spec.shape.is_compatible_with(array.shape):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Input {name} must have shape {_shape(spec.shape)}; received "
            f"{list(array.shape)}",
        )
    return tf.constant(array, spec.dtype)


def _array(value: tf.Tensor) -> np.ndarray:
    """Returns an output as an array; a single string is bytes in TensorFlow."""
    content = value.numpy()
    return np.array(content, object) if isinstance(content, bytes) else content


def _dtype_name(value: np.ndarray) -> str:
    return "string" if value.dtype.kind == "O" else value.dtype.name


def _shape(shape: tf.TensorShape) -> list[int]:
    """Returns a shape as in TF Serving's metadata: -1 for any size."""
    return [-1 if size is None else size for size in shape]


def _selected(
    arrays: dict[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the arrays that `outputs` names, or all if it is empty."""
    for name in outputs:
        if name not in arrays:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"There is no output {name}; the signature has "
                f"{', '.join(sorted(arrays))}",
            )
    return {name: arrays[name] for name in outputs} if outputs else arrays


def _code(error: tf.errors.OpError) -> str:
    """Returns the name of a TensorFlow error's code."""
    names = {
        value: name
        for name, value in vars(tf.errors).items()
        if name.isupper() and isinstance(value, int)
    }
    return names.get(error.error_code, "INTERNAL")


def _message(error: Exception) -> str:
    """Returns the line of an error that helps the sender of the input."""
    text = getattr(error, "message", None) or str(error)
    # The names of graph nodes follow the message.
    text = text.split("[[{{node")[0]
    lines = [INTERNALS.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    return lines[-1] if lines[0] == "Graph execution error:" else lines[0]
