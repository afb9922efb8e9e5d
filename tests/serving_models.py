"""Tiny SavedModels with every kind of input, and REST requests to them."""

import http.client
import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.release import models_config, warmup


class Toy(tf.Module):
    """Answers with its own version, which tests can check."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(version, trainable=False, dtype=tf.int64)
        self.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
    def number(self, x):
        size = tf.shape(x)[:1]
        return {
            "y": tf.reduce_sum(x, axis=1) * self.scale,
            "version": tf.fill(size, self.version),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int64, "user_id"),
            tf.TensorSpec((None, None), tf.string, "words"),
            tf.TensorSpec((None,), tf.bool, "loud"),
        ]
    )
    def text(self, user_id, words, loud):
        joined = tf.strings.reduce_join(words, axis=1, separator=" ")
        return {
            "text": tf.where(loud, tf.strings.upper(joined), joined),
            "raw_bytes": joined,
            "length": tf.strings.length(joined),
            "twice": user_id * 2,
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image")])
    def image(self, image):
        def mean(content):
            pixels = tf.io.decode_png(content, channels=1)
            return tf.reduce_mean(tf.cast(pixels, tf.float32))

        return {"mean": tf.map_fn(mean, image, fn_output_signature=tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, "word")])
    def single(self, word):
        return {"same": tf.identity(word)}


HOST = "127.0.0.1"
LIMIT = 4 << 20  # The largest request of the fixture `toy_server`.
X = {"instances": [[1, 2, 3], [4, 5, 6.5]]}
EXAMPLES = {
    "serving_default": {"x": np.arange(12, dtype=np.float32).reshape(4, 3)},
    "text": {
        "user_id": np.array([1, 2**40], np.int64),
        "words": np.array([[b"a", b"b"], [b"\xc3\xa9", b""]], object),
        "loud": np.array([True, False]),
    },
    "image": {
        "image": np.array(
            [
                tf.io.encode_png(np.full((4, 4, 1), 7 * i, np.uint8)).numpy()
                for i in range(3)
            ],
            object,
        )
    },
}


def release(export_dir: Path, app: str, version: int) -> Path:
    """Writes a release as an export does, and lists it in models.config."""
    root = export_dir / app
    root.mkdir(parents=True, exist_ok=True)
    partial = root / f".partial-{os.getpid()}-x"
    toy = Toy(version)
    signatures = {
        "serving_default": toy.number,
        "text": toy.text,
        "image": toy.image,
        "single": toy.single,
    }
    tf.saved_model.save(toy, partial, signatures=signatures)
    loaded = tf.saved_model.load(partial)

    def answer(name, inputs):
        feed = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**feed)
        return {key: value.numpy() for key, value in outputs.items()}

    warmup.write(partial, app, EXAMPLES, answer)
    path = partial.rename(root / str(version))
    models_config.add(export_dir, app, version)
    return path


def ask(server, method: str, path: str, body: object = b"", head=None):
    """Sends a request; returns the status and the JSON of the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(HOST, server.rest_port, timeout=30)
    connection.request(method, path, content, head or {})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.headers["Content-Type"] == "application/json"
    connection.close()
    return response.status, answer


def predict(server, body: object, model: str = "toy"):
    return ask(server, "POST", f"/v1/models/{model}:predict", body)
