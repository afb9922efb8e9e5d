"""TFDS sets on machines that cannot download them."""

import http.server
import socket
import threading
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from common.data import downloads, tfds_sets
from common.options import InputError

FILE = "cifar-10-binary.tar.gz"


@pytest.fixture
def closed(monkeypatch) -> None:
    """Sends every request to a proxy that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")


@pytest.mark.usefixtures("closed")
def test_a_set_that_cannot_be_downloaded_says_what_to_place_where(
    tmp_path: Path,
) -> None:
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        tfds_sets.builder("cifar10", str(tmp_path))
    assert time.monotonic() - start < 20
    text = str(error.value)
    assert "www.cs.toronto.edu cannot be reached" in text
    assert f"a prepared copy in {tmp_path}/cifar10/3.0.2" in text
    assert f"{FILE} in {tmp_path}/downloads/manual." in text
    assert "\n" not in text and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("closed")
def test_files_that_are_in_place_need_no_network(tmp_path: Path) -> None:
    dataset = tfds.builder("cifar10", data_dir=tmp_path)
    with pytest.raises(InputError, match="cannot be reached"):
        downloads.check(dataset)
    file = tmp_path / "downloads" / "manual" / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    downloads.check(dataset)


@pytest.mark.usefixtures("closed")
def test_a_prepared_set_needs_no_network(tmp_path: Path) -> None:
    dataset = tfds.builder("cifar10", data_dir=tmp_path)
    dataset.data_path.mkdir(parents=True)
    downloads.check(dataset)


def test_a_host_that_never_answers_is_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.zip"
        start = time.monotonic()
        assert not downloads.any_answers([url])
        assert time.monotonic() - start < 5


def test_a_host_that_refuses_a_request_can_be_reached() -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *args) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x.zip"
        assert downloads.any_answers(["http://127.0.0.1:1/y.zip", url])
    finally:
        server.shutdown()
        server.server_close()
