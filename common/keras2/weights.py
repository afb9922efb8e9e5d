"""Copies weights between a Keras 3 model and its twin."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tf_keras

from . import graph
from .registry import is_stock, twin_name

# The attributes that hold the layers inside a stock layer.
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


def weights_to(model: keras.Model, twin: tf_keras.Model) -> None:
    """Copies the weights and `trainable` flags of a model to its twin."""
    for layer, twin_layer in layer_pairs(model, twin):
        # The flag of a container sets those of its parts, which come later in
        # the pairs and get their own flags then.
        if twin_layer.trainable != layer.trainable:
            twin_layer.trainable = layer.trainable
    for source, target in variable_pairs(model, twin):
        target.assign(keras.ops.convert_to_numpy(source))


def weights_back(twin: tf_keras.Model, model: keras.Model) -> None:
    """Copies the weights of a twin into the Keras 3 model it came from.

    Nothing is changed unless every weight fits. A twin that TF-MOT has
    wrapped must be stripped first.

    Args:
        twin: The twin that `to_tf_keras(model)` returned, also after TF-MOT's
            `strip_pruning` or `strip_clustering`.
        model: The Keras 3 model, changed in place.

    Raises:
        ValueError: If a layer or a weight's shape of the model has no match in
            the twin.
    """
    for target, source in variable_pairs(model, twin):
        target.assign(source.numpy())


def copy_weights(
    source: tf_keras.Model, target: tf_keras.Model, model: keras.Model
) -> None:
    """Copies the weights of one twin of a model to another twin of it.

    `set_weights` would mix them up: TF-MOT changes the order of a layer's
    weights.

    Args:
        source: The twin to copy from.
        target: The twin to copy to, changed in place.
        model: The Keras 3 model of both twins.
    """
    source_variables = [
        variable for _, variable in variable_pairs(model, source)
    ]
    target_variables = [
        variable for _, variable in variable_pairs(model, target)
    ]
    for old, new in zip(source_variables, target_variables, strict=True):
        new.assign(old.numpy())


def mend(twin: tf_keras.Model, model: keras.Model) -> None:
    """Moves kernels that `strip_clustering` left in a wrong place in a twin."""
    variable_pairs(model, twin)


def variable_pairs(
    model: keras.Model, twin: tf_keras.Model
) -> list[tuple[Any, Any]]:
    """Returns the weights of a model, each with that of the twin.

    Raises:
        ValueError: If a layer or a weight's shape of the model has no match in
            the twin.
    """
    pairs: list[tuple[Any, Any]] = []
    for layer, twin_layer in layer_pairs(model, twin):
        pairs.extend(_leaf_pairs(layer, twin_layer))
    return pairs


def layer_pairs(
    layer: Any, twin_layer: Any, names: Mapping[int, str] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Yields each layer of a model with that of the twin, containers first.

    A nested model whose layers are the twin's own is left out.

    Args:
        layer: A Keras 3 layer or model.
        twin_layer: The tf_keras layer or model that it became.
        names: The names in the twin; see `graph.twin_names`.

    Raises:
        ValueError: If a layer with weights has no match in the twin.
    """
    if isinstance(layer, keras.layers.SpectralNormalization):
        yield from layer_pairs(layer.layer, twin_layer)
        return
    yield layer, twin_layer
    if isinstance(layer, keras.Model):
        names = names or graph.twin_names(layer)
        twins = {part.name: part for part in twin_layer.layers}
        yield from _model_pairs(layer, twins, names)
        return
    _mend_attention(twin_layer)
    for name, part in _parts(layer).items():
        yield from layer_pairs(part, getattr(twin_layer, name))
    for cell, twin_cell in zip(
        getattr(layer, "cells", ()),
        getattr(twin_layer, "cells", ()),
        strict=True,
    ):
        yield from layer_pairs(cell, twin_cell)


def _model_pairs(
    model: keras.Model, twins: Mapping[str, Any], names: Mapping[int, str]
) -> Iterator[tuple[Any, Any]]:
    """Yields the pairs of a model's layers; see `layer_pairs`.

    Args:
        model: The Keras 3 model.
        twins: The layers of the twin, by name.
        names: The names in the twin, by id of the Keras 3 layer.
    """
    for part in model.layers:
        match = twins.get(names.get(id(part), twin_name(part.name)))
        if match is not None:
            yield from layer_pairs(part, match, names)
        elif graph.is_nested(part):
            yield from _model_pairs(part, twins, names)
        elif part.weights:
            raise ValueError(
                f"twin must have a layer {part.name!r} as the model has; "
                f"received {', '.join(twins)}. Strip TF-MOT's wrappers "
                "(strip_pruning, strip_clustering) before copying back."
            )


def _parts(layer: Any) -> dict[str, Any]:
    """Returns the layers inside a stock layer, by attribute."""
    if not is_stock(layer):
        return {}
    attributes = {name: getattr(layer, name, None) for name in _PARTS}
    return {
        name: part
        for name, part in attributes.items()
        if isinstance(part, keras.layers.Layer)
    }


def _mend_attention(layer: Any) -> None:
    """Moves the kernels of an attention layer to the layers inside it.

    TF-MOT's `strip_clustering` sets an attribute "_query_dense.kernel" of the
    attention layer, where it should set `kernel` of `_query_dense`.
    """
    for name, value in list(vars(layer).items()):
        part, dot, attribute = name.rpartition(".")
        if dot and hasattr(layer, part):
            setattr(getattr(layer, part), attribute, value)


def _leaf_pairs(layer: Any, twin_layer: Any) -> list[tuple[Any, Any]]:
    """Pairs the weights that a layer owns itself, not those of its parts."""
    if isinstance(layer, keras.layers.Normalization):
        return []  # The twin has them as constants.
    if isinstance(layer, keras.Model) or hasattr(layer, "cells"):
        return []
    if _parts(layer):
        return []
    weights = list(layer.weights)
    twin_weights = (
        getattr(twin_layer, "source_weights", None)
        or _by_name(weights, twin_layer)
        or list(twin_layer.weights)
    )
    shapes = [tuple(weight.shape) for weight in weights]
    twin_shapes = [tuple(weight.shape) for weight in twin_weights]
    if shapes != twin_shapes:
        raise ValueError(
            f"layer {layer.name!r} must have weights of the same shapes in "
            f"model and twin; received {shapes} and {twin_shapes}. Pass the "
            "twin made from this model."
        )
    return list(zip(weights, twin_weights, strict=True))


def _by_name(weights: list[Any], twin_layer: Any) -> list[Any] | None:
    """Returns the twin's attributes with the weights' names, or None.

    None means that an attribute is missing. `strip_clustering` changes the
    order of `twin_layer.weights`.
    """
    attributes = [getattr(twin_layer, weight.name, None) for weight in weights]
    if all(hasattr(attribute, "assign") for attribute in attributes):
        return attributes
    return None
