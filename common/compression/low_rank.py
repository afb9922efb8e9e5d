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

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from common.keras2 import graph
from common.options import InputError
from common.shared_options import Options
from common.variants import FIRST_HALF

from .output_spaces import Space, matrix

NOTHING_SAVED = (
    "low rank saves nothing: no dense layer, convolution or embedding has a "
    "kernel large enough."
)

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


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


def largest_rank(layer: Any) -> int:
    """Returns the largest rank at which two kernels have fewer weights."""
    inputs, units = matrix(layer).shape
    return (inputs * units - 1) // (inputs + units)


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
    shapes = {name: matrix(layer).shape for name, layer in candidates.items()}
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
        units = matrix(layer).shape[1]
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
    kernel = matrix(layer) @ directions
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
