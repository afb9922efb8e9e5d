"""Checks of a release against its own report and its recorded answers."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from common.mobile import litert
from common.report import report

from . import manifest, warmup
from .saved_model import Model

TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        what: What was compared, with figures.
        passed: Whether it is as it was when the release was made.
    """

    what: str
    passed: bool


def verify(release: Path) -> Iterator[Check]:
    """Yields the results of all checks, one by one.

    It is checked that every file has the SHA-256 in the manifest, that the
    SavedModel has the report's signatures and gives the recorded answers, that
    every TFLite file has the report's size and can be prepared to run, and that
    `model.keras` loads in safe mode.

    Args:
        release: The release's directory.
    """
    try:
        yield from _checks(release)
    except Exception as error:  # A damaged file can fail in any part.
        kind, text = type(error).__name__, " ".join(str(error).split())
        yield Check(f"can be read: {kind}: {text[:200]}", False)


def _checks(release: Path) -> Iterator[Check]:
    """Yields the results of the checks of a release that can be read."""
    yield from _manifest(release)
    written = report.read(release)
    model = Model(release)
    yield from _signatures(model, written["serving"]["signatures"])
    yield _answers(model)
    yield from _files(release, written["variants"])
    yield _keras(release)


def _manifest(release: Path) -> Iterator[Check]:
    """Compares every file with its SHA-256."""
    rows = manifest.read(release)
    if rows is None:
        yield Check("has no manifest: an older export made it", True)
        return
    damages = list(manifest.damages(release))
    yield Check(f"{len(rows)} files are in the manifest", not damages)
    yield from (Check(line, False) for line in damages)


def _signatures(model: Model, expected: dict[str, Any]) -> Iterator[Check]:
    """Compares names, dtypes and shapes of inputs."""
    for name, described in expected.items():
        inputs = {
            key: {"dtype": spec.dtype.name, "shape": list(spec.shape)}
            for key, spec in model.inputs(name).items()
        }
        yield Check(
            f"signature {name} takes {', '.join(inputs)}",
            inputs == described["inputs"],
        )


def _answers(model: Model) -> Check:
    """Sends the recorded requests again and compares the answers."""
    worst, count = 0.0, 0
    for log in warmup.read(model.path):
        request, response = log.predict_log.request, log.predict_log.response
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        outputs = model.predict(request.model_spec.signature_name, inputs)
        for name, proto in response.outputs.items():
            worst = max(worst, _difference(outputs[name], proto))
        count += 1
    return Check(
        f"{count} recorded answers, largest difference {worst:.1e}",
        count > 0 and worst <= TOLERANCE,
    )


def _difference(output: np.ndarray, proto: tensor_pb2.TensorProto) -> float:
    """Returns the greatest difference; infinite where texts differ."""
    expected = tf.make_ndarray(proto)
    if expected.dtype.kind == "O" or expected.shape != output.shape:
        return 0.0 if np.array_equal(expected, output) else np.inf
    gap = np.abs(expected.astype(float) - output.astype(float))
    return float(np.max(gap, initial=0.0))


def _files(release: Path, variants: list[dict[str, Any]]) -> Iterator[Check]:
    """Compares the TFLite files' sizes, and prepares each to run."""
    for row in variants:
        path = release / row["file"]
        content = path.read_bytes() if path.is_file() else b""
        passed = len(content) == row["bytes"] and _runs(content)
        yield Check(f"{row['file']} has {row['bytes']:,} bytes", passed)
        if row["chosen"]:
            shipped = path.with_name("model.tflite")
            same = shipped.is_file() and shipped.read_bytes() == content
            yield Check(f"mobile/model.tflite is {row['name']}", same)


def _runs(content: bytes) -> bool:
    """Tells whether the LiteRT interpreter can prepare a file to run."""
    try:
        litert.Runner(content)
    except litert.LoadError:
        return False
    return True


def _keras(release: Path) -> Check:
    """Checks that `model.keras` loads in safe mode."""
    path = release / "model.keras"
    try:
        keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        line = str(error).splitlines()[0]
        return Check(f"model.keras loads: {line}", False)
    return Check("model.keras loads in safe mode", True)
