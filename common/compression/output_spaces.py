"""The space that a layer's outputs lie in, measured on training examples."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

EXAMPLES = 1024  # Read for the outputs' statistics.


class Outputs:
    """Sums over a layer's outputs before its activation.

    Outputs lie in the space that the kernel's rows span. If it has fewer
    dimensions than the outputs, as with the many items of a recommender, sums
    are over the coordinates in it, which need less memory.
    """

    def __init__(self, layer: Any) -> None:
        """Starts with no outputs."""
        kernel = matrix(layer)
        inputs, units = kernel.shape
        self._has_bias = bool(getattr(layer, "use_bias", False))
        self._bias = np.zeros(units)
        if self._has_bias:
            self._bias += keras.ops.convert_to_numpy(layer.bias)
        self._basis = (
            np.linalg.qr(kernel.T.astype(np.float64))[0]
            if inputs < units
            else np.eye(units)
        )
        size = self._basis.shape[1]
        self._count = 0
        self._total = np.zeros(size)
        self._products = np.zeros((size, size))

    def add(self, outputs: np.ndarray) -> None:
        """Adds output vectors, `(..., units)`."""
        rows = outputs.reshape(-1, len(self._bias)) - self._bias
        coordinates = rows @ self._basis
        self._count += len(coordinates)
        self._total += coordinates.sum(0)
        self._products += coordinates.T @ coordinates

    def space(self) -> "Space":
        """Returns the space that the outputs lie in."""
        count = max(1, self._count)
        mean = self._total / count * self._has_bias
        moments = self._products / count - np.outer(mean, mean)
        variances, directions = np.linalg.eigh(moments)
        return Space(
            self._bias + self._basis @ mean,
            self._basis @ directions[:, ::-1],
            np.maximum(variances[::-1], 0.0),
        )


@dataclasses.dataclass(frozen=True)
class Space:
    """The space that a layer's outputs lie in.

    Attributes:
        mean: Where its origin is, `(units,)`; zeros for a layer without biases,
            which cannot move it.
        directions: Orthonormal, the one of the greatest variance first,
            `(units, dimensions)`; a direction is a column.
        variances: The variance along each direction, `(dimensions,)`.
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray


def matrix(layer: Any) -> np.ndarray:
    """Returns a layer's kernel as a matrix, `(inputs, units)`."""
    weights = keras.ops.convert_to_numpy(layer.weights[0])
    return weights.reshape(-1, weights.shape[-1])


def measure(
    model: keras.Model,
    layers: Mapping[str, keras.layers.Layer],
    batches: Iterable[tuple[Any, ...]],
) -> dict[str, Space]:
    """Returns the space that the outputs of each layer lie in, by name.

    Args:
        model: A Keras 3 model.
        layers: The layers of the model to look at; see `low_rank.layers`.
        batches: Tuples that begin with the inputs of the model; of those,
            `EXAMPLES` are read, at least a batch.
    """
    sums: dict[str, Outputs] = {}
    with contextlib.ExitStack() as stack:
        for name, layer in layers.items():
            sums[name] = Outputs(layer)
            stack.enter_context(_observed(layer, sums[name].add))
        examples = 0
        for inputs, *_ in batches:
            model(inputs, training=False)  # In eager mode: arrays are seen.
            examples += len(keras.tree.flatten(inputs)[0])
            if examples >= EXAMPLES:
                break
    return {name: outputs.space() for name, outputs in sums.items()}


@contextlib.contextmanager
def _observed(layer: Any, add: Callable[[np.ndarray], None]) -> Iterator[None]:
    """Passes what a layer computes, before its activation, to `add`."""
    name = "activation" if hasattr(layer, "activation") else "call"
    original = getattr(layer, name)

    def observe(inputs: Any) -> Any:
        outputs = original(inputs)
        seen = inputs if name == "activation" else outputs
        add(keras.ops.convert_to_numpy(seen))
        return outputs

    setattr(layer, name, observe)
    try:
        yield
    finally:
        if name == "call":  # Its class has it.
            delattr(layer, name)
        else:
            setattr(layer, name, original)
