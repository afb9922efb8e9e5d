"""The front end of a model, which turns strings and keys into numbers.

TFLite has no operators for lookups, hashing and the splitting of texts. A model
with such layers is cut behind them. The part in front, the front end, stays in
the SavedModel; the files begin behind it, and `mobile/front_end.json` says what
an app must do in its place.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from common.keras2 import graph, op_layer
from common.keras2.registry import twin_name
from common.mobile import files
from common.options import InputError

FILE = "front_end.json"
LOOKUPS = (
    layers.HashedCrossing,
    layers.Hashing,
    layers.IntegerLookup,
    layers.StringLookup,
    layers.TextVectorization,
)
# What tf.strings does, which TextVectorization calls: it knows ASCII only.
STANDARDIZE = {
    "lower": {"lower_case": "A-Z"},
    "strip_punctuation": {
        "removed": "[!\"#$%&()\\*\\+,-\\./:;<=>?@\\[\\\\\\]^_`{|}~\\']"
    },
}
STANDARDIZE["lower_and_strip_punctuation"] = {
    **STANDARDIZE["lower"],
    **STANDARDIZE["strip_punctuation"],
}


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """The layers that a model was cut behind.

    Attributes:
        model: From a dict of the model's own inputs by name to one of the
            files' inputs. Inputs that no lookup takes are passed on.
        behind: The rest, from the inputs of the files.
        steps: The calls of the front end in order, as in `front_end.json`.
    """

    model: keras.Model
    behind: keras.Model
    steps: list[dict[str, Any]]

    def write(self, release: Path) -> None:
        """Writes `mobile/front_end.json` of a release."""
        described = {
            name: {"dtype": tensor.dtype, "shape": [1, *tensor.shape[1:]]}
            for name, tensor in zip(
                self.model.output, self.behind.inputs, strict=True
            )
        }
        files.write_json(
            release / "mobile" / FILE,
            {"inputs": described, "steps": self.steps},
        )

    @property
    def note(self) -> str:
        """What was cut away, in a sentence for the report."""
        names = [
            f"{step['name']} ({step['class']})"
            for step in self.steps
            if step["is_lookup"]
        ]
        return (
            f"TFLite has no operators for {', '.join(names)}: the files begin "
            f"behind them, with the inputs {', '.join(self.model.output)}; "
            f"mobile/{FILE} says what an app computes first. The SavedModel "
            "takes the model's own inputs"
        )


def cut(model: keras.Model) -> tuple[keras.Model, FrontEnd | None]:
    """Cuts a model behind its last lookups.

    Args:
        model: A functional or Sequential model. Lookups in nested models count.

    Returns:
        The model behind the lookups, with the same layers and weights, and its
        front end. A model without lookups in front of its trained layers is
        returned as it is, with None.
    """
    if not _has_lookup(model):
        return model, None
    functional = _inlined(model)
    front, rest = _split(graph.live_nodes(functional))
    # A lookup behind trained layers is no preprocessing.
    if not front or any(getattr(x.operation, "weights", ()) for x in front):
        return model, None
    needed = {
        id(tensor)
        for node in rest
        for tensor in graph.tensors(graph.call_arguments(node))
    } | {id(tensor) for tensor in functional.outputs}
    made = [*functional.inputs]
    made += [tensor for node in front for tensor in node.outputs]
    border = _named([tensor for tensor in made if id(tensor) in needed])
    in_front = keras.Model(_named(functional.inputs), border)
    inputs = [
        keras.Input(batch_shape=shape, dtype=x.dtype, sparse=x.sparse,
                    ragged=x.ragged, name=name)
        for (name, x), shape in zip(
            border.items(), _shapes(in_front), strict=True
        )
    ]  # fmt: skip
    behind = keras.Function(list(border.values()), functional._outputs_struct)
    rest = keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        behind._run_through_graph(inputs),
        name=model.name,
    )
    steps = _described(front, functional, border)
    return rest, FrontEnd(in_front, rest, steps)


def _shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """Returns the shapes that a front end gives, batch axis included.

    Keras's symbolic shape of a TextVectorization that counts has an axis of
    size 1 that its result lacks.
    """
    specs = {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in model.input.items()
    }
    traced = tf.function(model).get_concrete_function(specs)
    shapes = []
    for name, tensor in model.output.items():
        actual = traced.structured_outputs[name].shape
        same = actual.rank in (None, len(tensor.shape))
        shapes.append(tensor.shape if same else (None, *actual[1:]))
    return shapes


def _has_lookup(operation: Any) -> bool:
    """Tells whether a layer or a graph of layers looks up."""
    if graph.is_nested(operation):
        return any(map(_has_lookup, operation.layers))
    # An inverted lookup turns classes into names, behind the network.
    inverted = getattr(operation, "invert", False)
    return isinstance(operation, LOOKUPS) and not inverted


def _inlined(model: keras.Model) -> keras.Model:
    """Returns a graph without nested models that look up.

    Raises:
        InputError: If two of its layers then have the same name.
    """
    functional = graph.as_functional(model)

    def operation(nested: Any) -> Any:
        if not (graph.is_nested(nested) and _has_lookup(nested)):
            return nested
        inner = graph.as_functional(nested)
        return lambda inputs, **_: inner._run_through_graph(
            inner._standardize_inputs(inputs), operation
        )

    outputs = functional._run_through_graph(functional.inputs, operation)
    try:
        return keras.Model(functional._inputs_struct, outputs, name=model.name)
    except ValueError as error:
        # Layers of a nested model have names of layers outside it.
        raise InputError(
            "--model must have different names for the layers outside and "
            "inside its nested model that looks texts up: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


def _split(nodes: list[Any]) -> tuple[list[Any], list[Any]]:
    """Separates the calls that lead to a lookup from the others.

    Args:
        nodes: The calls of a graph, in order of execution.

    Returns:
        The calls of the front end and those behind it, in the same order.
    """
    needed: set[int] = set()
    front, rest = [], []
    for node in reversed(nodes):
        if _has_lookup(node.operation) or any(
            id(tensor) in needed for tensor in node.outputs
        ):
            front.append(node)
            needed |= set(map(id, graph.tensors(graph.call_arguments(node))))
        else:
            rest.append(node)
    return front[::-1], rest[::-1]


def _named(tensors: list[Any]) -> dict[str, Any]:
    """Returns tensors by the names of the layers that make them."""
    names = [twin_name(x._keras_history.operation.name) for x in tensors]
    return {
        f"{name}_{index}" if names.count(name) > 1 else name: tensor
        for index, (name, tensor) in enumerate(zip(names, tensors, strict=True))
    }


def _described(
    front: list[Any], functional: keras.Model, border: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Returns the calls of a front end as JSON types.

    Args:
        front: The calls in order of execution.
        functional: The graph that they are of.
        border: The tensors behind the front end, by name.
    """
    names = {id(tensor): name for name, tensor in border.items()}
    for name, tensor in _named(functional.inputs).items():
        names.setdefault(id(tensor), name)
    steps = []
    for index, node in enumerate(front):
        for tensor in node.outputs:
            names.setdefault(id(tensor), f"step_{index}")
        operation = node.operation
        sources = graph.tensors(graph.call_arguments(node))
        settings = (
            _settings(operation)
            if isinstance(operation, layers.Layer)
            else op_layer.describe(node)
        )
        steps.append(
            {
                "name": operation.name,
                "class": type(operation).__name__,
                "is_lookup": _has_lookup(operation),
                "takes": [names[id(tensor)] for tensor in sources],
                "gives": [names[id(tensor)] for tensor in node.outputs],
                **settings,
            }
        )
    return steps


def _settings(layer: layers.Layer) -> dict[str, Any]:
    """Returns the settings of a layer, and its vocabulary if it has one.

    The index of an entry of the vocabulary is its place in the list, from 0.
    """
    described = {"settings": layer.get_config()}
    if isinstance(layer, layers.TextVectorization):
        standardize = described["settings"]["standardize"]
        described["standardize"] = STANDARDIZE.get(standardize, standardize)
    if not hasattr(layer, "get_vocabulary"):
        return described
    # The settings repeat what a lookup was made with.
    described["settings"] = {
        key: value
        for key, value in described["settings"].items()
        if key not in ("vocabulary", "idf_weights")
    }
    described["vocabulary"] = [
        entry if isinstance(entry, str) else int(entry)
        for entry in layer.get_vocabulary()
    ]
    lookup = getattr(layer, "_lookup_layer", layer)
    if lookup.output_mode == "tf_idf":
        described["idf_weights"] = lookup.idf_weights.numpy().tolist()
    return described
