"""Tables in JSON: what is said of a line that cannot be read."""

import gzip
import json

import pytest

from common.data import tables
from common.options import InputError


def test_an_error_in_json_names_the_row_as_people_count(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": "x"}\n')
    with pytest.raises(InputError, match=r"to string in row 3\.$"):
        tables.read(path, ["a"])
    # Arrow counts the rows of each block.
    path.write_text('{"a": 1}\n' * 200_000 + '{"a": "x"}\n')
    with pytest.raises(InputError, match=r"to string\.$"):
        tables.read(path, ["a"])
    # Those of an array are written anew, and can take more bytes.
    rows = [{"a": "\u00e9" * 100} for _ in range(2_000)] + [{"a": 1}]
    array = tmp_path / "a.json"
    array.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    with pytest.raises(InputError, match=r"to number\.$"):
        tables.read(array, ["a"])
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n{"a": "x"}\n'))
    with pytest.raises(InputError, match=r"to string in row 2\.$"):
        tables.read(packed, ["a"])
