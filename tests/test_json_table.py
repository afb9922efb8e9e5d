"""Tables in JSON: what is said of a line that cannot be read."""

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
