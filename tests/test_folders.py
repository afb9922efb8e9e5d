from pathlib import Path

import pytest

from common.data import folders
from common.options import InputError


@pytest.mark.parametrize("text", ["a" * 300, "a/" * 3000, "a\0b"])
def test_inputs_that_can_be_no_path_are_refused_in_a_line(text) -> None:
    with pytest.raises(InputError, match="matches none"):
        folders.inputs(text, lambda path: True, "images")


def test_inputs_are_a_file_a_folder_or_a_pattern(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()

    def names(pattern: Path) -> list[str]:
        paths = folders.inputs(
            str(pattern), lambda path: path.suffix == ".png", "images"
        )
        return [Path(path).name for path in paths]

    assert names(tmp_path) == names(tmp_path / "?.png") == ["a.png", "b.png"]
    assert names(tmp_path / "notes.txt") == ["notes.txt"]
