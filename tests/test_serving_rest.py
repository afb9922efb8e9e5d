"""The embedded server's REST half over real sockets; hostile input."""

import base64
import contextlib
import gzip
import http.client
import json
import socket
import time

import numpy as np
import pytest
import serving_models
from serving_models import HOST, X, ask, predict

from common.serving import embedded, http_connection, http_server, rest


def test_a_version_a_label_or_the_newest_answers(toy_server) -> None:
    for model, version in [
        ("toy", 2),
        ("toy/versions/1", 1),
        ("toy/versions/2", 2),
        ("toy/labels/stable", 1),
    ]:
        status, answer = predict(toy_server, X, model)
        assert status == 200
        assert answer["predictions"] == [
            {"y": 12.0, "version": version},
            {"y": 31.0, "version": version},
        ]


def test_columns_strings_and_bytes(toy_server) -> None:
    inputs = {
        "user_id": [7],
        "words": [["héllo", {"b64": "d29ybGQ="}]],
        "loud": [False],
    }
    body = {"signature_name": "text", "inputs": inputs}
    assert predict(toy_server, body)[1]["outputs"] == {
        "text": ["héllo world"],
        "raw_bytes": [{"b64": "aMOpbGxvIHdvcmxk"}],
        "length": [12],
        "twice": [14],
    }


def test_status_and_metadata(toy_server) -> None:
    status, answer = ask(toy_server, "GET", "/v1/models/toy")
    assert status == 200
    ok = {"error_code": "OK", "error_message": ""}
    assert answer["model_version_status"] == [
        {"version": "2", "state": "AVAILABLE", "status": ok},
        {"version": "1", "state": "AVAILABLE", "status": ok},
    ]
    _, answer = ask(toy_server, "GET", "/v1/models/toy/labels/stable")
    assert [row["version"] for row in answer["model_version_status"]] == ["1"]
    _, answer = ask(toy_server, "GET", "/v1/models/toy/versions/1/metadata")
    assert answer["model_spec"]["name"] == "toy"
    assert answer["model_spec"]["version"] == "1"
    signature = answer["metadata"]["signature_def"]["signature_def"]["text"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    words = signature["inputs"]["words"]
    assert words["dtype"] == "DT_STRING"
    assert [row["size"] for row in words["tensor_shape"]["dim"]] == ["-1", "-1"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "nope:predict", X, 404,
         "No version of model nope is served"),
        ("POST", "toy/versions/7:predict", X, 404,
         "Version 7 of model toy is not served"),
        ("POST", "toy/labels/nope:predict", X, 400,
         "Model toy has no label nope"),
        ("POST", "toy:predict", {"signature_name": "nope", **X}, 400,
         "has no signature 'nope'"),
        ("POST", "toy:predict", b"{", 400, "The body must be JSON"),
        ("POST", "toy:predict", {"instances": [["a", 1, 2]]}, 400,
         '"a" is no value of type float32'),
        ("POST", "toy:predict", {"instances": [[1, 2]]}, 400,
         "Input x must have shape [-1, 3]; received [1, 2]"),
        ("POST", "toy:predict", {"instances": [1, 2]}, 400, "shape"),
        ("POST", "toy:predict", {"inputs": {"z": [1]}}, 400,
         "'inputs' must have the input x"),
        ("POST", "toy:predict", {}, 400, "must have 'instances' or 'inputs'"),
        ("POST", "toy:classify", {}, 400, ":classify needs a signature of"),
        ("POST", "toy:explain", {}, 400, "The API has no POST"),
        ("GET", "toy:predict", b"", 400, "The API has no GET"),
        ("GET", "nope", b"", 404, "No version of model nope is served"),
        ("GET", "toy/versions/7", b"", 404,
         "Version 7 of model toy is not served"),
        ("GET", "nope/metadata", b"", 404, "No version of model nope"),
        ("POST", "toy:Regress", {}, 400, ":Regress needs a signature of"),
        ("POST", "toy:predict?x=1", X, 400, "The API has no POST"),
        ("GET", "toy?x=1", b"", 404, "No version of model toy?x=1"),
        ("PUT", "toy", b"", 400, "The API has no PUT"),
        ("DELETE", "toy:predict", b"", 400, "The API has no DELETE"),
        ("OPTIONS", "toy:predict", b"", 400, "The API has no OPTIONS"),
        ("GET", "../../etc/passwd", b"", 400, "The API has no GET"),
    ],
)  # fmt: skip
def test_errors_have_tf_servings_statuses(
    toy_server, method, path, body, status, words
):
    answer = ask(toy_server, method, f"/v1/models/{path}", body)
    assert answer[0] == status
    assert list(answer[1]) == ["error"] and words in answer[1]["error"]


def test_a_truncated_image_is_the_clients_fault(toy_server) -> None:
    image = serving_models.EXAMPLES["image"]["image"][1]
    for content, status in ((image, 200), (image[:40], 400)):
        body = {"signature_name": "image", "inputs": [b64(content)]}
        answer = predict(toy_server, body)
        assert answer[0] == status, answer
    assert answer[1]["error"].startswith("Invalid PNG")
    assert "\n" not in answer[1]["error"] and "{{" not in answer[1]["error"]


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_a_body_of_50_mb_is_refused_and_the_next_answered(toy_server) -> None:
    status, answer = predict(toy_server, b"0" * 50_000_000)
    assert status == 413 and "at most 4194304" in answer["error"]
    assert predict(toy_server, X)[0] == 200
    status, _ = ask(
        toy_server, "POST", "/v1/models/toy:predict", b"0" * 50_000_000,
        {"Expect": "100-continue"},
    )  # fmt: skip
    assert status == 413


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
         b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
         b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\n"
         b"Transfer-Encoding: chunked, br\r\n\r\n", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: 2\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n{}", b"400"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: 2\r\n"
         b"Expect: the best\r\n\r\n{}", b"417"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", b"404"),
    ],
)  # fmt: skip
def test_broken_http_gets_a_json_error(toy_server, content, status) -> None:
    with socket.create_connection(
        (HOST, toy_server.rest_port), 10
    ) as connection:
        connection.sendall(content)
        head, _, body = connection.makefile("rb").read(4096).partition(
            b"\r\n\r\n"
        ) if status != b"404" else first_answer(connection)  # fmt: skip
    if content != b"GARBAGE\r\n\r\n":  # HTTP/0.9 has no head.
        assert head.split()[1] == status
        assert b'{"error": ' in body
    assert predict(toy_server, X)[0] == 200


def first_answer(connection: socket.socket):
    time.sleep(0.2)
    return connection.recv(4096).partition(b"\r\n\r\n")


def test_a_client_that_leaves_harms_nobody(toy_server, capfd) -> None:
    for content in (
        b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: 900\r\n\r\n{",
        b"POST /v1/mod",
        b"",
    ):
        with socket.create_connection(
            (HOST, toy_server.rest_port)
        ) as connection:
            connection.sendall(content)
    assert predict(toy_server, X)[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_thousand_fuzzed_bodies_get_errors_or_answers(
    toy_server, capfd
) -> None:
    random = np.random.default_rng(0)
    good = json.dumps(X).encode()
    words = [
        b"{", b"}", b"[", b"]", b'"instances"', b'"b64"', b":", b",", b"1e999",
        b"null", b"-", b"\\u0000", b"\xff", b"NaN", b'"', b"true", b"9" * 30,
    ]  # fmt: skip
    connection = http.client.HTTPConnection(
        HOST, toy_server.rest_port, timeout=30
    )
    statuses = set()
    for index in range(1000):
        body = bytearray(good)
        for _ in range(random.integers(1, 6)):
            start = int(random.integers(0, len(body) + 1))
            cut = int(random.integers(0, 4))
            body[start : start + cut] = words[random.integers(len(words))]
        if index % 10 == 0:
            body = bytearray(random.bytes(int(random.integers(0, 300))))
        connection.request("POST", "/v1/models/toy:predict", bytes(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
        statuses.add(response.status)
        assert response.status in (200, 400), body
        if response.status == 400:
            assert list(answer) == ["error"]
            assert "Traceback" not in answer["error"]
    assert 400 in statuses
    assert predict(toy_server, X)[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_path_has_no_case(toy_server) -> None:
    assert ask(toy_server, "POST", "/V1/Models/toy:PREDICT", X)[0] == 200
    assert ask(toy_server, "GET", "/v1/MODELS/toy")[0] == 200
    assert ask(toy_server, "GET", "/v1/models/TOY")[0] == 404


def test_a_single_string_is_a_tensor_of_rank_0(toy_server) -> None:
    for sent, answered in (({"b64": "YQ=="}, "a"), ("b", "b")):
        body = {"signature_name": "single", "inputs": {"word": sent}}
        status, answer = predict(toy_server, body)
        assert (status, answer) == (200, {"outputs": answered})


def packed(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode(), mtime=0)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (packed(X), 200),
        (packed(X)[:-4], 400),
        (packed(X) + b"more", 400),
        (b"{}", 400),
        (gzip.compress(b" " * 5_000_000, mtime=0), 413),
    ],
    # The workers of pytest-xdist must name the cases alike: no bytes in a name.
    ids=["packed", "cut short", "followed by more", "not packed", "too large"],
)
def test_a_body_may_be_packed(toy_server, content, status) -> None:
    head = {"Content-Encoding": "gzip"}
    path = "/v1/models/toy:predict"
    assert ask(toy_server, "POST", path, content, head)[0] == status
    head = {"Content-Encoding": "br"}
    assert ask(toy_server, "POST", path, content, head)[0] == 415


def test_a_body_may_come_in_chunks(toy_server) -> None:
    body = json.dumps(X).encode()

    def sent(chunks) -> int:
        connection = http.client.HTTPConnection(HOST, toy_server.rest_port)
        connection.request(
            "POST", "/v1/models/toy:predict", chunks, encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )  # fmt: skip
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    assert sent(iter([body[:7], body[7:8], body[8:]])) == 200
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert sent(iter([b" " * 3_000_000] * 2)) == 413
    assert predict(toy_server, X)[0] == 200


def test_head_has_no_body(toy_server) -> None:
    connection = http.client.HTTPConnection(HOST, toy_server.rest_port)
    for path, status in (("/v1/models/toy", 400), ("/elsewhere", 404)):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert response.status == status and response.read() == b""
    connection.close()


def test_a_page_may_ask_where_that_is_allowed(toy_server) -> None:
    def asked(server, method, body=None):
        connection = http.client.HTTPConnection(HOST, server.rest_port)
        connection.request(method, "/v1/models/toy:predict", body)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response

    body = json.dumps(X)
    origin = "Access-Control-Allow-Origin"
    assert origin not in asked(toy_server, "POST", body).headers
    with embedded.serving(
        toy_server.export_dir, cors=True, tell=lambda line: None
    ) as server:
        answer = asked(server, "POST", body)
        assert (answer.status, answer.headers[origin]) == (200, "*")
        answer = asked(server, "OPTIONS")
        assert (answer.status, answer.headers[origin]) == (200, "*")
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_slow_clients_do_not_keep_others_out(toy_server, monkeypatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_SECONDS", 1)
    monkeypatch.setattr(http_connection, "BODY_SECONDS", 1)
    monkeypatch.setattr(http_server, "MOST_OF_AN_ADDRESS", 4)
    address = HOST, toy_server.rest_port
    slow = [
        socket.create_connection(address, 10, ("127.0.0.2", 0))
        for _ in range(4)
    ]
    head = b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: 90\r\n"
    for connection in slow[:2]:
        connection.sendall(head)
    for connection in slow[2:]:
        connection.sendall(head + b"\r\n{")
    with socket.create_connection(address, 10, ("127.0.0.2", 0)) as more:
        assert b"503" in more.recv(4096).splitlines()[0]
    assert predict(toy_server, X)[0] == 200
    answers = [connection.makefile("rb").read() for connection in slow]
    assert answers[:2] == [b"", b""]
    assert all(b" 408 " in answer.splitlines()[0] for answer in answers[2:])
    for connection in slow:
        connection.close()


def test_a_superscript_is_no_version() -> None:
    assert not rest.ASK.fullmatch("/v1/models/a/versions/\u0661:predict")
