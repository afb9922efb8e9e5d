"""Turns a Keras 3 model into an equal tf_keras (Keras 2) model, and back.

TF-MOT (pruning, clustering, quantization-aware training) and the fused LSTM
of the TFLite converter exist for Keras 2 only. `bridge.to_tf_keras` walks the
graph of a functional or Sequential Keras 3 model and rebuilds it from stock
tf_keras layers. The result, the "twin", has the same names, structure, weights
and outputs. `weights.weights_back` copies the weights of a twin, also after
pruning or clustering, into the Keras 3 model.

Example:
    twin = bridge.to_tf_keras(model)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(twin)
    ...  # compile and fit
    weights.weights_back(tfmot.sparsity.keras.strip_pruning(pruned), model)

For a layer class that the bridge does not know, register a converter:

    @converter("Swoosh")
    def _(layer: Swoosh) -> tf_keras.layers.Layer:
        return TwinSwoosh(layer.beta, name=layer.name)
"""
