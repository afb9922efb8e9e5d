"""A user's own layers, replaced by what their `call` does with stock layers."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common.keras2 import check, custom_layer, graph, registry

TOLERANCE = 1e-4  # Relative to the largest output.
# Keras's layers that compute their activation last.
_ACTIVATED = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def expand(model: keras.Model) -> tuple[keras.Model, tuple[str, ...]]:
    """Replaces custom layers of a model by the stock layers that they call.

    The layers inside are those of the original, with its weights; they get the
    names of their attributes: the layer `dense` of `block1` becomes
    `block1_dense`. A layer with weights of its own, or whose code needs numbers
    and not symbols, stays whole; its twin calls its code. An activation that is
    a function of the user's becomes a layer behind the one that has it.

    Args:
        model: A functional or Sequential model.

    Returns:
        The model, and notes on its custom layers. A model without custom
        layers is returned as it is.
    """
    custom = _custom_layers(model)
    if not custom:
        return model, ()
    expanded = model
    seen: set[int] = set()
    # The code of a layer may call further custom layers.
    while {id(layer) for layer in _custom_layers(expanded)} - seen:
        seen |= {id(layer) for layer in _custom_layers(expanded)}
        expanded = _expanded_once(expanded)
    whole = _custom_layers(expanded)
    for layer in whole:
        registry.converter(type(layer))(custom_layer.keep)
    return expanded, _notes(custom, whole)


def _notes(custom: list[Any], whole: list[Any]) -> tuple[str, ...]:
    """Returns what became of custom layers.

    Args:
        custom: The custom layers of the model.
        whole: Those of the expanded model.
    """
    notes = []
    kept = {layer.name for layer in whole}
    names = [layer.name for layer in custom if layer.name not in kept]
    if names:
        notes.append(
            f"custom layers compressed as the layers that they call: "
            f"{', '.join(names)}"
        )
    if whole:
        notes.append(
            "custom layers that stay whole, and are neither clustered nor "
            "trained with quantization: "
            f"{', '.join(layer.name for layer in whole)}"
        )
    return tuple(notes)


def _custom_layers(model: keras.Model) -> list[Any]:
    """Returns the layers that only their own code can tell, nested ones too."""
    custom = []
    for operation in graph.as_functional(model).operations:
        if graph.is_nested(operation):
            custom += _custom_layers(operation)
        elif _is_custom(operation):
            custom.append(operation)
    return custom


def _is_custom(operation: Any) -> bool:
    """Tells whether a layer is of a class of the user's, or calls a function.

    Layers that have a converter are not: the user said what they become.
    """
    if type(operation) in (keras.layers.Activation, *_ACTIVATED):
        module = getattr(operation.activation, "__module__", "")
        return not module.startswith("keras.src.")
    return (
        isinstance(operation, keras.layers.Layer)
        and not registry.is_stock(operation)
        and registry.find(operation) in (None, custom_layer.keep)
    )


def _expanded_once(model: keras.Model) -> keras.Model:
    """Returns a model in whose graph custom layers were called by their code.

    Args:
        model: A functional or Sequential model.
    """
    functional = graph.as_functional(model)

    @functools.cache  # A shared layer has several calls.
    def operation(original: Any) -> Any:
        if graph.is_nested(original) and _custom_layers(original):
            return _expanded_once(original)
        if not _is_custom(original):
            return original
        return (
            _split(original)
            if registry.is_stock(original)
            else _code_of(original)
        )

    outputs = functional._run_through_graph(functional.inputs, operation)
    return keras.Model(functional._inputs_struct, outputs, name=model.name)


class Function(keras.layers.Layer):
    """Calls a function of the user's."""

    def __init__(self, function: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Returns the function's results."""
        return self.function(inputs)


def _split(layer: Any) -> Any:
    """Returns a function that calls one of Keras's layers and its activation.

    Args:
        layer: A layer whose activation is a function of the user's.
    """
    dtype = layer.dtype_policy
    if isinstance(layer, keras.layers.Activation):
        return Function(layer.activation, name=layer.name, dtype=dtype)
    config = {**layer.get_config(), "activation": "linear"}
    plain = type(layer).from_config(config)
    plain.build_from_config(layer.get_build_config())
    plain.set_weights(layer.get_weights())
    name = f"{layer.name}_activation"
    activation = Function(layer.activation, name=name, dtype=dtype)
    return lambda *args, **kwargs: activation(plain(*args, **kwargs))


def _code_of(layer: Any) -> Any:
    """Returns a function that runs a layer's code on symbolic tensors.

    It calls the layer as a whole where that is not possible.
    """
    own_weights = layer._trainable_variables or layer._non_trainable_variables

    def call(*args: Any, **kwargs: Any) -> Any:
        masked = any(
            getattr(tensor, "_keras_mask", None) is not None
            for tensor in graph.tensors((args, kwargs))
        )
        if own_weights or masked or not _can_expand(layer, args, kwargs):
            return layer(*args, **kwargs)
        return layer.call(*args, **kwargs)

    return call


def _can_expand(layer: Any, args: Any, kwargs: Any) -> bool:
    """Tells whether a layer's code gives the same on symbols as on numbers.

    Code may ask for the number of examples, which symbols do not have.

    Args:
        layer: A custom layer without weights of its own.
        args: The arguments of its call in the graph.
        kwargs: Those by name.
    """
    inputs: list[Any] = []

    def fresh(leaf: Any) -> Any:
        if not graph.is_symbolic(leaf):
            return leaf
        inputs.append(keras.Input(batch_shape=leaf.shape, dtype=leaf.dtype))
        return inputs[-1]

    args, kwargs = keras.tree.map_structure(fresh, (args, kwargs))
    _name_parts(layer)
    try:
        expanded = keras.Model(inputs, layer.call(*args, **kwargs))
        whole = keras.Model(inputs, layer(*args, **kwargs))
        return _equal(whole, expanded)
    # Code that needs numbers can fail in any way on symbols.
    except Exception:
        return False


def _name_parts(layer: Any) -> None:
    """Names the layers inside a layer after its attributes.

    Their names were counted up while the program ran: options could not name
    them, and two models could have the same ones.
    """
    for attribute, value in vars(layer).items():
        if attribute == "_layers":  # Keras's own list of all of them.
            continue
        name = f"{layer.name}_{attribute.strip('_')}"
        parts = keras.tree.flatten(value)
        for index, part in enumerate(parts):
            if isinstance(part, keras.layers.Layer):
                part.name = name if part is value else f"{name}_{index}"
            if isinstance(part, keras.Sequential):
                for place, inner in enumerate(part.layers):
                    inner.name = f"{part.name}_{place}"


def _equal(model: keras.Model, expanded: keras.Model) -> bool:
    """Tells whether two models give the same outputs for random inputs."""
    inputs = check.random_inputs(model)
    pairs = [
        [np.asarray(x, np.float64) for x in keras.tree.flatten(outputs)]
        for outputs in (
            model(inputs, training=False),
            expanded(inputs, training=False),
        )
    ]
    return all(
        expected.shape == actual.shape
        and np.allclose(
            actual,
            expected,
            rtol=0,
            atol=TOLERANCE * max(np.abs(expected).max(initial=0), 1e-3),
        )
        for expected, actual in zip(*pairs, strict=True)
    )
