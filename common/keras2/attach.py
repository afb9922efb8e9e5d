"""Puts a Keras 3 head behind a twin, compressed or not."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from . import bridge


def attach(twin: Any, head: Any, layers: Sequence[str] = ()) -> Any:
    """Returns a twin with a head that takes what goes in and what comes out.

    The head stays as it is, in float, whatever was done to the twin: scores,
    maps and decisions that belong into the file but not into the training.

    Args:
        twin: A functional tf_keras model, after QAT perhaps.
        head: A functional Keras 3 model. Its inputs are a list: those of the
            twin, the twin's outputs, the outputs of `layers`.
        layers: Names of layers of the twin.

    Returns:
        A tf_keras model of the twin's inputs; its outputs are the twin's, then
        the head's. The head is one layer of it, under its own name.
    """
    inner = [_output(twin, name) for name in layers]
    found = bridge.to_tf_keras(head)([*twin.inputs, *twin.outputs, *inner])
    outputs = [*twin.outputs, *tf.nest.flatten(found)]
    return tf_keras.Model(twin.inputs, outputs, name=twin.name)


def _output(twin: Any, name: str) -> Any:
    """Returns what a layer gives in this model.

    Stripping leaves a layer in two graphs; `layer.output` is of the first.
    """
    nodes = [node for row in twin._nodes_by_depth.values() for node in row]
    # QAT gives a layer another name.
    (found,) = (
        node.outputs
        for node in nodes
        if node.layer.name in (name, f"quant_{name}")
    )
    return found
