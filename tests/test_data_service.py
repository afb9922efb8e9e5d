import socket

import numpy as np
import pytest
import tensorflow as tf

from apps import data_service as program
from common.data import pipelines, splits
from common.data.replicas import Replica
from common.data.splits import MemorySplit
from common.options import InputError
from common.training import data_service


@pytest.fixture(scope="module")
def address():
    """A dispatcher and two workers in this process."""
    dispatcher = program.serve(program.Config(port=0))
    target = dispatcher.target.removeprefix("grpc://")
    options = program.Config(port=0, dispatcher=target)
    workers = [program.serve(options) for _ in range(2)]
    yield dispatcher.target
    del workers


def noisy(features, labels, seed):
    noise = tf.random.stateless_uniform(tf.shape(features), seed)
    return features + noise, labels


def memory_split(num=23):
    features = np.arange(num, dtype=np.float32)[:, None]
    return MemorySplit(features, np.arange(num))


def files_split(num=23):
    """Records that can be read in any order, as those of a folder."""

    def records(key):
        order = tf.range(num, dtype=tf.int64)
        if key is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed=key)
        return tf.data.Dataset.from_tensor_slices(order)

    def parse(row):
        return tf.cast(row, tf.float32)[None], row

    return splits.StreamSplit(num, (1,), records, parse, lambda index: index)


def batches(make, split, step, replica, **more):
    found = make(
        split, 4, seed=0, position=pipelines.Position(1, step), transform=noisy,
        replica=replica, **more,
    )  # fmt: skip
    rows = [
        tuple(np.asarray(part).tobytes() for part in batch)
        for batch in found.as_numpy_iterator()
    ]
    assert len(rows) == int(found.cardinality())
    return rows


@pytest.mark.parametrize("replica", [Replica(), Replica(0, 2), Replica(1, 2)])
@pytest.mark.parametrize("split", [memory_split(), files_split()])
def test_the_service_gives_the_same_batches(address, split, replica) -> None:
    for step in (0, 2):
        expected = batches(pipelines.for_training, split, step, replica)
        found = batches(
            data_service.for_training, split, step, replica, address=address
        )
        assert sorted(found) == sorted(expected)
        assert len(set(found)) == len(expected)


def test_a_stream_without_places_is_refused(address) -> None:
    stream = splits.StreamSplit(
        2, (1,), lambda key: tf.data.Dataset.range(2), lambda row: (row, row)
    )
    with pytest.raises(InputError, match="not a stream of TFRecords"):
        data_service.check(address, stream)
    data_service.check(address, memory_split())


def test_a_wrong_address_is_one_clear_line() -> None:
    for wrong in ("localhost:1", "grpc://localhost", "http://localhost:1"):
        with pytest.raises(InputError, match="must be grpc://host:port"):
            data_service.check(wrong, memory_split())
    with pytest.raises(InputError, match="does not answer"):
        data_service.check("grpc://localhost:1", memory_split())


def test_the_program_refuses_what_it_cannot_use() -> None:
    with pytest.raises(InputError, match="must be host:port"):
        program.Config(dispatcher="nowhere")
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match="--port must be free"):
            program.serve(program.Config(port=port))
