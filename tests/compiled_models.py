"""LiteRT's newer runtime, `CompiledModel`, beside its interpreter."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ai_edge_litert import compiled_model

from common.mobile import litert

TOLERANCE = 1e-5


def run(
    content: bytes, inputs: Mapping[str, np.ndarray], runner: litert.Runner
) -> dict[str, np.ndarray]:
    """Returns the outputs of one example by name, not dequantized."""
    model = compiled_model.CompiledModel.from_buffer(content)
    key = next(iter(model.get_signature_list()))
    sent = {
        name: model.create_input_buffer_by_name(key, name) for name in inputs
    }
    received = {
        name: model.create_output_buffer_by_name(key, name)
        for name in runner.outputs
    }
    for _ in range(2):  # The second answer must not depend on the first.
        for name, values in inputs.items():
            sent[name].write(np.ascontiguousarray(values))
        model.run_by_name(key, sent, received)
    return {
        name: received[name]
        .read(int(np.prod(detail["shape"])), detail["dtype"])
        .reshape(detail["shape"])
        for name, detail in runner.outputs.items()
    }


def example(runner: litert.Runner) -> dict[str, np.ndarray]:
    """Returns a random example by name; whole numbers are from 0 to 9."""
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 10, detail["shape"])
        if detail["dtype"] in (np.int32, np.int64)
        else rng.random(detail["shape"])
        for name, detail in runner.inputs.items()
    }


def check(release: Path) -> None:
    """Checks that both runtimes give the same outputs for a release's files."""
    files = sorted((release / "mobile").glob("*.tflite"))
    assert files
    for file in files:
        content = file.read_bytes()
        runner = litert.Runner(content)
        inputs = example(runner)
        expected = runner(**inputs)
        quantized = {
            name: litert.quantize(values, runner.inputs[name])
            for name, values in inputs.items()
        }
        for name, values in run(content, quantized, runner).items():
            np.testing.assert_allclose(
                litert.dequantize(values, runner.outputs[name]),
                expected[name],
                rtol=0,
                atol=TOLERANCE if values.dtype.kind == "f" else 0,
                err_msg=file.name,
            )
