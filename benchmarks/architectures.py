"""Which models of keras.applications the bridge, TF-MOT and TFLite take.

Prints a markdown table: one row per architecture, with random weights and a
small input. `python -m benchmarks.architectures --output table.md`
"""

import argparse
import collections
import gc
import os
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COLUMNS = ("difference", "prune", "cluster", "QAT", "int8 TFLite", "seconds")
FOLDING = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense")
_SIZE = 80  # Pixels; every architecture takes that.


def main() -> None:
    """Measures the architectures and prints the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--max_int8_parameters", type=float, default=3e7)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    lines = [_row(("architecture", "parameters", *COLUMNS))]
    lines.append(_row(["---"] * (len(COLUMNS) + 2)))
    print("\n".join(lines), flush=True)
    for name in arguments.names or names():
        lines.append(_row(measure(name, arguments.max_int8_parameters)))
        print(lines[-1], flush=True)
        if arguments.output:
            arguments.output.write_text("\n".join(lines) + "\n")


def names() -> list[str]:
    """Returns the names of the architectures that Keras has."""
    import keras

    return sorted(n for n in dir(keras.applications) if n[0].isupper())


def measure(name: str, max_int8_parameters: float) -> list[str]:
    """Returns the cells of one architecture's row."""
    import keras
    import tf_keras

    from common.keras2 import bridge, check

    start = time.monotonic()
    model = getattr(keras.applications, name)(
        weights=None,
        input_shape=(_SIZE, _SIZE, 3),
        classes=10,
        classifier_activation=None,
    )
    twin = bridge.to_tf_keras(model, check=False)
    difference = check.compare(model, twin)
    int8 = "not measured (size)"
    if model.count_params() <= max_int8_parameters:
        int8 = _try(to_int8, twin)
    # Wrappers hold the twin's own layers, so each step has its own twin.
    steps = [_try(step, bridge.to_tf_keras(model, check=False))
             for step in (prune, cluster, quantize)]  # fmt: skip
    count = f"{model.count_params() / 1e6:.1f} M"
    seconds = f"{time.monotonic() - start:.0f}"
    keras.backend.clear_session()
    tf_keras.backend.clear_session()
    gc.collect()
    return [name, count, f"{difference:.0e}", *steps, int8, seconds]


def prune(twin: Any) -> str:
    """Wraps every layer for pruning."""
    import tensorflow_model_optimization as tfmot

    tfmot.sparsity.keras.prune_low_magnitude(twin)
    return "yes"


def cluster(twin: Any) -> str:
    """Wraps the layers that TF-MOT can cluster."""
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.clustering.keras import (
        clustering_registry,
    )

    keras = tfmot.clustering.keras
    takes = clustering_registry.ClusteringRegistry.supports

    def wrap(layer: Any) -> Any:
        return keras.cluster_weights(
            layer,
            number_of_clusters=16,
            cluster_centroids_init=keras.CentroidInitialization.LINEAR,
        )

    return _wrap(twin, takes, wrap)


def quantize(twin: Any) -> str:
    """Quantizes the whole twin, or else the layers that TF-MOT takes."""
    import tensorflow_model_optimization as tfmot

    from common.compression import quantization

    keras = tfmot.quantization.keras
    quantization.reserve_names(twin)
    try:
        keras.quantize_model(twin)
        return "yes"
    except (RuntimeError, ValueError):
        return _wrap(
            twin,
            _can_train_quantized,
            keras.quantize_annotate_layer,
            keras.quantize_apply,
        )


def _can_train_quantized(layer: Any) -> bool:
    """Tells whether TF-MOT's default scheme takes a layer where it is."""
    from tensorflow_model_optimization.python.core.quantization.keras import (
        default_8bit,
    )

    registry = default_8bit.default_8bit_quantize_registry
    kind = type(layer).__name__
    if kind == "SeparableConv2D":
        return True  # It is broken in two.
    if kind == "BatchNormalization":  # Folded into what is before it.
        before = layer.inbound_nodes[0].inbound_layers
        return type(before).__name__ in FOLDING
    if kind == "Activation":
        known = ("relu", "swish", "linear", "softmax", "sigmoid", "tanh")
        return layer.activation.__name__ in known
    return registry.Default8BitQuantizeRegistry().supports(layer)


def _wrap(
    twin: Any,
    takes: Callable[[Any], bool],
    wrap: Callable[[Any], Any],
    apply: Callable[[Any], Any] = lambda model: model,
) -> str:
    """Wraps the layers that are taken, and names the classes left out."""
    import tf_keras

    left: collections.Counter[str] = collections.Counter()

    def wrap_taken(layer: Any) -> Any:
        if takes(layer):
            return wrap(layer)
        if type(layer).__name__ != "InputLayer":
            left[type(layer).__name__] += 1
        return layer

    apply(tf_keras.models.clone_model(twin, clone_function=wrap_taken))
    if not left:
        return "yes"
    return "all but " + ", ".join(f"{n} {c}" for c, n in left.items())


def to_int8(twin: Any) -> str:
    """Converts to int8 with a calibration image, and runs the file once."""
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    image = np.random.default_rng(0).uniform(size=(1, _SIZE, _SIZE, 3))
    function = tf.function(lambda x: twin(x, training=False))
    spec = tf.TensorSpec(image.shape, "float32")
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function(spec)], twin
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: iter([[image.astype("float32")]])
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.invoke()
    return "yes"


def _try(step: Callable[[Any], str], twin: Any) -> str:
    """Runs a step; an error becomes its first words."""
    try:
        return step(twin)
    except Exception as error:
        words = " ".join(str(error).split())
        return f"no: {words[:90]}".replace("|", "/")


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
