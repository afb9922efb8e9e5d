"""Turns a Keras 3 model into an equal tf_keras (Keras 2) model, and back.

TF-MOT (pruning, clustering, quantization-aware training) and the fused LSTM
of the TFLite converter exist for Keras 2 only. `bridge.to_tf_keras` walks the
graph
of a functional or Sequential Keras 3 model and rebuilds it from stock
tf_keras layers, the "twin": same names, same structure, same weights, same
outputs. `weights.weights_back` copies the
weights of a twin into the Keras 3 model,
also after TF-MOT has worked on it.

Example:
    twin = bridge.to_tf_keras(model)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(twin)
    ...  # compile and fit
    weights.weights_back(tfmot.sparsity.keras.strip_pruning(pruned), model)

A layer class that the bridge does not know is taught with `registry.converter`:

    @converter("Swoosh")
    def _(layer: Swoosh) -> tf_keras.layers.Layer:
        return TwinSwoosh(layer.beta, name=layer.name)
"""
