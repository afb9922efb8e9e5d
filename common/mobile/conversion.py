"""TFLite (LiteRT) files: their conversion from a tf_keras twin.

Files are converted from a tf_keras twin, as a concrete function with batch size
1, and hold built-in operators only. A model that needs TensorFlow's own
operators ("Flex") is refused: no stock runtime, in Python or on phones, runs
them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import runtime
from common.console import track
from common.options import InputError
from common.variants import Plan, Techniques, Variant

from . import four_bits, litert, partly_float, recurrence

INT8X16 = (
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
)
# Formats whose converters raise all kinds of errors.
FRAGILE = ("int8x16", "int4")
# Of the largest output; so far the files differ from their twins by 1e-6.
LSTM_TOLERANCE = 1e-3
# Maps a twin to a function that maps named inputs to named outputs.
Wrap = Callable[[Any], Callable[..., dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Int8:
    """The settings for files of the format int8.

    Attributes:
        io: The type of inputs and outputs that are real numbers: uint8, which
            for pixels are the bytes of the image; int8; or float32, so that the
            file does the rounding.
        whole: Whether an operator without an int8 kernel is an error; if not,
            it is computed in float.
        denylist: Layers that stay in float. With any, and for a model with an
            LSTM, `io` is float32.
    """

    io: str = "uint8"
    whole: bool = True
    denylist: tuple[str, ...] = ()


def convert(
    twin: Any,
    variant: Variant,
    calibration: litert.Arrays,
    outputs: Sequence[str],
    int8: Int8 = Int8(),
    wrap: Wrap | None = None,
    lstm: str = "loop",
) -> bytes:
    """Converts a twin to the bytes of a TFLite file.

    The signature `serving_default` has the twin's input names and `outputs`.

    Args:
        twin: A functional tf_keras model.
        variant: Gives the format, and whether the ranges of int8 come from
            `calibration` or from quantization-aware training.
        calibration: Inputs by name, `(num, ...)`, which give the ranges of
            int8, and the sizes of axes that the twin leaves open.
        outputs: A name for each output of the twin.
        int8: The settings of the format int8.
        wrap: Returns, for the twin, the function that the file computes instead
            of the twin alone: from the inputs of `calibration` to `outputs`.
        lstm: The form of LSTMs: `loop` for operators without a state between
            calls, or `fused` for one operator each; see `recurrence`.

    Raises:
        InputError: If the model needs operators that TFLite does not have.
    """
    is_ranged = variant.format == "int8" and "qat" not in variant.techniques
    is_partly = is_ranged and bool(int8.denylist or lstm_layers(twin))
    if is_partly:
        int8 = dataclasses.replace(int8, io="float32")
    converter = _converter(twin, outputs, calibration, wrap)
    if variant.format not in ("float32", "int4"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant.format == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant.format == "int8":
        _to_int8(converter, variant, calibration, int8)
    is_int4 = variant.format == "int4"
    if variant.format == "int8x16":
        converter.representative_dataset = lambda: litert.examples(calibration)
        converter.target_spec.supported_ops = [
            INT8X16,
            tf.lite.OpsSet.TFLITE_BUILTINS,  # What has no such kernel: float.
        ]
    try:
        if is_partly:
            calibrated = partly_float.Calibrated(converter, twin, lstm)
            return calibrated.quantize(int8.denylist)
        with runtime.native_stderr_hidden():
            content = converter.convert()
        if is_int4:
            content = four_bits.quantize(content)
        return recurrence.in_form(content, lstm)
    except Exception as error:
        # The converter's own class is private; its first line says which ops.
        if "custom op" in str(error) or "Flex" in str(error):
            raise InputError(
                f"--variants: {variant.name} needs operators that TFLite does "
                f"not have: {str(error).strip().splitlines()[0]}"
            ) from None
        raise


def calibrate(
    twin: Any,
    variant: Variant,
    calibration: litert.Arrays,
    outputs: Sequence[str],
    lstm: str = "loop",
) -> partly_float.Calibrated:
    """Returns a calibrated twin, to be quantized with any layers in float.

    Args:
        twin: A functional tf_keras model.
        variant: A variant of the format int8.
        calibration: See `convert`.
        outputs: See `convert`.
        lstm: See `convert`.
    """
    converter = _converter(twin, outputs, calibration)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    _to_int8(converter, variant, calibration, Int8("float32", whole=False))
    return partly_float.Calibrated(converter, twin, lstm)


def lstm_layers(twin: Any) -> set[str]:
    """Returns the names of the layers that are an LSTM or hold one.

    Args:
        twin: A tf_keras model, which is one of these layers itself.
    """
    return {
        layer.name
        for layer in twin._flatten_layers()
        if any(type(x).__name__ == "LSTM" for x in layer._flatten_layers())
    }


def _converter(
    twin: Any,
    outputs: Sequence[str],
    examples: litert.Arrays,
    wrap: Wrap | None = None,
) -> Any:
    """Returns a converter with TFLite's defaults."""
    if wrap is None:
        function = _concrete(twin, outputs, examples)
    else:
        function = _wrapped(wrap(twin), examples)
    # The converter saves the object that it gets. A twin would be saved with a
    # graph for every layer, which takes many times as long and changes nothing
    # in the file; the function needs its variables only.
    holder = tf.Module()
    holder.kept = list(function.variables)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], holder)


def _to_int8(
    converter: Any, variant: Variant, calibration: litert.Arrays, int8: Int8
) -> None:
    """Prepares a converter for full-integer quantization."""
    if int8.io != "float32":
        converter.inference_input_type = tf.as_dtype(int8.io)
        converter.inference_output_type = tf.as_dtype(int8.io)
    if "qat" in variant.techniques:
        return
    converter.representative_dataset = lambda: litert.examples(calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if not int8.whole:
        converter.target_spec.supported_ops += [tf.lite.OpsSet.TFLITE_BUILTINS]


def _concrete(
    twin: Any, outputs: Sequence[str], examples: litert.Arrays
) -> Any:
    """Returns the twin as a concrete function of named inputs, batch size 1."""
    specs = {}
    for tensor in twin.inputs:
        name = tensor.name.split(":")[0]
        shape = (1, *np.shape(examples[name])[1:])
        specs[name] = tf.TensorSpec(shape, tensor.dtype, name)

    def serve(**inputs: Any) -> dict[str, Any]:
        result = twin(
            next(iter(inputs.values())) if len(inputs) == 1 else inputs,
            training=False,
        )
        return dict(zip(outputs, tf.nest.flatten(result), strict=True))

    return tf.function(serve).get_concrete_function(**specs)


def _wrapped(
    serve: Callable[..., dict[str, Any]], examples: litert.Arrays
) -> Any:
    """Returns `serve` as a concrete function of inputs like `examples`.

    The batch size is 1.
    """
    specs = {
        name: tf.TensorSpec(
            (1, *np.shape(array)[1:]), np.asarray(array).dtype, name
        )
        for name, array in examples.items()
    }
    return tf.function(serve).get_concrete_function(**specs)


def plan(
    twin: Any,
    variants: Sequence[Variant],
    example: litert.Arrays,
    outputs: Sequence[str],
) -> Plan:
    """Separates the variants that the converter can make from the others.

    It converts the twin to float32 and reads the file's operators.

    Args:
        twin: The model's twin, not compressed.
        variants: The variants of `--variants`; float32 is among them.
        example: See `convert`'s calibration.
        outputs: See `convert`.

    Raises:
        InputError: If the model needs operators that TFLite does not have, or
            if the converter changes what its LSTMs compute.
    """
    float32 = next(variant for variant in variants if variant.name == "float32")
    content = convert(twin, float32, example, outputs, lstm="fused")
    operators = litert.ops(content)
    if recurrence.FUSED in operators:
        _check_lstms(twin, recurrence.without_state(content), example, outputs)
    if "WHILE" not in operators:
        return Plan(list(variants), [])
    possible, refused = [], []
    for variant in variants:
        if variant.format != "int8":
            possible.append(variant)
            continue
        # Calibration of a WHILE loop ends the process without an exception.
        kept = [step for step in variant.techniques if step != "qat"]
        nearest = "+".join((*kept, "dynamic"))
        refused.append(
            {
                "name": variant.name,
                "reason": "the file has a WHILE loop (GRU, SimpleRNN, or an "
                "LSTM with a mask), which TFLite cannot quantize to int8. "
                f"Nearest: {nearest}. An LSTM without mask_zero has no loop.",
            }
        )
    return Plan(possible, refused)


def _check_lstms(
    twin: Any, content: bytes, example: litert.Arrays, outputs: Sequence[str]
) -> None:
    """Raises `InputError` if a file with LSTMs differs from its twin."""
    inputs = next(iter(litert.examples(example)))
    result = twin(next(iter(inputs.values())) if len(inputs) == 1 else inputs)
    computed = litert.Runner(content)(**inputs)
    for name, tensor in zip(outputs, tf.nest.flatten(result), strict=True):
        expected = np.asarray(tensor)
        error = np.max(np.abs(computed[name] - expected))
        if error > LSTM_TOLERANCE * np.max(np.abs(expected)):
            raise InputError(
                f"--model: TFLite's converter changes {name} by {error:.2g}. "
                "It makes zeros of an LSTM's initial state that is a constant: "
                "compute the state from an input, or leave it out."
            )


def _try(content: bytes, calibration: litert.Arrays) -> None:
    """Runs a file once.

    Raises:
        RuntimeError: If LiteRT cannot run it, or an output is not finite.
    """
    outputs = litert.Runner(content)(**next(iter(litert.examples(calibration))))
    for name, values in outputs.items():
        if not np.all(np.isfinite(values)):
            raise RuntimeError(f"the output {name} is not finite.")


def write(
    directory: Path,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    calibration: litert.Arrays,
    outputs: Sequence[str],
    int8: Int8 = Int8(),
    wrap: Wrap | None = None,
    lstm: str = "loop",
) -> list[Path]:
    """Converts every variant to `<directory>/<variant>.tflite`.

    A file of the formats int8x16 and int4 that cannot be made or run is
    refused: which operators they can be computed with is known only then.

    Args:
        directory: The release's `mobile`, which must not exist yet.
        twins: The twin of each variant's techniques; see
            `compression.chain.compress`.
        plan: The variants to convert; those refused are added.
        calibration: See `convert`.
        outputs: See `convert`.
        int8: See `convert`.
        wrap: See `convert`.
        lstm: See `convert`.

    Returns:
        The files' paths, in the order of the variants.
    """
    directory.mkdir()
    paths = []
    for variant in track(plan.variants, "converting", len(plan.variants)):
        twin = twins[variant.techniques]
        try:
            content = convert(
                twin, variant, calibration, outputs, int8, wrap, lstm
            )
            if variant.format in FRAGILE:
                _try(content, calibration)
        except Exception as error:
            if variant.format not in FRAGILE:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            plan.refused.append({"name": variant.name, "reason": reason[:300]})
            continue
        paths.append(directory / f"{variant.name}.tflite")
        paths[-1].write_bytes(content)
    return paths
