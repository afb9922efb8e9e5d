"""The formats of files that some layers cannot have."""

import keras

from common.variants import Variant

# What `int4` makes small: the kernels of these layers, and of no other.
FOUR_BITS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)


def refusal(model: keras.Model, variant: Variant) -> str:
    """Returns why no file of the variant's format can be made, "" if it can.

    Args:
        model: A Keras 3 model.
        variant: Its format is looked at, not its techniques.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if not isinstance(layer, keras.Model)
    ]
    start = "+".join(variant.techniques) + "+" * bool(variant.techniques)
    if variant.format == "int8x16":
        for layer in layers:
            if isinstance(layer, RECURRENT):
                return (
                    f"{layer.name} is recurrent, and LiteRT runs no LSTM with "
                    f"16 bits. Nearest: {start}dynamic."
                )
    if variant.format == "int4":
        weights = sum(
            layer.count_params()
            for layer in layers
            if isinstance(layer, FOUR_BITS)
        )
        if 2 * weights < model.count_params():
            return (
                "only kernels of dense layers and convolutions can have 4 "
                f"bits, and those have {weights:,} of "
                f"{model.count_params():,} weights. Nearest: {start}int8."
            )
    return ""
