"""The calls of layers in a model's configuration of Keras 2, as Keras 3's.

Keras 3 reads the old form too, but not constants, tensors in arguments by name,
operations without layers and calls of nested models.
"""

from collections.abc import Iterator
from typing import Any

_CONSTANT = "_CONSTANT_VALUE"  # In the place of a layer's name.
# Layers that take their first states behind their inputs.
_RECURRENT = ("Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN")


def plain_name(name: str) -> str:
    """Returns the name of a layer as Keras 3 takes it, without slashes."""
    return name.replace("/", "_")


def convert(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns a model's settings with its calls in the form of Keras 3.

    Args:
        settings: The settings of a functional model. The `inbound_nodes` of a
            layer have for each call the tensors, as lists of the layer, the
            number of its call, the number of its output and the arguments by
            name. A single tensor may be in no list.
    """
    layers = settings["layers"]
    calls = [call for layer in layers for call in layer["inbound_nodes"]]
    outputs = settings.get("output_layers", [])
    tensors = [*_tensors(calls), *_tensors(outputs)]
    nested = [layer for layer in layers if "layers" in layer["config"]]
    first = {layer["name"]: _first_call(layer, tensors) for layer in nested}
    # There, Keras 3 itself counts from 1, but not for Sequential models.
    shift = {
        layer["name"]: first[layer["name"]]
        - (layer["class_name"] != "Sequential")
        for layer in nested
    }
    changed = [
        layer
        | {
            "name": plain_name(layer["name"]),
            "inbound_nodes": [
                _node(call, first, layer["class_name"] in _RECURRENT)
                for call in layer["inbound_nodes"]
            ],
        }
        for layer in layers
    ]
    return settings | {
        "layers": changed,
        "input_layers": _shifted(settings["input_layers"], {}),
        "output_layers": _shifted(outputs, shift),
    }


def _shifted(outputs: Any, shift: dict[str, int]) -> Any:
    """Returns a model's outputs with other numbers of the calls.

    Args:
        outputs: Tensors in lists or dictionaries.
        shift: What is taken from the number of a layer's call, by name.
    """
    if _is_tensor(outputs):
        layer, node, output = outputs[:3]
        return [plain_name(layer), node - shift.get(layer, 0), output]
    if isinstance(outputs, dict):
        return {key: _shifted(x, shift) for key, x in outputs.items()}
    return [_shifted(x, shift) for x in outputs]


def _first_call(layer: dict[str, Any], tensors: list[list[Any]]) -> int:
    """Returns the number of the first call of a nested model.

    It is 1 where Keras 2 counts the call that made the model.
    """
    numbers = [node for name, node, _ in tensors if name == layer["name"]]
    return max(0, 1 + max(numbers, default=0) - len(layer["inbound_nodes"]))


def _tensors(argument: Any) -> Iterator[list[Any]]:
    """Yields the tensors in a call or an argument, without their arguments."""
    if _is_tensor(argument):
        yield argument[:3]
        argument = argument[3:]
    if isinstance(argument, dict):
        argument = list(argument.values())
    for item in argument if isinstance(argument, list) else ():
        yield from _tensors(item)


def _is_tensor(argument: Any) -> bool:
    """Tells whether a part of a call is a tensor or a constant."""
    return (
        isinstance(argument, list)
        and len(argument) in (3, 4)
        and isinstance(argument[0], str)
    )


def _node(
    call: Any, first: dict[str, int], is_recurrent: bool
) -> dict[str, Any]:
    """Returns the call of a layer.

    Args:
        call: The call as Keras 2 writes it.
        first: The numbers of the first calls of nested models, by name.
        is_recurrent: Whether tensors behind the first are states.
    """
    tensors = [call] if _is_tensor(call) else call
    arguments = tensors[-1][3] if len(tensors[-1]) > 3 else {}
    named = {key: _value(x, first) for key, x in arguments.items()}
    values = [_value(tensor[:3], first) for tensor in tensors]
    if is_recurrent and len(values) > 1:
        named["initial_state"] = values[1:]
        values = values[:1]
    return {
        "args": [values[0] if len(values) == 1 else values],
        "kwargs": named,
    }


def _value(argument: Any, first: dict[str, int]) -> Any:
    """Returns an argument, whose tensors have the form of Keras 3."""
    if _is_tensor(argument):
        layer, node, output = argument[:3]
        if layer == _CONSTANT:
            return output
        history = [plain_name(layer), node - first.get(layer, 0), output]
        config = {"shape": [], "dtype": "float32", "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(argument, list):
        return [_value(item, first) for item in argument]
    return argument
