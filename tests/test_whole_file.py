"""Files that are written whole or not at all."""

import threading
from pathlib import Path

import pytest

from common import whole_file


def test_what_a_block_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    path.write_text("old")
    with pytest.raises(KeyError), whole_file.writing(path) as file:
        file.write("new")
        raise KeyError
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a[1].txt"]


def test_a_link_stays_and_so_do_access_rights(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    with whole_file.writing(link) as file:
        file.write("new\r\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\r\n"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_new_file_has_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with whole_file.writing(tmp_path / ("n" * 250), "w+b") as file:
        file.write(b"new")
    usual = (tmp_path / "usual").stat().st_mode
    assert (tmp_path / ("n" * 250)).stat().st_mode == usual


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "m[1].csv"
    (tmp_path / ".m[1].csv.partial-1-ab").write_text("half")
    (tmp_path / ".m1.csv.partial-1-ab").write_text("another's")
    whole_file.remove_partial(path)
    left = [one.name for one in tmp_path.iterdir()]
    assert left == [".m1.csv.partial-1-ab"]


def test_threads_do_not_disturb_one_another(tmp_path: Path) -> None:
    def write(text: str) -> None:
        for _ in range(20):
            with whole_file.writing(tmp_path / "a") as file:
                file.write(text * 1000)

    threads = [threading.Thread(target=write, args=(c,)) for c in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (tmp_path / "a").read_text()
    assert len(text) == 1000 and len(set(text)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
