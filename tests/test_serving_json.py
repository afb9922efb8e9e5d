"""TF Serving's JSON, value by value."""

import json

import numpy as np
import pytest

from common.release import json_tensors
from common.release.json_values import JsonError, array

DTYPES = {"x": np.dtype(np.float32), "name": np.dtype(object)}
ONLY_X = {"x": np.dtype(np.float32)}


def parse(body: object, dtypes: dict = DTYPES):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json_tensors.parse(content, lambda signature: dtypes)


def test_rows_and_columns_give_the_same() -> None:
    numbers, names = [[1, 2], [3, 4.5]], ["a", {"b64": "/w=="}]
    lines = zip(numbers, names, strict=True)
    rows = {"instances": [{"x": x, "name": name} for x, name in lines]}
    # base64 may go without its padding.
    columns = {"inputs": {"x": numbers, "name": ["a", {"b64": "/w"}]}}
    for body, in_rows in ((rows, True), (columns, False)):
        signature, has_rows, inputs = parse(body)
        assert (signature, has_rows) == ("", in_rows)
        np.testing.assert_array_equal(inputs["x"], [[1, 2], [3, 4.5]])
        assert inputs["x"].dtype == np.float32
        assert inputs["name"].tolist() == [b"a", b"\xff"]


def test_one_input_may_go_without_its_name() -> None:
    for body in ({"instances": [[1], [2]]}, {"inputs": [[1], [2]]}):
        assert parse(body, ONLY_X)[2]["x"].tolist() == [[1], [2]]
    request = parse(
        {"inputs": {"b64": "YQ=="}, "signature_name": "s"},
        {"name": np.dtype(object)},
    )
    assert request[0] == "s" and request[2]["name"].tolist() == b"a"


def test_infinity_and_nan_are_numbers() -> None:
    values = parse(b'{"inputs": [NaN, Infinity, -Infinity]}', ONLY_X)[2]["x"]
    np.testing.assert_array_equal(values, [np.nan, np.inf, -np.inf])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"instances": ' + b"9" * 9000 + b"}", "must be JSON"),
        (b"[1]", "must be a JSON object"),
        ({}, "must have 'instances' or 'inputs'"),
        ({"instances": [1], "inputs": 1}, "received both"),
        ({"signature_name": 3, "inputs": 1}, "must be a string"),
        ({"instances": {}}, "must be a list"),
        ({"instances": []}, "at least one row"),
        ({"instances": [[1]]}, "must be an object of name, x"),
        ({"instances": [{"x": 1}]}, "Row 0 of"),
        ({"instances": [{"x": 1, "name": "a"}, 3]}, "Row 1 of"),
        ({"inputs": [1]}, "must be an object of name, x"),
        ({"inputs": {"x": [1]}}, "must have the input name"),
        ({"inputs": {"x": [True], "name": ["a"]}}, "no value of type float32"),
        ({"inputs": {"x": ["1"], "name": ["a"]}}, "no value of type float32"),
        ({"inputs": {"x": [None], "name": ["a"]}}, "no value of type float32"),
        ({"inputs": {"x": [1, [2]], "name": ["a"]}}, "where a value must"),
        ({"inputs": {"x": [[1], 2], "name": ["a"]}}, "where a list must"),
        ({"inputs": {"x": [[1], [1, 2]], "name": ["a"]}}, "one length"),
        ({"inputs": {"x": [1], "name": [1]}}, "no value of type string"),
        ({"inputs": {"x": [1], "name": [{"b64": "é"}]}}, "not in base64"),
        ({"inputs": {"x": [1], "name": [{"a": ""}]}}, "of type string"),
        ({"inputs": {"x": [1], "name": ["\ud800"]}}, "written in UTF-8"),
        ({"inputs": {"x": [10**400], "name": [""]}}, "beyond the range"),
        (b'{"inputs": {"x": [1e400], "name": [""]}}', "beyond the range"),
        (b'{"inputs": {"x": [Infinity, -1e400], "name": ["", ""]}}', "beyond"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_one_line(body, words) -> None:
    with pytest.raises(JsonError, match=words.replace("[", r"\[")) as caught:
        parse(body)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("value", "dtype", "fits"),
    [
        (255, np.uint8, True), (256, np.uint8, False), (-1, np.uint8, False),
        (2**63 - 1, np.int64, True), (2**63, np.int64, False),
        (2**64 - 1, np.uint64, True), (1.0, np.int32, False),
        (True, np.int32, False), (True, np.bool_, True), (1, np.bool_, False),
        (2**53, np.float64, True),
    ],
)  # fmt: skip
def test_whole_numbers_are_exact_or_refused(value, dtype, fits) -> None:
    if fits:
        assert array([value], np.dtype(dtype)).tolist() == [value]
        return
    with pytest.raises(JsonError):
        array([value], np.dtype(dtype))


@pytest.mark.parametrize(
    ("value", "dtype", "read"),
    [
        (2**24 + 1, np.float32, 2.0**24), (1_700_000_001, np.float32, 1.7e9),
        (2**53 + 1, np.float64, 2.0**53), (1e39, np.float32, np.inf),
        (-(10**39), np.float32, -np.inf), (70000.0, np.float16, np.inf),
        (2**16 + 16, np.float16, np.inf), (0.1, np.float32, np.float32(0.1)),
    ],
)  # fmt: skip
def test_numbers_for_floats_are_rounded(value, dtype, read) -> None:
    numbers = array([value], np.dtype(dtype))
    assert numbers.dtype == dtype and numbers[0] == dtype(read)


def test_deep_lists_are_refused() -> None:
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(JsonError, match="nested deeper"):
        array(deep, np.dtype(np.float32))


def test_answers_in_rows_and_in_columns() -> None:
    outputs = {
        "y": np.array([0.5, np.nan], np.float32),
        "raw_bytes": np.array([b"\xff", b""], object),
        "text": np.array([b"\xc3\xa9", b"\xff"], object),
    }
    rows = json.loads(json_tensors.answer(outputs, rows=True))["predictions"]
    assert rows[0] == {"y": 0.5, "raw_bytes": {"b64": "/w=="}, "text": "é"}
    assert np.isnan(rows[1]["y"]) and rows[1]["text"] == "\ufffd"
    columns = json.loads(json_tensors.answer(outputs, rows=False))["outputs"]
    assert columns["raw_bytes"] == [{"b64": "/w=="}, {"b64": ""}]
    only = {"y": outputs["y"][:1]}
    assert json_tensors.answer(only, rows=True) == b'{"predictions": [0.5]}'
    assert json_tensors.answer(only, rows=False) == b'{"outputs": [0.5]}'
    with pytest.raises(JsonError, match="not rows of one batch"):
        json_tensors.answer({"a": np.zeros(2), "b": np.zeros(3)}, rows=True)


def test_a_clients_request_reads_back() -> None:
    sent = {"x": np.array([0.1, 2], np.float32), "name": ["a", b"\x00\xff\x00"]}
    for rows in (True, False):
        request = parse(json_tensors.request(sent, "s", rows))
        assert request[:2] == ("s", rows)
        np.testing.assert_array_equal(request[2]["x"], sent["x"])
        assert request[2]["name"].tolist() == [b"a", b"\x00\xff\x00"]
