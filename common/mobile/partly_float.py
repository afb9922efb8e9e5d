"""Int8 files in which some layers stay in float.

An LSTM's activations always do: rounded at each step to 8 bits, its outputs
drift in one direction, the same way in every sequence. Its weights are int8.
"""

import collections
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from ai_edge_litert import interpreter as litert

from common import runtime
from common.variants import is_named

from . import recurrence


class Calibrated:
    """A twin with the ranges of its tensors, to be quantized in part.

    Calibration is done once; a file with another set of float layers then takes
    milliseconds. An operator stays in float as a whole, and it belongs to every
    layer that was fused into it.

    Attributes:
        nodes: For each layer, the names of its operators' output tensors.
            Layers without an operator in the file are left out.
    """

    def __init__(self, converter: Any, twin: Any, lstm: str = "loop") -> None:
        """Measures the ranges of the twin's tensors.

        Args:
            converter: A TFLite converter with a representative data set.
            twin: The tf_keras model that it converts.
            lstm: See `conversion.convert`.
        """
        self._lstm = lstm
        self._options = tf.lite.experimental.QuantizationDebugOptions()
        with warnings.catch_warnings(), runtime.native_stderr_hidden():
            # TensorFlow warns of its own use of deprecated `tf.lite` names.
            warnings.simplefilter("ignore")
            self._debugger = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=converter.representative_dataset,
                debug_options=self._options,
            )
            self.nodes = _nodes(self._debugger.calibrated_model, twin)

    def quantize(self, denylist: Sequence[str]) -> bytes:
        """Returns an int8 file with the layers of `denylist` in float.

        Its inputs and outputs are float32.

        Args:
            denylist: Names of layers; a name without an operator has no effect.
        """
        # Not before: the debugger fails if no operator is left to quantize.
        self._options.denylisted_ops = [recurrence.FUSED]
        self._options.denylisted_nodes = sorted(
            {
                node
                for layer, nodes in self.nodes.items()
                if is_named(layer, denylist)
                for node in nodes
            }
        )
        with runtime.native_stderr_hidden():
            content = self._debugger.get_nondebug_quantized_model()
        content = recurrence.with_int8_weights(content)
        return recurrence.in_form(content, self._lstm)


def _nodes(content: bytes, twin: Any) -> dict[str, list[str]]:
    """Returns the tensors that the operators of each layer write."""
    interpreter = litert.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner()
    last = {detail["name"] for detail in runner.get_output_details().values()}
    ends = [tensor.node.layer.name for tensor in twin.outputs]
    layers = set(_layer_names(twin))
    nodes: dict[str, list[str]] = collections.defaultdict(list)
    for tensor in interpreter.get_tensor_details():
        name = tensor["name"]
        # Fused operators are called "model/relu/Relu;model/dense/MatMul".
        parts = {part for op in name.split(";") for part in op.split("/")}
        # The file's outputs are renamed, without the name of their layer.
        owners = set(ends) if name in last else parts & layers
        for layer in owners:
            nodes[layer].append(name)
    return dict(nodes)


def _layer_names(twin: Any) -> Iterable[str]:
    """Yields the names of layers, including those of nested models."""
    for layer in twin.layers:
        yield layer.name
        if hasattr(layer, "layers"):
            yield from _layer_names(layer)
