"""Which release a server serves: a number that its metadata show.

A server tells of a model only its signatures' names, inputs and outputs, over
REST as over gRPC. Each release therefore has a signature whose one output is
named for it. It computes nothing of use and needs not be called.
"""

import uuid
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

SIGNATURE = "release_id"
PREFIX = "release_"


def make() -> tf.types.experimental.PolymorphicFunction:
    """Returns the signature's function, for a release that is being made."""
    name = PREFIX + uuid.uuid4().hex

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int64, "x")])
    def release_id(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.identity(x)}

    return release_id


def of(signatures: Mapping[str, meta_graph_pb2.SignatureDef]) -> str:
    """Returns a release's number; "" if it was made before there was one."""
    if SIGNATURE not in signatures:
        return ""
    return "".join(signatures[SIGNATURE].outputs)


def of_release(release: Path) -> str:
    """Returns the number of a release on this machine."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((release / "saved_model.pb").read_bytes())
    return of(saved.meta_graphs[0].signature_def)
