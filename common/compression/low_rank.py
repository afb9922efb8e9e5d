"""Low rank: a layer's kernel as the product of two smaller ones.

A layer whose outputs before its activation lie near a space of `rank`
dimensions becomes two stock layers: one that computes the outputs' coordinates
in that space, and a dense or 1 x 1 one that maps them back (Denil et al., 2013;
Denton et al., 2014). The space is that of the outputs on training examples, not
that of the kernel, and the ranks are those that keep the most of the outputs'
variance for the weights they cost (Zhang et al., 2016, "Accelerating Very Deep
Convolutional Networks for Classification and Detection").

The network gets faster, since it multiplies less; pruning alone makes it
smaller only.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from common.keras2 import graph
from common.options import InputError
from common.shared_options import Options
from common.variants import FIRST_HALF

EXAMPLES = 1024  # Read for the outputs' statistics.
NOTHING_SAVED = (
    "low rank saves nothing: no dense layer, convolution or embedding has a "
    "kernel large enough."
)

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


class Outputs:
    """Sums over a layer's outputs before its activation.

    Outputs lie in the space that the kernel's rows span. If it has fewer
    dimensions than the outputs, as with the many items of a recommender, sums
    are over the coordinates in it, which need less memory.
    """

    def __init__(self, layer: Any) -> None:
        """Starts with no outputs."""
        kernel = _matrix(layer)
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


def layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns the layers that can be of low rank, by name.

    They are dense layers, convolutions and embeddings, also those of nested
    models, whose kernel has a rank that saves weights.
    """
    result: dict[str, keras.layers.Layer] = {}
    for layer in graph.as_functional(model).operations:
        if graph.is_nested(layer):
            result.update(layers(layer))
        elif _can_be_split(layer) and largest_rank(layer) > 0:
            result[layer.name] = layer
    return result


def _can_be_split(layer: Any) -> bool:
    """Returns whether a layer is stock, built, and has one plain kernel."""
    if type(layer) in CONVOLUTIONS:
        return layer.groups == 1 and layer.data_format == "channels_last"
    return type(layer) in (keras.layers.Dense, keras.layers.Embedding)


def _matrix(layer: Any) -> np.ndarray:
    """Returns a layer's kernel as a matrix, `(inputs, units)`."""
    weights = keras.ops.convert_to_numpy(layer.weights[0])
    return weights.reshape(-1, weights.shape[-1])


def largest_rank(layer: Any) -> int:
    """Returns the largest rank at which two kernels have fewer weights."""
    inputs, units = _matrix(layer).shape
    return (inputs * units - 1) // (inputs + units)


def output_spaces(
    model: keras.Model, batches: Iterable[tuple[Any, ...]]
) -> dict[str, Space]:
    """Returns the space of the outputs of each layer that can be of low rank.

    Args:
        model: A Keras 3 model.
        batches: Tuples that begin with the inputs of the model; of those,
            `EXAMPLES` are read, at least a batch.
    """
    sums: dict[str, Outputs] = {}
    with contextlib.ExitStack() as stack:
        for name, layer in layers(model).items():
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


def choose_ranks(
    model: keras.Model, spaces: Mapping[str, Space], options: Options
) -> dict[str, int]:
    """Returns the rank of each layer that is to be of low rank.

    From the largest rank that saves weights, the direction is given up that has
    the smallest part of its layer's remaining variance for the weights it
    costs, until `--low_rank_weights` of all weights of these layers are left.

    Args:
        model: The model.
        spaces: The spaces of its layers' outputs, by the layer's name.
        options: Gives `low_rank_weights`, and `layer_ranks` instead of it.

    Raises:
        InputError: If `--layer_ranks` does not fit the model.
        ValueError: If no layer can be of low rank.
    """
    candidates = layers(model)
    if not candidates:
        raise ValueError(NOTHING_SAVED)
    if options.layer_ranks:
        return _given_ranks(candidates, options.layer_ranks)
    largest = {name: largest_rank(layer) for name, layer in candidates.items()}
    ranks = _within(options.low_rank_weights, candidates, spaces, largest)
    # A layer that gave nothing up stays whole.
    ranks = {name: rank for name, rank in ranks.items() if rank < largest[name]}
    if not ranks:
        raise ValueError(NOTHING_SAVED)
    return ranks


def _within(
    part: float,
    candidates: Mapping[str, Any],
    spaces: Mapping[str, Space],
    largest: Mapping[str, int],
) -> dict[str, int]:
    """Returns ranks at which at most `part` of the weights are left.

    Args:
        part: The part of the weights, from 0 to 1.
        candidates: The layers, by name.
        spaces: The spaces of their outputs.
        largest: The ranks to start from, at which a layer is still whole.
    """
    shapes = {name: _matrix(layer).shape for name, layer in candidates.items()}
    ranks = dict(largest)

    def weights(name: str) -> int:
        inputs, units = shapes[name]
        if ranks[name] == largest[name]:
            return inputs * units
        return ranks[name] * (inputs + units)

    def loss(name: str) -> float:
        kept = spaces[name].variances[: ranks[name]]
        lost = kept[-1] / max(float(kept.sum()), 1e-30)
        return -np.log1p(-min(lost, 1 - 1e-12)) / sum(shapes[name])

    losses = {name: loss(name) for name in ranks if ranks[name] > 1}
    total = sum(map(weights, ranks))
    allowed = part * total
    while losses and total > allowed:
        name = min(losses, key=losses.__getitem__)
        total -= weights(name)
        ranks[name] -= 1
        total += weights(name)
        losses[name] = loss(name)
        if ranks[name] == 1:
            del losses[name]
    return ranks


def _given_ranks(
    candidates: Mapping[str, Any], texts: Iterable[str]
) -> dict[str, int]:
    """Returns the ranks of `--layer_ranks`, by the layer's name.

    Raises:
        InputError: If a layer is unknown, or its rank saves nothing.
    """
    ranks = {}
    for text in texts:
        name, _, number = text.rpartition(":")
        if name not in candidates:
            raise InputError(
                "--layer_ranks must name dense layers, convolutions or "
                f"embeddings of the model, as dense:16; {text!r} names none of "
                f"{', '.join(candidates)}."
            )
        largest = largest_rank(candidates[name])
        if not number.isdecimal() or not 1 <= int(number) <= largest:
            raise InputError(
                f"--layer_ranks: the rank of {name} must be 1 to {largest}, "
                f"above which nothing is saved; received {number!r}."
            )
        ranks[name] = int(number)
    return ranks


def factorize(
    model: keras.Model,
    ranks: Mapping[str, int],
    spaces: Mapping[str, Space],
) -> keras.Model:
    """Returns a model with two layers in place of each layer of low rank.

    The second has the name of the original; the name of the first ends with
    `FIRST_HALF`. All other layers are shared with `model`, which is unchanged.

    Args:
        model: A functional or Sequential Keras 3 model.
        ranks: The rank of each layer that is to be of low rank, by name.
        spaces: The spaces of these layers' outputs, by name.
    """
    made: dict[int, Any] = {}  # What takes the place of a layer, by its id.

    def replaced(layer: Any) -> Any:
        if id(layer) not in made:
            if graph.is_nested(layer):
                made[id(layer)] = (
                    factorize(layer, ranks, spaces)
                    if ranks.keys() & layers(layer).keys()
                    else layer
                )
            elif layer.name in ranks:
                made[id(layer)] = _halves(
                    layer, ranks[layer.name], spaces[layer.name]
                )
            else:
                made[id(layer)] = layer
        return made[id(layer)]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, tuple):
            first, second = layer
            return second(first(*args, **kwargs))
        return layer(*args, **kwargs)

    functional = graph.as_functional(model)
    # Without the optimizer and the loss, which `clone_model` would copy.
    plain = keras.Model(functional.input, functional.output, name=model.name)
    inputs = keras.tree.map_structure(_same_input, functional.input)
    return keras.models.clone_model(
        plain, inputs, clone_function=replaced, call_function=call
    )


def _same_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Returns an input of the same name, which `clone_model` would change."""
    name = tensor._keras_history.operation.name
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def outline(model: keras.Model, options: Options) -> keras.Model:
    """Returns a model such as `factorize` gives, without looking at data.

    It shows before training which techniques can follow.

    Args:
        model: A functional or Sequential Keras 3 model.
        options: See `choose_ranks`.

    Raises:
        InputError, ValueError: See `choose_ranks`.
    """
    spaces = {}
    for name, layer in layers(model).items():
        units = _matrix(layer).shape[1]
        size = largest_rank(layer)
        spaces[name] = Space(
            np.zeros(units), np.eye(units, size), np.ones(size)
        )
    ranks = choose_ranks(model, spaces, options)
    return factorize(model, ranks, spaces)


def _halves(
    layer: Any, rank: int, space: Space
) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """Returns the two layers, built, that compute a layer at a rank."""
    config, directions = layer.get_config(), space.directions[:, :rank]
    kernel = _matrix(layer) @ directions
    shape = (*layer.weights[0].shape[:-1], rank)
    first_config = {**config, "name": config["name"] + FIRST_HALF}
    second_config = {
        "name": config["name"],
        "use_bias": config.get("use_bias", False),
        "activation": config.get("activation"),
        "dtype": config["dtype"],
        "trainable": layer.trainable,
    }
    if isinstance(layer, CONVOLUTIONS):
        first_config["filters"], second_config["filters"] = (
            rank,
            len(directions),
        )
        second = type(layer).from_config(second_config | {"kernel_size": 1})
    else:
        key = "units" if isinstance(layer, keras.layers.Dense) else "output_dim"
        first_config[key], second_config["units"] = rank, len(directions)
        second = keras.layers.Dense.from_config(second_config)
    if not isinstance(layer, keras.layers.Embedding):
        first_config |= {"use_bias": False, "activation": "linear"}
    first = type(layer).from_config(first_config)
    open_axes = (None,) * (len(shape) - 1)
    first.build((*open_axes, shape[-2]))
    first.set_weights([kernel.reshape(shape)])
    second.build((*open_axes, rank))
    weights = [directions.T.reshape(second.weights[0].shape)]
    if second_config["use_bias"]:
        bias = keras.ops.convert_to_numpy(layer.bias) - space.mean
        weights.append(space.mean + directions @ (directions.T @ bias))
    second.set_weights(weights)
    return first, second
