"""The process: its command line, its ports, its limits, its end."""

import concurrent.futures
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import serving_models
from serving_models import X, predict

from common.options import InputError
from common.serving import embedded

ROOT = Path(__file__).resolve().parents[1]


def test_a_taken_port_is_one_line(toy_server) -> None:
    for name in ("rest_port", "grpc_port"):
        port = getattr(toy_server, name)
        with pytest.raises(InputError, match=f"--{name} must be free"):
            embedded.Embedded(toy_server.export_dir, **{name: port})


def test_workers_limit_the_requests_computed_at_a_time(
    tmp_path, monkeypatch
) -> None:
    serving_models.release(tmp_path, "toy", 1)
    now, most = [], []
    with embedded.serving(
        tmp_path, workers=2, tell=lambda line: None
    ) as server:
        model = server.models._models["toy"][1]
        real = model.predict

        def slow(*args):
            now.append(1)
            most.append(len(now))
            time.sleep(0.05)
            now.pop()
            return real(*args)

        monkeypatch.setattr(model, "predict", slow)
        threads = [
            threading.Thread(target=predict, args=(server, X)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(most) == 2 and len(most) == 8


def test_received_requests_are_answered_before_the_end(
    tmp_path, monkeypatch
) -> None:
    serving_models.release(tmp_path, "toy", 1)
    server = embedded.Embedded(tmp_path, tell=lambda line: None)
    model = server.models._models["toy"][1]
    real, begun = model.predict, threading.Event()

    def slow(*args):
        begun.set()
        time.sleep(0.5)
        return real(*args)

    monkeypatch.setattr(model, "predict", slow)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(predict, server, X)
        begun.wait(10)
        server.stop()
        assert answer.result()[0] == 200
    with pytest.raises(ConnectionRefusedError):
        predict(server, X)


def test_open_connections_end_with_the_server(
    tmp_path, monkeypatch, capfd
) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    serving_models.release(tmp_path, "toy", 1)
    server = embedded.Embedded(tmp_path, tell=lambda line: None)
    address = serving_models.HOST, server.rest_port
    contents = (
        b"",
        b"POST /v1",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    )
    opened = [socket.create_connection(address, 10) for _ in contents]
    for connection, content in zip(opened, contents, strict=True):
        connection.sendall(content)
    assert predict(server, X)[0] == 200
    server.stop()
    for connection in opened:
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        connection.close()
    output = "".join(capfd.readouterr())
    assert "Exception" not in output and "Traceback" not in output


def test_the_command_serves_and_ends_cleanly(
    toy_server, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.serve", "--engine=embedded",
         f"--export_dir={toy_server.export_dir}", "--rest_port=0",
         "--grpc_port=0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("try"):
            break
    assert lines[0] == "engine: embedded (asked for)"
    assert "production is TF Serving" in lines[1]
    words = lines[-1].split()
    assert words[:2] == ["try", "curl"] and words[2:3] == ["-d"]
    body = Path(words[3].removeprefix("@")).read_bytes()
    with urllib.request.urlopen(words[4], body) as response:
        assert json.load(response)["predictions"][0]["version"] == 2
    process.terminate()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.strip().endswith("stopped") and errors == ""
