"""Tiny releases for the tests of the page, made without training."""

import json
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf

from apps.text_sentiment import vocabulary
from common.mobile import litert
from common.release.status import ServingError

HARD_TEXTS = (
    "", " ", "'", "''quoted'' it's rock'n'roll '",
    "Don\u2019t STOP!! \xc4\xd6\xdc \u0130stanbul \u212a",
    "a<br />b <b>bold</b> 3 < 5 > 2 <not closed &amp; &#39;", "$1 \\1 $& costs",
    "\u65e5\u672c\u8a9e\uff1f \u3059\u3054\u3044\uff01 \u4e2d\u6587",
    # A skin, a family of three, and a variation selector.
    "\U0001f600\U0001f600\U0001f44d\U0001f3fd "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u263a\ufe0f",
    "tab\tline\nend\r\n\u2028x\x00y", "\ufeffmark \ufb01 \xbd \xb2",
    "constructor __proto__ <padding> <unknown> toString",
    "good " * 30 + "bad", "e\u0301clair na\xefve ...--- a-b_c/d",
)  # fmt: skip


class Doubler:
    """Stands for a SavedModel: it gives the double of its input."""

    def dtypes(self, signature: str) -> dict[str, np.dtype]:
        if signature not in ("", "serving_default"):
            raise ServingError("NOT_FOUND", "no such signature")
        return {"x": np.dtype("float32")}

    def predict(self, signature: str, inputs: Any) -> dict[str, np.ndarray]:
        return {"y": 2 * inputs["x"]}


class Reader:
    """Stands for a SavedModel of texts: it has the Python tokenizer."""

    def __init__(self, release: Path) -> None:
        self._tokenizer = vocabulary.read(release / "mobile")
        content = (release / "mobile" / "model.tflite").read_bytes()
        self._runner = litert.Runner(content)

    def dtypes(self, signature: str) -> dict[str, np.dtype]:
        return {"text": np.dtype(object)}

    def predict(self, signature: str, inputs: Any) -> dict[str, np.ndarray]:
        texts = [text.decode("utf-8") for text in inputs["text"]]
        ids = [self._tokenizer.padded(text) for text in texts]
        return self._runner(token_ids=np.array(ids, np.int32))


def converted(name: str, spec: tf.TensorSpec, function: Any) -> bytes:
    """Returns a TFLite file with one output, `name`."""
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {name: function(x)}, input_signature=[spec]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )
    return converter.convert()


def write_release(
    release: Path,
    content: bytes,
    labels: tuple[str, ...] = (),
    names: tuple[str, str] = ("x", "y"),
) -> Path:
    """Writes a release with a TFLite file, and all that a page reads."""
    for folder in ("mobile", "report", "assets.extra"):
        (release / folder).mkdir(parents=True)
    (release / "mobile" / "model.tflite").write_bytes(content)
    if labels:
        lines = "\n".join(labels) + "\n"
        (release / "mobile" / "labels.txt").write_text(lines, "utf-8")
    float32 = {"dtype": "float32", "shape": [None, 3]}
    report = {
        "app": "toy", "config": {}, "dataset": {"name": "numbers"},
        "serving": {"signatures": {"serving_default": {
            "inputs": {names[0]: float32}, "outputs": {names[1]: float32},
        }}},
    }  # fmt: skip
    (release / "report" / "report.json").write_text(json.dumps(report))
    example = {"instances": [{"x": [0.1, -2.0, 3.5]}]}
    (release / "assets.extra" / "example.json").write_text(json.dumps(example))
    return release


def pack(model: Any) -> bytes:
    """Returns the bytes of a TFLite model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def doubling() -> bytes:
    """Returns a TFLite file that doubles three numbers, `x`, to `y`."""
    spec = tf.TensorSpec((1, 3), tf.float32, "x")
    return converted("y", spec, lambda x: 2.0 * x)
