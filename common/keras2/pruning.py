"""Tells TF-MOT what to prune in layers that it would refuse or misread.

TF-MOT's pruning asks a layer for `get_prunable_weights` and otherwise looks
its class up. It looks for the RNN cells of `tf.keras`, which since TF 2.16
is Keras 3, so it refuses every RNN of tf_keras; it knows no wrappers and few
layers without weights. Layers of a twin therefore answer for themselves.
"""

from typing import Any

# Classes that TF-MOT's pruning looks up without fault.
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
        layer: a tf_keras layer. Nested models, classes that TF-MOT knows and
            layers that answer already are left as they are.
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
    found = [getattr(layer, name, None) for name in names]
    return [v for v in found if v is not None]
