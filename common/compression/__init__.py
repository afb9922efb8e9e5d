"""Pruning, clustering and quantization-aware training of Keras 3 models.

TF-MOT works on the model's tf_keras twin. Every step starts from the result of
the step before it, is fine-tuned on the app's own data with the app's own
loss, and is verified after TF-MOT's wrappers are stripped. References: Zhu and
Gupta, To prune or not to prune, 2017 (schedule); Han et al., Deep compression,
2016 (clustering); Jacob et al., Quantization and training of neural networks
for efficient integer-arithmetic-only inference, 2018.
"""
