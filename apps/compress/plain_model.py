"""A user's model in the form that is compressed.

It has one output or a list of them, takes batches of any size, and keeps no
state between them.
"""

from collections.abc import Callable
from typing import Any

import keras

from common.keras2 import check, graph
from common.keras2.registry import twin_name
from common.options import InputError

from . import archive

OUTPUT = "output"  # The name of the output of a model that has one.


def changed(node: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Returns a copy of a configuration, each dict in it changed."""
    if isinstance(node, list | tuple):
        return [changed(child, change) for child in node]
    if not isinstance(node, dict):
        return node
    return change({k: changed(child, change) for k, child in node.items()})


def stateless(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a layer that keeps no state between batches."""
    return {**config, "stateful": False} if config.get("stateful") else config


def _free_batch(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of an input of batches of any size."""
    shape = config.get("batch_shape")
    return {**config, "batch_shape": [None, *shape[1:]]} if shape else config


def with_free_batches(
    path: str, model: keras.Model
) -> tuple[keras.Model, tuple[str, ...]]:
    """Returns a model for batches of any size, whose examples are independent.

    Data are fed in batches of many sizes, and phones run single examples.

    Returns:
        The model, and notes if it is not the one that was given.

    Raises:
        InputError: If the graph works for its own batch size only.
    """
    sizes = {tensor.shape[0] for tensor in model.inputs} - {None}
    stateful = [
        layer.name
        for layer in model._flatten_layers()
        if getattr(layer, "stateful", False)
    ]
    if not sizes and not stateful:
        return model, ()
    config = changed(model.get_config(), stateless)
    config = changed(config, _free_batch)
    try:
        free = type(model).from_config(config)
        free.set_weights(model.get_weights())
        free(
            keras.tree.map_structure(
                lambda array: array[:1], check.random_inputs(free)
            )
        )
    # Any operation of the graph may depend on the size.
    except Exception as error:
        raise InputError(
            f"--model={path} must take batches of any size; it is made for "
            f"{', '.join(map(str, sizes))} examples: "
            f"{archive.first_line(error)}. Make its inputs with "
            "keras.Input(shape)."
        ) from None
    notes = [
        f"the model is made for batches of {size}; the files take one example"
        for size in sizes
    ]
    if stateful:
        notes.append(
            f"{', '.join(stateful)} keeps its state between batches in the "
            "file; here every example is a sequence of its own"
        )
    return free, tuple(notes)


def with_plain_outputs(model: keras.Model) -> keras.Model:
    """Returns a model whose outputs are one tensor, or a list of several."""
    functional = graph.as_functional(model)
    outputs = functional._outputs_struct
    plain = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    if isinstance(outputs, keras.KerasTensor) or outputs is plain:
        return model
    return keras.Model(functional._inputs_struct, plain, name=model.name)


def output_names(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of a model's outputs in the files, in their order.

    It is `OUTPUT` if there is one, else they are the keys of a dict, or the
    names of the layers.
    """
    if len(model.outputs) == 1:
        return (OUTPUT,)
    functional = graph.as_functional(model)
    if isinstance(functional._outputs_struct, dict):
        names = sorted(functional._outputs_struct)
        if len(names) == len(model.outputs):
            return tuple(twin_name(name) for name in names)
    names = [twin_name(name) for name in functional.output_names]
    return tuple(
        f"{name}_{index}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    )
