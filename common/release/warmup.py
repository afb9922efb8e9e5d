"""Warm-up: recorded requests in a release, with their answers.

TF Serving replays `assets.extra/tf_serving_warmup_requests` before clients can
use a version, so that no client waits for TensorFlow's work at the first call.
`apps.releases verify` compares the answers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from . import json_tensors, tensor_protos
from .models_config import EXAMPLE, EXTRA

FILE = "tf_serving_warmup_requests"
DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# TF Serving refuses a file with more than 1,000; loading should stay quick.
MOST_RECORDS = 100
Arrays = Mapping[str, np.ndarray]


def write(
    directory: Path,
    app: str,
    examples: Mapping[str, Arrays],
    answer: Callable[[str, Arrays], Arrays],
) -> int:
    """Writes requests and answers of all signatures, and reads them back.

    The first request of a signature holds all rows of its example; each further
    request holds a single row, until the signature's share of `MOST_RECORDS` is
    used up. The REST body of a request with the first row is written beside
    them, for `curl -d @example.json`.

    Args:
        directory: The partial release.
        app: The model's name.
        examples: Inputs by signature, then by name.
        answer: Maps a signature's name and inputs to the saved model's outputs.

    Returns:
        The number of records.

    Raises:
        RuntimeError: If the file does not read back as it was written.
    """
    folder = directory / EXTRA
    folder.mkdir(exist_ok=True)
    share = MOST_RECORDS // len(examples)
    logs = []
    for signature, inputs in examples.items():
        for part in _parts(inputs, share):
            logs.append(_log(app, signature, part, answer(signature, part)))
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    if list(read(directory)) != logs:
        raise RuntimeError(f"{FILE} does not read back as it was written.")
    row = {name: value[:1] for name, value in examples[DEFAULT].items()}
    (folder / EXAMPLE).write_bytes(json_tensors.request(row, rows=True) + b"\n")
    return len(logs)


def read(release: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    """Yields a release's records; nothing if it has no such file."""
    path = release / EXTRA / FILE
    if path.is_file():
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)


def example(release: Path) -> dict[str, Any] | None:
    """Returns the example REST body of a release; None if it has none."""
    path = release / EXTRA / EXAMPLE
    return json.loads(path.read_bytes()) if path.is_file() else None


def _parts(inputs: Arrays, most: int) -> Iterator[Arrays]:
    """Yields all rows at once, then each row alone; at most `most` parts."""
    yield inputs
    num_rows = len(next(iter(inputs.values())))
    for row in range(min(num_rows, most - 1)):
        yield {name: value[row : row + 1] for name, value in inputs.items()}


def _log(
    app: str, signature: str, inputs: Arrays, outputs: Arrays
) -> prediction_log_pb2.PredictionLog:
    """Returns a request with its answer."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = app
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tensor_protos.proto(value))
    for name, value in outputs.items():
        log.predict_log.response.outputs[name].CopyFrom(
            tensor_protos.proto(value)
        )
    return log
