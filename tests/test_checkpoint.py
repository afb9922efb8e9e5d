"""Checkpoints that are damaged, or that cannot be written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from common.training import checkpoint


def write(path: Path, value: int) -> None:
    checkpoint.write(path, {"a": np.full(100, value), "b": np.array("text")})


def value_of(path: Path) -> int:
    with np.load(path, allow_pickle=False) as arrays:
        return int(arrays["a"][0])


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns a checkpoint with value 2; the one before it has value 1."""
    path = tmp_path / "backup.npz"
    write(path, 1)
    write(path, 2)
    return path


def test_the_last_checkpoint_is_kept(path: Path) -> None:
    assert checkpoint.mend(path) == []
    assert names(path.parent) == ["backup.npz", "backup.npz.before"]
    assert value_of(path) == 2
    assert value_of(checkpoint.beside(path, "before")) == 1


def damages(content: bytes) -> list[bytes]:
    """Returns damaged copies: empty, cut, longer, and one bit wrong."""
    copies = [b"", content[:-1], content[: len(content) // 2], content + b"x"]
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        wrong = bytearray(content)
        wrong[place] ^= 4
        copies.append(bytes(wrong))
    return copies


def test_a_damaged_checkpoint_is_set_aside_by_name(path: Path) -> None:
    content = path.read_bytes()
    before = checkpoint.beside(path, "before")
    for damaged in damages(content):
        path.write_bytes(damaged)
        (note,) = checkpoint.mend(path)
        assert note.endswith(
            "backup.npz is damaged; it was set aside as backup.npz.damaged, "
            "and training starts from the backup before it."
        )
        assert value_of(path) == 1
        assert checkpoint.beside(path, "damaged").read_bytes() == damaged
        assert not before.exists()
        path.rename(before)


def test_two_damaged_checkpoints_leave_none(path: Path) -> None:
    for file in (path, checkpoint.beside(path, "before")):
        file.write_bytes(b"no checkpoint")
    notes = checkpoint.mend(path)
    assert len(notes) == 2
    assert all(note.endswith("training starts anew.") for note in notes)
    assert names(path.parent) == [
        "backup.npz.before.damaged", "backup.npz.damaged",
    ]  # fmt: skip
    assert checkpoint.mend(path) == []


def test_the_files_that_a_kill_leaves_are_mended(path: Path) -> None:
    # A kill between the two renames leaves a partial file and no `path`.
    path.rename(checkpoint.beside(path, "before"))
    path.with_name(".backup.npz.partial-123").write_bytes(b"half")
    assert checkpoint.mend(path) == []
    assert names(path.parent) == ["backup.npz"] and value_of(path) == 2


def test_a_full_disk_leaves_the_last_checkpoint(
    path: Path, monkeypatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, 3)
    assert names(path.parent) == ["backup.npz", "backup.npz.before"]
    assert value_of(path) == 2


def test_remove_leaves_damaged_checkpoints(path: Path) -> None:
    checkpoint.beside(path, "damaged").write_bytes(b"damaged")
    checkpoint.remove(path)
    assert names(path.parent) == ["backup.npz.damaged"]
