"""The model that the cases ask: its outputs say what the server has read."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.release import models_config

NAME = "conformance"
# Types that REST and gRPC both have.
DTYPES = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64",
          "uint32", "uint64", "bool", "string")  # fmt: skip


class Sum(tf.Module):
    """Sums rows of three numbers, and tells its version."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(version, trainable=False, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
    def total(self, x):
        """Returns the sum of every row, and the version as often."""
        total = tf.reduce_sum(x, axis=1)
        return {"y": total, "version": tf.fill(tf.shape(total), self.version)}


def release(export_dir: Path) -> None:
    """Writes two versions, and the label `stable` for the first.

    The first has only the default signature. The second also has `same_DTYPE`
    for each of `DTYPES`, `texts`, `two`, `single`, `whole` and `bytes`.

    Args:
        export_dir: The directory of releases.
    """
    root = export_dir / NAME
    root.mkdir(parents=True, exist_ok=True)
    for version in (1, 2):
        partial = root / f".partial-{os.getpid()}-x"
        module = Sum(version)
        signatures = {"serving_default": module.total}
        if version == 2:
            signatures.update(_more_signatures())
        tf.saved_model.save(module, partial, signatures=signatures)
        partial.rename(root / str(version))
        models_config.add(export_dir, NAME, version)


def _more_signatures() -> dict[str, tf.types.experimental.GenericFunction]:
    def function(specs, body):
        return tf.function(body, input_signature=specs)

    signatures = {
        f"same_{dtype}": function(
            [tf.TensorSpec((None,), dtype, "x")],
            lambda x: {"same": tf.identity(x)},
        )
        for dtype in DTYPES
    }
    number = tf.TensorSpec((None,), tf.float32, "number")
    text = tf.TensorSpec((None,), tf.string, "text")
    single = tf.TensorSpec((), tf.string, "text")
    table = tf.TensorSpec((None, None), tf.string, "text")
    return {
        **signatures,
        # Two inputs, two outputs.
        "two": function(
            [number, text],
            lambda number, text: {
                "twice": number * 2,
                "upper": tf.strings.upper(text),
            },
        ),
        "texts": function(
            [table], lambda text: {"joined": tf.strings.reduce_join(text, 1)}
        ),
        "single": function([single], lambda text: {"same": tf.identity(text)}),
        # An output without the axis of the batch.
        "whole": function(
            [number], lambda number: {"total": tf.reduce_sum(number)}
        ),
        "bytes": function(
            [text],
            lambda text: {
                "same_bytes": tf.identity(text),
                "length": tf.strings.length(text),
            },
        ),
        # Numbers that JSON lacks.
        "inverse": function([number], lambda number: {"y": 1.0 / number}),
    }


def rows(*values: object, dtype: str = "float32") -> np.ndarray:
    """Returns an array of one of `DTYPES`."""
    kind = object if dtype == "string" else np.dtype(dtype)
    return np.array(values, kind)
