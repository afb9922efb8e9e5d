"""`--server` gives the answers of a local release, or an error of one line."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import serving_models
import tensorflow as tf
from serving_models import HOST

from common.options import InputError
from common.release import export, served
from common.serving import embedded
from common.shared_options import Options


@pytest.mark.parametrize("suffix", ["", "/versions/1", "/labels/stable"])
@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_remote_release_answers_as_a_local_one(
    toy_server, kind, suffix
) -> None:
    port = toy_server.rest_port if kind == "http" else toy_server.grpc_port
    options = Options(
        mode="predict", server=f"{kind}://{HOST}:{port}{suffix}",
        export_dir=str(toy_server.export_dir),
    )  # fmt: skip
    remote = served.connect(options, "toy")
    version = "1" if suffix else "2"
    local = served.connect(
        options.replace(
            server="", release=str(toy_server.export_dir / "toy" / version)
        ),
        "toy",
    )
    assert remote.release == local.release
    assert remote.has_files and local.has_files
    assert remote.version == int(version)
    for signature, inputs in serving_models.EXAMPLES.items():
        assert remote.inputs(signature) == local.inputs(signature)
        expected = local(signature, **inputs)
        outputs = remote(signature, **inputs)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            assert outputs[name].dtype == value.dtype
            np.testing.assert_array_equal(outputs[name], value)
    text = remote(
        "text", user_id=[1, 2], words=[["a", "b"], [b"\xff", ""]],
        loud=[True, False],
    )  # fmt: skip
    assert text["raw_bytes"].tolist() == [b"a b", b"\xff "]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8501", "must be http://host:port"),
        ("http://localhost", "must be http://host:port"),
        ("http://{host}:1", "Connection refused"),
        ("grpc://{host}:1", "UNAVAILABLE"),
        ("http://{host}:{rest}/labels/nope", "has no label nope"),
        ("grpc://{host}:{grpc}/versions/9", "Version 9 of"),
        ("http://{host}:{grpc}", "must serve toy"),
    ],
)
def test_a_server_that_cannot_answer_is_one_line(
    toy_server, url, words
) -> None:
    text = url.format(
        host=HOST, rest=toy_server.rest_port, grpc=toy_server.grpc_port
    )
    with pytest.raises(InputError, match="--server") as caught:
        served.connect(Options(mode="predict", server=text), "toy")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="needs --mode=predict"):
        Options(server=text)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"model_spec": 1}', b"no"])
def test_another_server_is_one_line(status, body) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    with http.server.HTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://{HOST}:{server.server_address[1]}"
        with pytest.raises(InputError, match="must serve toy"):
            served.connect(Options(mode="predict", server=url), "toy")
        thread.join()


def test_a_refused_prediction_is_one_line(toy_server) -> None:
    url = f"http://{HOST}:{toy_server.rest_port}"
    remote = served.connect(Options(mode="predict", server=url), "toy")
    with pytest.raises(InputError, match="status 400, Input x must"):
        remote(x=[[1.0]])
    with pytest.raises(InputError, match="with the signature nope"):
        remote("nope", x=[[1.0]])


def test_files_of_a_release_that_is_elsewhere(toy_server, tmp_path) -> None:
    options = Options(
        mode="predict", export_dir=str(tmp_path),
        server=f"grpc://{HOST}:{toy_server.grpc_port}",
    )  # fmt: skip
    client = served.connect(options, "toy")
    assert not client.has_files
    with pytest.raises(InputError, match="toy/2: pass a copy by --release"):
        _ = client.release
    copy = toy_server.export_dir / "toy" / "1"
    client = served.connect(options.replace(release=str(copy)), "toy")
    assert client.release == copy


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> Iterator[tuple[embedded.Embedded, Path]]:
    """Yields a server, and the directory of another release 1 of the app."""
    x = keras.Input((3,), name="x")
    model = keras.Model(x, keras.layers.Dense(1)(x))
    signature = export.Signature(
        lambda x: {"y": model(x)},
        (tf.TensorSpec((None, 3), tf.float32, "x"),),
        (np.ones((1, 3), np.float32),),
    )
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    for root in (here, there):
        with export.release(root, "app") as draft:
            export.save(draft.directory, model, {"serving_default": signature})
    with embedded.serving(there, tell=lambda line: None) as server:
        server.export_dir = there
        yield server, here


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_another_release_of_the_same_number_is_refused(twins, kind) -> None:
    server, here = twins
    port = server.rest_port if kind == "http" else server.grpc_port
    options = Options(
        mode="predict", server=f"{kind}://{HOST}:{port}",
        export_dir=str(server.export_dir),
    )  # fmt: skip
    client = served.connect(options, "app")
    assert client.release == server.export_dir / "app" / "1"
    assert client(x=[[1.0, 2.0, 3.0]])["y"].shape == (1, 1)
    for other in (
        options.replace(export_dir=str(here)),
        options.replace(release=str(here / "app" / "1")),
    ):
        with pytest.raises(InputError, match="serves another app/1") as caught:
            served.connect(other, "app")
        assert "\n" not in str(caught.value)
