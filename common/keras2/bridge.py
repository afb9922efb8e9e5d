"""Builds the tf_keras twin of a Keras 3 model by walking its graph."""

from typing import Any

import keras
import tf_keras

from . import check as checks
from . import (
    graph,
    layers,
    operations,
    pruning,
    registry,
    stock_ops,
    twin_layers,
    weights,
)
from .registry import UnsupportedLayerError


def to_tf_keras(model: Any, *, check: bool = True) -> Any:
    """Builds the tf_keras model that is equal to a Keras 3 model.

    Layers are rebuilt as the stock tf_keras layers of the same class and
    name, so that TF-MOT recognises them; operations of `keras.ops` become
    stock layers where there is one and otherwise small layers of our own.
    Layers that are shared stay shared, nested models stay nested, inputs and
    outputs keep their structure. Mixed precision becomes float32. The model
    is not changed, and the twin is not compiled.

    Args:
        model: a functional or Sequential Keras 3 model with known input rank.
        check: compares the outputs of both on random inputs.

    Returns:
        The twin, a functional `tf_keras.Model` with the model's weights.

    Raises:
        UnsupportedLayerError: parts of the model have no equal in tf_keras;
            all of them are named.
        ValueError: the outputs of the twin differ from the model's.
    """
    twin = _planned(model).build(model)
    weights.weights_to(model, twin)
    if check:
        checks.compare(model, twin)
    return twin


@registry.stock_converter("Model")
def _nested(model: Any) -> Any:
    """Makes the twin of a model inside a wrapper such as TimeDistributed."""
    return to_tf_keras(model, check=False)


def around(model: Any, nested: Any, twin: Any) -> Any:
    """Builds the twin of a model with another twin in place of a nested one.

    So a network that TF-MOT has worked on comes back behind the preprocessing
    that it was trained with.

    Args:
        model: a functional Keras 3 model that calls `nested`; its other layers
            hold no weights.
        nested: the nested Keras 3 model.
        twin: what stands for it: its twin, pruned, clustered or quantized.

    Returns:
        A functional `tf_keras.Model`.

    Raises:
        UnsupportedLayerError: see `to_tf_keras`.
        ValueError: other layers of `model` have weights.
    """
    if len(model.weights) != len(nested.weights):
        raise ValueError(
            f"model must have weights in {nested.name} only; {model.name} has "
            "others. Move those layers into the nested model."
        )
    builder = _planned(model)
    builder.made[id(nested)] = twin
    return builder.build(model)


def unsupported_layers(model: Any) -> list[str]:
    """Lists what keeps a Keras 3 model from having a twin.

    Args:
        model: any Keras 3 model.

    Returns:
        One line per layer or operation: its name, class and a remedy.
    """
    builder = _Builder()
    builder.plan(model)
    return builder.problems


def _planned(model: Any) -> "_Builder":
    """Returns a builder that can build the twin of a model.

    Raises:
        UnsupportedLayerError: see `to_tf_keras`.
    """
    builder = _Builder()
    builder.plan(model)
    if builder.problems:
        raise UnsupportedLayerError(
            f"{model.name} cannot become a tf_keras model: "
            + "; ".join(builder.problems)
        )
    return builder


class _Builder:
    """Holds the layers made so far, so that shared ones are made once."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}  # By id of the Keras 3 layer.
        self.problems: list[str] = []

    def plan(self, model: Any) -> None:
        """Makes every layer, unbuilt, and notes those that can't be made."""
        try:
            functional = graph.as_functional(model)
        except UnsupportedLayerError as error:
            self._note(model, error)
            return
        for operation in functional.operations:
            if isinstance(operation, keras.layers.InputLayer):
                self._try(operation, operations.check_input)
        for node in graph.live_nodes(functional):
            operation = node.operation
            if graph.is_nested(operation):
                self.plan(operation)
            elif not isinstance(operation, keras.layers.Layer):
                self._try(node, operations.check)
            elif id(operation) not in self.made:
                self._try(operation, layers.convert)

    def _try(self, part: Any, make: Any) -> None:
        """Makes one part and remembers it, or notes why not."""
        try:
            self.made[id(part)] = make(part)
        except UnsupportedLayerError as error:
            self._note(getattr(part, "operation", part), error)

    def _note(self, part: Any, error: UnsupportedLayerError) -> None:
        line = f"{part.name!r} ({type(part).__name__}) {error}"
        if line not in self.problems:
            self.problems.append(line)

    def build(self, model: Any) -> Any:
        """Calls the planned layers on tf_keras tensors, as the graph says."""
        functional = graph.as_functional(model)
        values = {id(t): _input(t) for t in functional.inputs}
        inputs = _replace(functional._inputs_struct, values)
        for node in graph.live_nodes(functional):
            outputs = self._call(node, values)
            for ours, theirs in zip(
                node.outputs, operations.flatten(outputs), strict=True
            ):
                values[id(ours)] = theirs
        outputs = _replace(functional._outputs_struct, values)
        twin = tf_keras.Model(
            inputs, outputs, name=registry.twin_name(model.name)
        )
        for layer in twin.layers:
            pruning.prepare(layer)
        return twin

    def _call(self, node: Any, values: dict[int, Any]) -> Any:
        """Makes one call of the graph with tf_keras tensors."""
        operation = node.operation
        args, kwargs = graph.call_arguments(node)
        args, kwargs = _replace((args, kwargs), values)
        if graph.is_nested(operation):
            if id(operation) not in self.made:
                self.made[id(operation)] = self.build(operation)
        elif not isinstance(operation, keras.layers.Layer):
            return operations.call(node, args, kwargs)
        layer = self.made[id(operation)]
        kwargs = {k: _constants(v, args[0]) for k, v in kwargs.items()}
        return layer(_without_mask(layer, args[0]), **kwargs)


def _input(tensor: Any) -> Any:
    """Makes the tf_keras input for a Keras 3 input tensor."""
    return tf_keras.Input(
        batch_shape=tuple(tensor.shape),
        dtype=tensor.dtype,
        name=registry.twin_name(tensor._keras_history.operation.name),
    )


def _replace(structure: Any, values: dict[int, Any]) -> Any:
    """Puts the values in the places of the symbolic tensors."""
    return keras.tree.map_structure(
        lambda x: values[id(x)] if graph.is_symbolic(x) else x, structure
    )


def _constants(value: Any, inputs: Any) -> Any:
    """Makes an array that is given to a call a tensor of the graph."""
    if stock_ops.is_tensor(value) or not hasattr(value, "shape"):
        return value
    array = keras.ops.convert_to_numpy(value)
    layer = twin_layers.Constant(array.tolist(), array.dtype.name)
    return layer(operations.flatten(inputs)[0])


def _without_mask(layer: Any, inputs: Any) -> Any:
    """Ends a mask before a layer that takes none: tf_keras would raise."""
    if getattr(layer, "supports_masking", True):
        return inputs
    if all(
        getattr(x, "_keras_mask", None) is None
        for x in operations.flatten(inputs)
    ):
        return inputs
    return keras.tree.map_structure(
        lambda x: twin_layers.DropMask(dtype=x.dtype)(x), inputs
    )
