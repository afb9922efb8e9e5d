"""Files whose weights have 4 bits, made from a float file.

TFLite's converter does not write them; Google's quantizer for LiteRT files
does. Only the kernels of dense layers and convolutions get 4 bits, a scale for
each output; everything is computed in float.
"""

import contextlib
import io

from common.options import InputError

# Some of the quantizer's recipes return the float file, without a word.
LARGEST = 0.95
# Smaller kernels stay as they are: they have no bytes worth saving, and one of
# three weights makes grey of colours.
FEWEST_WEIGHTS = 8


def quantize(content: bytes) -> bytes:
    """Returns a float TFLite file with weights of 4 bits.

    Args:
        content: The bytes of a file without quantization.

    Raises:
        InputError: If it has hardly any weights that can have 4 bits.
    """
    # It takes a second, which runs without int4 need not wait for.
    from ai_edge_quantizer import quantizer, recipe

    rules = recipe.dynamic_wi4_afp32()
    for rule in rules:
        rule["op_config"]["min_weight_elements"] = FEWEST_WEIGHTS
    with contextlib.redirect_stdout(io.StringIO()):  # It prints its progress.
        result = quantizer.Quantizer(content, rules).quantize(
            enable_progress_report=False
        )
    quantized = bytes(result.quantized_model)
    if len(quantized) > LARGEST * len(content):
        raise InputError(
            "--variants: int4 must make a file smaller; this one has hardly "
            "any kernels of dense layers or convolutions. Leave int4 out."
        )
    return quantized
