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


def to_tf_keras(model: keras.Model, *, check: bool = True) -> tf_keras.Model:
    """Returns the tf_keras model that is equal to a Keras 3 model.

    Layers are rebuilt as the stock tf_keras layers of the same class and
    name, so that TF-MOT recognises them; operations of `keras.ops` become
    stock layers if there are such, and otherwise small layers of our own.
    Shared layers stay shared. The layers of nested models become layers of the
    twin itself, where TF-MOT reaches them; see `graph.twin_names`. Inputs and
    outputs keep their structure. Mixed precision becomes float32. The model is
    not changed, and the twin is not compiled.

    Args:
        model: A functional or Sequential Keras 3 model with known input rank.
        check: Whether to compare the outputs of both on random inputs.

    Returns:
        The twin, a functional model with the weights of `model`.

    Raises:
        UnsupportedLayerError: If parts of the model have no equal in tf_keras;
            the error names all of them.
        ValueError: If the outputs of the twin differ from the model's.
    """
    twin = _planned(model).build(model)
    weights.weights_to(model, twin)
    if check:
        checks.compare(model, twin)
    return twin


@registry.stock_converter("Model")
def _nested(model: Any) -> Any:
    """Returns the twin of a model inside a wrapper such as TimeDistributed."""
    return to_tf_keras(model, check=False)


def around(
    model: keras.Model, nested: keras.Model, twin: tf_keras.Model
) -> tf_keras.Model:
    """Returns the twin of a model, with a given twin for a nested model.

    It puts a compressed network behind the preprocessing of the original.

    Args:
        model: A functional Keras 3 model that calls `nested`; its other layers
            hold no weights.
        nested: The nested Keras 3 model.
        twin: The twin of `nested`, pruned, clustered or quantized.

    Returns:
        A functional model.

    Raises:
        UnsupportedLayerError: If parts of `model` have no equal in tf_keras.
        ValueError: If other layers of `model` have weights.
    """
    if len(model.weights) != len(nested.weights):
        raise ValueError(
            f"model must have weights in {nested.name} only; {model.name} has "
            "others. Move those layers into the nested model."
        )
    builder = _planned(model)
    builder.made[id(nested)] = twin  # So it stays nested.
    return builder.build(model)


def unsupported_layers(model: keras.Model) -> list[str]:
    """Returns the layers and operations without an equal in tf_keras.

    Args:
        model: Any Keras 3 model.

    Returns:
        One line per layer or operation: its name, class and a remedy.
    """
    builder = _Builder()
    builder.plan(model)
    return builder.problems


def _planned(model: Any) -> "_Builder":
    """Returns a builder that can build the twin of a model.

    Raises:
        UnsupportedLayerError: If parts of the model have no equal in tf_keras.
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
    """Builds a twin; makes each layer once, also a shared layer."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}  # By id of the Keras 3 layer.
        self._names: dict[int, str] = {}  # Likewise.
        self.problems: list[str] = []

    def plan(self, model: Any) -> None:
        """Makes every layer, unbuilt, and notes the layers that fail."""
        try:
            functional = graph.as_functional(model)
        except UnsupportedLayerError as error:
            self._note(model, error)
            return
        self._names = self._names or graph.twin_names(model)
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
                self._try(operation, self._convert)

    def _convert(self, layer: Any) -> Any:
        """Returns the replacement of a layer, by its name in the twin."""
        made = layers.convert_call(layer)
        if self._names[id(layer)] != registry.twin_name(layer.name):
            layers.rename(made, self._names[id(layer)])
        return made

    def _try(self, part: Any, make: Any) -> None:
        """Makes a layer's or operation's replacement, or notes the error."""
        try:
            self.made[id(part)] = make(part)
        except UnsupportedLayerError as error:
            self._note(getattr(part, "operation", part), error)

    def _note(self, part: Any, error: UnsupportedLayerError) -> None:
        """Adds a line to the problems, unless it is there already."""
        line = f"{part.name!r} ({type(part).__name__}) {error}"
        if line not in self.problems:
            self.problems.append(line)

    def build(self, model: keras.Model) -> tf_keras.Model:
        """Returns the twin: calls the planned layers in the graph's order."""
        functional = graph.as_functional(model)
        values = {id(t): _input(t) for t in functional.inputs}
        inputs = _replace(functional._inputs_struct, values)
        outputs = self._run(functional, values)
        twin = tf_keras.Model(
            inputs, outputs, name=registry.twin_name(model.name)
        )
        for layer in twin.layers:
            pruning.prepare(layer)
        return twin

    def _run(self, functional: Any, values: dict[int, Any]) -> Any:
        """Calls the layers of a graph; returns its outputs.

        Args:
            functional: The graph.
            values: The tf_keras tensors of its inputs, by id of Keras 3's; the
                others are added.
        """
        for node in graph.live_nodes(functional):
            outputs = self._call(node, values)
            for tensor, value in zip(
                node.outputs, operations.flatten(outputs), strict=True
            ):
                values[id(tensor)] = value
        return _replace(functional._outputs_struct, values)

    def _call(self, node: Any, values: dict[int, Any]) -> Any:
        """Returns the outputs of one call of the graph, as tf_keras tensors.

        Args:
            node: The call.
            values: The tf_keras tensors so far, by id of Keras 3's.
        """
        operation = node.operation
        args, kwargs = graph.call_arguments(node)
        args, kwargs = _replace((args, kwargs), values)
        if graph.is_nested(operation) and id(operation) not in self.made:
            inner = graph.as_functional(operation)
            given = _given(inner, args[0])
            if given is not None:
                return self._run(inner, given)
            self.made[id(operation)] = self.build(operation)
        elif not isinstance(operation, keras.layers.Layer):
            layer, inputs = operations.replacement(
                node, args, kwargs, self._names[id(operation)]
            )
            # A nested model may be called several times.
            self.made[id(node)] = self.made.get(id(node)) or layer
            return self.made[id(node)](inputs)
        layer = self.made[id(operation)]
        kwargs = {k: _constants(v, args[0]) for k, v in kwargs.items()}
        return layer(_without_mask(layer, args[0]), **kwargs)


def _input(tensor: Any) -> Any:
    """Returns the tf_keras input for a Keras 3 input tensor."""
    return tf_keras.Input(
        batch_shape=tuple(tensor.shape),
        dtype=tensor.dtype,
        name=registry.twin_name(tensor._keras_history.operation.name),
    )


def _given(inner: Any, inputs: Any) -> dict[int, Any] | None:
    """Returns the inputs of a nested model by id of its own input tensors.

    Returns:
        The tensors; None if the model would change their rank or dtype.
    """
    if isinstance(inputs, dict) and not isinstance(inner._inputs_struct, dict):
        names = [t._keras_history.operation.name for t in inner.inputs]
        inputs = [inputs[name] for name in names if name in inputs]
    flat = operations.flatten(inputs)
    if len(flat) != len(inner.inputs):
        return None
    for tensor, value in zip(inner.inputs, flat, strict=True):
        # Mixed precision is float32 in the twin.
        same = value.dtype == tensor.dtype or (
            value.dtype.is_floating and "float" in tensor.dtype
        )
        if not same or value.shape.rank != len(tensor.shape):
            return None
    return {
        id(tensor): value
        for tensor, value in zip(inner.inputs, flat, strict=True)
    }


def _replace(structure: Any, values: dict[int, Any]) -> Any:
    """Returns a structure with values in place of symbolic tensors."""
    return keras.tree.map_structure(
        lambda x: values[id(x)] if graph.is_symbolic(x) else x, structure
    )


def _constants(value: Any, inputs: Any) -> Any:
    """Returns an argument of a call, with an array turned into a tensor."""
    if stock_ops.is_tensor(value) or not hasattr(value, "shape"):
        return value
    array = keras.ops.convert_to_numpy(value)
    layer = twin_layers.Constant(array.tolist(), array.dtype.name)
    return layer(operations.flatten(inputs)[0])


def _without_mask(layer: Any, inputs: Any) -> Any:
    """Returns inputs without masks for a layer that supports none.

    tf_keras would raise for inputs with a mask.
    """
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
