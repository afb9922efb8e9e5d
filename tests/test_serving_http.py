"""HTTP requests as their bytes arrive: whole, in pieces, broken, hostile."""

import tracemalloc

import pytest

from common.serving.http_requests import Phase, Reader

MOST = 1000
HEAD = "POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"


def read(text: str, piece: int = 0) -> Reader:
    """Feeds a connection's bytes, in pieces of some size."""
    reader, data = Reader(MOST), text.encode("utf-8")
    step = piece or max(len(data), 1)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    return reader


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_requests_in_pieces_of_any_size(piece) -> None:
    reader = read(
        CHUNKED
        + "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-After: 1\r\n\r\n"
        + "GET /y?z=1 HTTP/1.1\r\nCONTENT-encoding: a\r\nA: c\r\n"
        + "Content-Encoding: b\r\n\r\n"
        + HEAD
        + "Content-Length: 3\r\n\r\nab",
        piece,
    )
    first, second = reader.ready
    assert (first.method, first.path, first.body) == ("POST", "/x", b"abcde")
    assert "x-after" not in first.headers and first.keep_alive
    assert (second.method, second.path) == ("GET", "/y?z=1")
    assert (second.headers, second.body) == ({"content-encoding": "a, b"}, b"")
    assert reader.phase is Phase.BODY and reader.refused is None


def test_what_of_a_request_has_arrived() -> None:
    assert read("").phase is Phase.NOTHING
    assert read("\r\n").phase is Phase.HEAD
    assert read("PO").phase is Phase.HEAD
    assert read(HEAD).phase is Phase.HEAD
    assert read(HEAD + "Content-Length: 1\r\n\r\n").phase is Phase.BODY
    assert read(HEAD + "Content-Length: 1\r\n\r\na").phase is Phase.NOTHING


@pytest.mark.parametrize(
    ("text", "keep_alive"),
    [
        ("GET / HTTP/1.1\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        ("GET / HTTP/1.0\r\n\r\n", False),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        # Another protocol would follow this request.
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
         False),
    ],
)  # fmt: skip
def test_whether_a_connection_stays(text, keep_alive) -> None:
    reader = read(text)
    assert reader.refused is None
    assert [request.keep_alive for request in reader.ready] == [keep_alive]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("GARBAGE\r\n\r\n", 400),
        ("\x16\x03\x01\x02", 400),  # TLS.
        ("GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/3.7\r\n\r\n", 400),
        (HEAD + "Content-Length: -5\r\n\r\n", 400),
        (HEAD + "Content-Length: x\r\n\r\n", 400),
        (HEAD + "Content-Length: \r\n\r\n", 400),
        (HEAD + "Content-Length: ²\r\n\r\n", 400),
        (HEAD + "Content-Length: 1, 1\r\n\r\n", 400),
        (HEAD + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
        (HEAD + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400),
        (HEAD + "Transfer-Encoding: chunked, br\r\n\r\n", 400),
        (HEAD + "Transfer-Encoding: br\r\n\r\n", 400),
        (CHUNKED + "x\r\n", 400),
        (CHUNKED + "1\r\nab\r\n", 400),
        (CHUNKED + "-1\r\n", 400),
        (CHUNKED + "f" * 17 + "\r\n", 400),
        (HEAD + "Expect: the best\r\n\r\n", 417),
        (HEAD + f"Content-Length: {MOST + 1}\r\n\r\n", 413),
        (HEAD + f"Content-Length: {10**15}\r\n\r\n", 413),
        (CHUNKED + "3e9\r\n" + "a" * 1001, 413),
        ("GET /" + "a" * 70_000, 414),
        ("GET / HTTP/1.1\r\n" + "A: b\r\n" * 101 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nA: " + "b" * 140_000, 431),
        ("GET / HTTP/1.1\r\n" + "A" * 140_000, 431),
        (CHUNKED + "1;" + "a" * 200_000, 431),
        (CHUNKED + "0\r\n" + "A: b\r\n" * 101, 431),
        (CHUNKED + "0\r\nA: " + "b" * 140_000, 431),
        ("\r\n" * 70_000, 431),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, str) else None,
)  # fmt: skip
@pytest.mark.parametrize("piece", [0, 1021])
def test_what_is_refused(text, code, piece) -> None:
    reader = read(text, piece)
    assert reader.refused is not None and reader.refused.code == code
    assert not reader.ready


def test_nothing_behind_a_refused_request_is_read() -> None:
    body = "a" * (MOST + 1)
    head = f"{HEAD}Content-Length: {len(body)}\r\n\r\n"
    reader = read(head + body[:400] + "", 100)
    assert reader.refused.code == 413
    reader.feed(body[400:].encode() + b"GET / HTTP/1.1\r\n\r\n")
    assert not reader.ready


def test_a_client_may_wait_before_it_sends_a_body() -> None:
    head = HEAD + "Expect: 100-Continue\r\nContent-Length: {}\r\n\r\n"
    reader = read(head.format(2))
    assert reader.wants_to_continue() and not reader.wants_to_continue()
    assert not read(head.format(2) + "ab").wants_to_continue()
    assert not read(head.format(2).replace("1.1", "1.0")).wants_to_continue()
    reader = read(head.format(MOST + 1))
    assert not reader.wants_to_continue()
    assert reader.refused.code == 413


def test_another_protocol_behind_a_refused_request_is_refused_too() -> None:
    reader = read(
        "GET / HTTP/1.1\r\nExpect: the best\r\n"
        "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    assert reader.refused.code == 417 and not reader.ready


def test_small_chunks_take_no_more_memory_than_their_bytes() -> None:
    size = 200_000
    reader = Reader(size)
    chunks = b"2\r\nab\r\n" * (size // 2)
    tracemalloc.start()
    try:
        reader.feed(CHUNKED.encode() + chunks)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * size
    reader.feed(b"0\r\n\r\n")
    assert reader.ready[0].body == b"ab" * (size // 2)
