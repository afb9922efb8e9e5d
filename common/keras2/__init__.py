"""Turns a Keras 3 model into an equal tf_keras (Keras 2) model, and back.

TF-MOT (pruning, clustering, quantization-aware training) and the fused LSTM
of the TFLite converter exist for Keras 2 only. `to_tf_keras` walks the graph
of a functional or Sequential Keras 3 model and rebuilds it from stock
tf_keras layers, the "twin": same names, same structure, same weights, same
outputs. `weights_back` copies the weights of a twin into the Keras 3 model,
also after TF-MOT has worked on it.

Example:
    twin = to_tf_keras(model)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(twin)
    ...  # compile and fit
    weights_back(tfmot.sparsity.keras.strip_pruning(pruned), model)

A layer class that the bridge does not know is taught with `converter`:

    @converter("Swoosh")
    def _(layer: Swoosh) -> tf_keras.layers.Layer:
        return TwinSwoosh(layer.beta, name=layer.name)
"""

from common.keras2.attach import attach
from common.keras2.bridge import around, to_tf_keras, unsupported_layers
from common.keras2.registry import UnsupportedLayerError, converter
from common.keras2.weights import copy_weights, mend, weights_back

__all__ = [
    "UnsupportedLayerError",
    "around",
    "attach",
    "converter",
    "copy_weights",
    "mend",
    "to_tf_keras",
    "unsupported_layers",
    "weights_back",
]
