"""TensorFlow's operations between the layers of a model of Keras 2.

`preprocess_input(x)`, `x + y` and `x[:, 0]` became layers of their own classes
in Keras 2, which Keras 3 does not have. They are read as operations of Keras 3.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

CLASSES = ("TFOpLambda", "SlicingOpLambda")
# Operations by their names in TensorFlow. Others are refused: a name in a file
# could be that of any function, such as one that reads files.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "__operators__.add": lambda x, y: ops.add(x, y),
    "__operators__.getitem": lambda x, slice_spec: x[_index(slice_spec)],
    "cast": lambda x, dtype: ops.cast(x, dtype),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(
        t, clip_value_min, clip_value_max
    ),
    "concat": lambda values, axis: ops.concatenate(values, axis),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "linalg.matmul": lambda a, b: ops.matmul(a, b),
    "math.abs": ops.abs,
    "math.add": lambda x, y: ops.add(x, y),
    "math.divide": lambda x, y: ops.true_divide(x, y),
    "math.exp": ops.exp,
    "math.log": ops.log,
    "math.maximum": lambda x, y: ops.maximum(x, y),
    "math.minimum": lambda x, y: ops.minimum(x, y),
    "math.multiply": lambda x, y: ops.multiply(x, y),
    "math.negative": ops.negative,
    "math.pow": lambda x, y: ops.power(x, y),
    "math.reduce_max": lambda input_tensor, **kept: ops.max(
        input_tensor, **kept
    ),
    "math.reduce_mean": lambda input_tensor, **kept: ops.mean(
        input_tensor, **kept
    ),
    "math.reduce_sum": lambda input_tensor, **kept: ops.sum(
        input_tensor, **kept
    ),
    "math.sigmoid": ops.sigmoid,
    "math.sqrt": ops.sqrt,
    "math.square": ops.square,
    "math.subtract": lambda x, y: ops.subtract(x, y),
    "math.tanh": ops.tanh,
    "math.truediv": lambda x, y: ops.true_divide(x, y),
    "nn.bias_add": lambda value, bias, data_format=None: _bias_add(
        value, bias, data_format
    ),
    "nn.relu": lambda features: ops.relu(features),
    "nn.sigmoid": ops.sigmoid,
    "nn.silu": lambda features: ops.silu(features),
    "nn.softmax": lambda logits, axis=-1: ops.softmax(logits, axis),
    "nn.tanh": ops.tanh,
    "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis),
    "transpose": lambda a, perm=None: ops.transpose(a, perm),
}


class Operation(keras.layers.Layer):
    """Stands for such a layer until `expand` puts its operation there."""

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        # In `1 - x`, the first argument is no tensor.
        self._allow_non_tensor_positional_args = True

    def call(self, *args: Any, name: str | None = None, **kwargs: Any) -> Any:
        """Returns the outputs of the operation; its name is not used."""
        numbers = {key: _as_array(value) for key, value in kwargs.items()}
        return OPERATIONS[self.function](*map(_as_array, args), **numbers)

    def operate(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the outputs of an operation with the name of this layer."""
        output = self.call(*args, **kwargs)
        output._keras_history.operation.name = self.name
        return output


def _as_array(value: Any) -> Any:
    """Returns a list of fractions as an array; others tell axes and shapes."""
    if isinstance(value, list) and all(isinstance(x, float) for x in value):
        return np.asarray(value, np.float32)
    return value


def _index(parts: Any) -> Any:
    """Returns the index that Keras 2 wrote as dictionaries."""
    if isinstance(parts, list):
        return tuple(_index(part) for part in parts)
    if isinstance(parts, dict) and parts.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(parts, dict):
        return slice(*(parts[key] for key in ("start", "stop", "step")))
    return parts


def _bias_add(value: Any, bias: Any, data_format: str | None) -> Any:
    """Returns the sum with a number for each channel."""
    if data_format not in (None, "NHWC"):
        raise ValueError(f"channels must come last, not as {data_format}")
    return ops.add(value, bias)


def is_known(node: dict[str, Any]) -> bool:
    """Tells whether a configuration is of an operation that can be read."""
    settings = node.get("config")
    return (
        node.get("class_name") in CLASSES
        and isinstance(settings, dict)
        and settings.get("function") in OPERATIONS
    )


def expand(model: keras.Model) -> keras.Model:
    """Returns a model with operations of Keras 3 in place of `Operation`.

    Args:
        model: A model, whose other layers the returned model shares.
    """
    if isinstance(model, keras.Sequential) or not _has_operations(model):
        return model

    def replaced(layer: Any) -> Any:
        if isinstance(layer, Operation):
            return layer.operate
        return expand(layer) if isinstance(layer, keras.Model) else layer

    outputs = model._run_through_graph(model.inputs, replaced)
    return keras.Model(model._inputs_struct, outputs, name=model.name)


def _has_operations(model: keras.Model) -> bool:
    """Tells whether a model or one nested in it has an `Operation`."""
    return any(isinstance(x, Operation) for x in model._flatten_layers())
