"""A number for each release, which a server's metadata show.

Over REST and gRPC a server tells only the names, inputs and outputs of a
model's signatures. Each release therefore has a signature with a single output,
whose name holds the release's number. The signature computes nothing useful and
need not be called.
"""

import uuid
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

SIGNATURE = "release_id"
PREFIX = "release_"


def make() -> tf.types.experimental.PolymorphicFunction:
    """Returns the function of a new release's `release_id` signature."""
    name = PREFIX + uuid.uuid4().hex

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int64, "x")])
    def release_id(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.identity(x)}

    return release_id


def of(signatures: Mapping[str, meta_graph_pb2.SignatureDef]) -> str:
    """Returns a release's number; "" if the release is too old to have one.

    Args:
        signatures: The release's signatures by name.
    """
    if SIGNATURE not in signatures:
        return ""
    return "".join(signatures[SIGNATURE].outputs)


def of_release(release: Path) -> str:
    """Returns the number of a release on this machine."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((release / "saved_model.pb").read_bytes())
    return of(saved.meta_graphs[0].signature_def)
