"""Tells TF-MOT which weights to prune in layers that it does not know.

TF-MOT's pruning calls a layer's `get_prunable_weights`, or else looks its class
up. It looks for the RNN cells of `tf.keras`, which is Keras 3 since TF 2.16, so
it refuses every RNN of tf_keras; it knows no wrappers and few layers without
weights. Layers of a twin therefore get a `get_prunable_weights` of their own.
"""

from typing import Any

# Classes that TF-MOT's pruning looks up correctly.
_KNOWN = frozenset(
    {
        "Conv1D",
        "Conv2D",
        "Conv2DTranspose",
        "Conv3D",
        "Conv3DTranspose",
        "Dense",
        "Embedding",
        "MultiHeadAttention",
        "SeparableConv1D",
        "SeparableConv2D",
    }
)
_WRAPPED = ("layer", "forward_layer", "backward_layer", "cell")


def prepare(layer: Any) -> None:
    """Gives a built layer of a twin its `get_prunable_weights`.

    Args:
        layer: A tf_keras layer. Nested models, classes that TF-MOT knows and
            layers with the method are not changed.
    """
    if hasattr(layer, "get_prunable_weights") or hasattr(layer, "layers"):
        return
    if type(layer).__name__ not in _KNOWN:
        layer.get_prunable_weights = lambda: prunable_weights(layer)


def prunable_weights(layer: Any) -> list[Any]:
    """Returns the kernels and embedding tables of a layer and of its parts."""
    parts = list(getattr(layer, "cells", ()))
    for name in _WRAPPED[1:] if hasattr(layer, "forward_layer") else _WRAPPED:
        part = getattr(layer, name, None)
        parts.append(part) if part is not None else None
    if parts:
        return [v for part in parts for v in prunable_weights(part)]
    names = ["kernel", "recurrent_kernel", "embeddings", "pointwise_kernel"]
    if hasattr(layer, "depthwise_kernel") or "Depthwise" in str(type(layer)):
        names = names[-1:]
    weights = [getattr(layer, name, None) for name in names]
    return [weight for weight in weights if weight is not None]
