"""Copies weights between a Keras 3 model and its twin."""

from collections.abc import Iterator
from typing import Any

import keras

from .registry import is_stock, twin_name

_PARTS = (
    "layer",
    "forward_layer",
    "backward_layer",
    "cell",
    "_query_dense",
    "_key_dense",
    "_value_dense",
    "_output_dense",
)


def weights_to(model: Any, twin: Any) -> None:
    """Copies the weights and `trainable` flags of a model to its twin."""
    for layer, other in layer_pairs(model, twin):
        if other.trainable != layer.trainable:
            other.trainable = layer.trainable  # Sets its parts too; they
    for source, target in variable_pairs(model, twin):  # follow in order.
        target.assign(keras.ops.convert_to_numpy(source))


def weights_back(twin: Any, model: Any) -> None:
    """Copies the weights of a twin into the Keras 3 model it came from.

    Nothing is changed unless every weight fits. A twin that TF-MOT has
    wrapped must be stripped first.

    Args:
        twin: what `to_tf_keras(model)` returned, or what TF-MOT's
            `strip_pruning` or `strip_clustering` made of it.
        model: the Keras 3 model, changed in place.

    Raises:
        ValueError: a layer or a shape of the model has no match in the twin.
    """
    for target, source in variable_pairs(model, twin):
        target.assign(source.numpy())


def copy_weights(source: Any, target: Any, model: Any) -> None:
    """Copies the weights of one twin of a model to another.

    `set_weights` will not do: TF-MOT changes the order of a layer's weights.
    """
    theirs = [one for _, one in variable_pairs(model, source)]
    ours = [one for _, one in variable_pairs(model, target)]
    for one, other in zip(theirs, ours, strict=True):
        other.assign(one.numpy())


def mend(twin: Any, model: Any) -> None:
    """Puts right what `strip_clustering` left in a wrong place in a twin."""
    variable_pairs(model, twin)


def variable_pairs(model: Any, twin: Any) -> list[tuple[Any, Any]]:
    """Pairs the weights of a model and of its twin, shapes checked."""
    pairs: list[tuple[Any, Any]] = []
    for layer, other in layer_pairs(model, twin):
        pairs.extend(_leaf_pairs(layer, other))
    return pairs


def layer_pairs(layer: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yields matching layers of model and twin, containers first."""
    if isinstance(layer, keras.layers.SpectralNormalization):
        yield from layer_pairs(layer.layer, other)
        return
    yield layer, other
    if isinstance(layer, keras.Model):
        twins = {part.name: part for part in other.layers}
        for part in layer.layers:
            match = twins.get(twin_name(part.name))
            if match is not None:
                yield from layer_pairs(part, match)
            elif part.weights:
                raise ValueError(
                    f"twin must have a layer {part.name!r} as the model has; "
                    f"received {', '.join(twins)}. Strip TF-MOT's wrappers "
                    "(strip_pruning, strip_clustering) before copying back."
                )
        return
    _mend_attention(other)
    for name, part in _parts(layer).items():
        yield from layer_pairs(part, getattr(other, name))
    for part, match in zip(
        getattr(layer, "cells", ()), getattr(other, "cells", ()), strict=True
    ):
        yield from layer_pairs(part, match)


def _parts(layer: Any) -> dict[str, Any]:
    """Returns the layers that a stock layer has."""
    if not is_stock(layer):
        return {}
    found = {name: getattr(layer, name, None) for name in _PARTS}
    return {
        name: part
        for name, part in found.items()
        if isinstance(part, keras.layers.Layer)
    }


def _mend_attention(layer: Any) -> None:
    """Puts kernels in the place where TF-MOT should have put them.

    Its `strip_clustering` sets an attribute called "_query_dense.kernel" of
    the attention layer in place of the attribute of the part.
    """
    for name, value in list(vars(layer).items()):
        part, dot, attribute = name.rpartition(".")
        if dot and hasattr(layer, part):
            setattr(getattr(layer, part), attribute, value)


def _leaf_pairs(layer: Any, other: Any) -> list[tuple[Any, Any]]:
    """Pairs the weights that a layer owns itself."""
    if isinstance(layer, keras.layers.Normalization):
        return []  # Constants in the twin.
    if isinstance(layer, keras.Model) or hasattr(layer, "cells"):
        return []
    if _parts(layer):
        return []
    ours = list(layer.weights)
    theirs = _by_name(ours, other) or list(other.weights)
    shapes = [tuple(v.shape) for v in ours], [tuple(v.shape) for v in theirs]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"layer {layer.name!r} must have weights of the same shapes in "
            f"model and twin; received {shapes[0]} and {shapes[1]}. Pass the "
            "twin made from this model."
        )
    return list(zip(ours, theirs, strict=True))


def _by_name(ours: list[Any], other: Any) -> list[Any] | None:
    """Finds weights as attributes: strip_clustering changes their order."""
    found = [getattr(other, v.name, None) for v in ours]
    if all(hasattr(v, "assign") for v in found):
        return found
    return None
