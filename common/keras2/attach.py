"""Attaches a Keras 3 head to a twin, compressed or not."""

from collections.abc import Sequence

import keras
import tensorflow as tf
import tf_keras

from . import bridge


def attach(
    twin: tf_keras.Model, head: keras.Model, layers: Sequence[str] = ()
) -> tf_keras.Model:
    """Returns a twin with a head on its inputs and outputs.

    The head is not compressed and stays in float. It computes scores, maps and
    decisions that belong in the file but not in the training.

    Args:
        twin: A functional tf_keras model, also after QAT.
        head: A functional Keras 3 model. Its inputs are a list: the twin's
            inputs, the twin's outputs, and the outputs of `layers`.
        layers: Names of layers of the twin.

    Returns:
        A tf_keras model with the twin's inputs; its outputs are the twin's,
        then the head's. The head is a layer of it, with the head's name.
    """
    inner = [_output(twin, name) for name in layers]
    results = bridge.to_tf_keras(head)([*twin.inputs, *twin.outputs, *inner])
    outputs = [*twin.outputs, *tf.nest.flatten(results)]
    return tf_keras.Model(twin.inputs, outputs, name=twin.name)


def _output(twin: tf_keras.Model, name: str) -> tf.Tensor:
    """Returns the symbolic output of a layer in this model's graph.

    After stripping, a layer is part of two graphs, and `layer.output` is its
    output in the first.
    """
    nodes = [node for row in twin._nodes_by_depth.values() for node in row]
    # QAT puts "quant_" before a layer's name.
    (output,) = (
        node.outputs
        for node in nodes
        if node.layer.name in (name, f"quant_{name}")
    )
    return output
