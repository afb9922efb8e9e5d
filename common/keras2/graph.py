"""Reads the graph of a Keras 3 model: its calls and their arguments."""

import inspect
from typing import Any

import keras
from keras.src.models import functional as keras_functional

from . import registry
from .registry import UnsupportedLayerError


def as_functional(model: keras.Model) -> keras.Model:
    """Returns the functional model that holds a model's graph.

    Args:
        model: A Keras 3 model.

    Returns:
        The model itself, or the functional model inside a Sequential model.

    Raises:
        UnsupportedLayerError: If the model has no graph.
    """
    if isinstance(model, keras.Sequential):
        if type(model).call is not keras.Sequential.call:
            raise UnsupportedLayerError(_SUBCLASSED)
        if model._functional is None:
            raise UnsupportedLayerError(
                "has no input shape yet; add keras.Input first or call "
                "build(input_shape)"
            )
        return model._functional
    cls = keras_functional.Functional
    if not isinstance(model, cls) or type(model).call is not cls.call:
        raise UnsupportedLayerError(_SUBCLASSED)
    return model


_SUBCLASSED = (
    "is a subclassed model, which has no graph to walk; build it with the "
    "functional API"
)


def is_nested(operation: Any) -> bool:
    """Returns whether an operation is a model without its own converter."""
    return (
        isinstance(operation, keras.Model) and registry.find(operation) is None
    )


def twin_names(model: keras.Model) -> dict[int, str]:
    """Returns the names of a model's layers and operations in its twin.

    The twin has the layers of nested models among its own. They keep their
    names, but for a name that several layers have: there, the layer `conv1` of
    the nested model `backbone` becomes `backbone.conv1`.

    Args:
        model: A functional or Sequential Keras 3 model.

    Returns:
        The names by id of the layer or operation, inputs included.
    """
    paths = _paths(model)
    plain = [registry.twin_name(path[-1]) for path in paths.values()]
    return {
        key: ".".join(registry.twin_name(part) for part in path)
        if len(path) > 1 and plain.count(name) > 1
        else name
        for (key, path), name in zip(paths.items(), plain, strict=True)
    }


def _paths(
    model: keras.Model, inputs: bool = True
) -> dict[int, tuple[str, ...]]:
    """Returns the path of each layer and operation, by its id.

    A layer in several places has the path of the place that is least nested.

    Args:
        model: A Keras 3 model; one without a graph has no paths.
        inputs: Whether the input layers count.
    """
    paths: dict[int, tuple[str, ...]] = {}
    try:
        operations = as_functional(model).operations
    except UnsupportedLayerError:
        return paths
    for operation in sorted(operations, key=is_nested):
        if is_nested(operation):
            for key, path in _paths(operation, inputs=False).items():
                paths.setdefault(key, (operation.name, *path))
        elif inputs or not isinstance(operation, keras.layers.InputLayer):
            paths[id(operation)] = (operation.name,)
    return paths


def live_nodes(functional: keras.Model) -> list[Any]:
    """Returns the calls that the outputs depend on, in order of execution.

    Keras 3 records the computation of masks in the graph as well. tf_keras
    computes masks itself, so calls that only lead to a mask are left out.
    """
    by_depth = functional._nodes_by_depth
    nodes = [n for depth in sorted(by_depth) for n in by_depth[depth]]
    needed = {id(tensor) for tensor in functional.outputs}
    needed -= {id(tensor) for tensor in functional.inputs}
    live = []
    for node in nodes:  # From the outputs up.
        if node.is_input or not any(id(t) in needed for t in node.outputs):
            continue
        live.append(node)
        needed.update(id(t) for t in tensors(call_arguments(node)))
        needed -= {id(tensor) for tensor in functional.inputs}
    return live[::-1]


def tensors(structure: Any) -> list[Any]:
    """Returns the symbolic tensors in a structure, in order."""
    return [x for x in keras.tree.flatten(structure) if is_symbolic(x)]


def is_symbolic(value: Any) -> bool:
    """Returns whether a value is a Keras 3 symbolic tensor."""
    return isinstance(value, keras.KerasTensor)


def call_arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """Returns the positional and the named arguments of a call for tf_keras.

    For a layer, these are one positional argument, and the others by name.
    Left out are arguments that are None, `training` (the model's own argument
    overrides it), and the masks that the tensors carry themselves.
    """
    args, kwargs = node.arguments.args, node.arguments.kwargs
    operation = node.operation
    if not isinstance(operation, keras.layers.Layer):
        return list(args), dict(kwargs)
    if isinstance(operation, keras.Model):
        first = args[0] if args else kwargs["inputs"]
        return [first], {}
    bound = inspect.signature(operation.call).bind_partial(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            named.update({f"{name}_{i}": v for i, v in enumerate(value)})
        else:
            named[name] = value
    kept = {
        name: value
        for name, value in named.items()
        if name != "training" and not _is_nothing(value)
    }
    masks = [name for name in kept if _is_own_mask(name, kept)]
    for name in masks:
        del kept[name]
    first = next(iter(named))
    return [kept.pop(first)], kept


def _is_nothing(value: Any) -> bool:
    """Returns whether a structure holds only None."""
    return all(x is None for x in keras.tree.flatten(value))


def _is_own_mask(name: str, named: dict[str, Any]) -> bool:
    """Returns whether an argument is the mask that its tensors carry."""
    if name == "mask":
        owner = next(iter(named.values()))
    elif name.endswith("_mask"):
        owner = named.get(name.removesuffix("_mask"))
    else:
        return False
    carried = [
        getattr(x, "_keras_mask", None) for x in keras.tree.flatten(owner)
    ]
    given = keras.tree.flatten(named[name])
    return len(carried) == len(given) and all(
        mask is argument for mask, argument in zip(carried, given, strict=True)
    )
