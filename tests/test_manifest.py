"""Every kind of file of a release, damaged in every way: one line each."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.options import InputError
from common.release import export, manifest, served, verification
from common.report import report
from common.serving.models import Models
from common.shared_options import Options

FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/words.txt",
    "assets.extra/tf_serving_warmup_requests",
    "assets.extra/example.json",
    "assets.extra/history.npz",
    "model.keras",
    "mobile/model.tflite",
    "mobile/float32.tflite",
    "mobile/labels.txt",
    "mobile/detector.json",
    "report/report.json",
    "report/report.html",
    "report/history.png",
)


@pytest.mark.parametrize("name", ["labels.txt", manifest.NAME])
def test_a_pipe_in_a_release_is_not_waited_for(tmp_path: Path, name) -> None:
    (tmp_path / "labels.txt").write_text("a")
    manifest.write(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=name):
        manifest.check(tmp_path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": truncate,
    "flipped": flip,
    "directory": replace_by_directory,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a release of an untrained model with a file of each kind."""
    root = tmp_path_factory.mktemp("whole")
    x = keras.Input((3,), name="x")
    model = keras.Model(x, keras.layers.Dense(2)(x))
    words = root / "words.txt"
    words.write_text("low\nhigh\n")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(words), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        ),
        "?",
    )  # fmt: skip

    def serve(x):
        y = model(x)
        return {"y": y, "name": table.lookup(tf.argmax(y, axis=1))}

    spec = tf.TensorSpec((None, 3), tf.float32, "x")
    signature = export.Signature(serve, (spec,), (np.ones((2, 3), "float32"),))
    with export.release(root, "app") as draft:
        export.save(
            draft.directory, model, {"serving_default": signature}, [table]
        )
        for name in FILES:
            path = draft.directory / name
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                path.write_text('{"metrics": 1}\n')
    return draft.path


@pytest.fixture
def release(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "app" / "1")


def connect(release: Path) -> served.Served:
    options = Options(mode="predict", release=str(release))
    return served.connect(options, "app")


def test_every_file_is_in_the_manifest(release: Path) -> None:
    files = (one for one in release.rglob("*") if one.is_file())
    names = {path.relative_to(release).as_posix() for path in files}
    assert names - {manifest.NAME} == set(FILES)
    assert set(manifest.read(release)) == set(FILES)
    assert not list(manifest.damages(release))
    connect(release)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, manifest.NAME])
def test_a_damaged_release_is_one_line(release, name, damage) -> None:
    DAMAGES[damage](release / name)
    if (name, damage) == (manifest.NAME, "removed"):
        connect(release)  # As a release of before there were manifests.
        return
    with pytest.raises(InputError) as caught:
        connect(release)
    line = str(caught.value)
    assert "\n" not in line
    if (name, damage) != (manifest.NAME, "flipped"):
        # A flipped byte there can be of any file's name or sum.
        assert str(release / name) in line or (
            name == "saved_model.pb" and name in line
        )
    checks = verification.verify(release)
    failed = [check.what for check in checks if not check.passed]
    if name == manifest.NAME:
        name = ""
    assert any(name in line for line in failed)


def test_a_file_too_many_is_told_by_verify_only(release: Path) -> None:
    (release / "mobile" / "notes.txt").write_text("mine")
    connect(release)
    failed = [one for one in verification.verify(release) if not one.passed]
    assert any("mobile/notes.txt is not of this" in one.what for one in failed)


def test_the_server_names_the_file_that_is_damaged(release: Path) -> None:
    name = "variables/variables.data-00000-of-00001"
    flip(release / name)
    lines: list[str] = []
    Models(release.parents[1], lines.append).refresh()
    assert len(lines) == 1 and name in lines[0] and "was changed" in lines[0]


def test_the_server_needs_no_report(release: Path) -> None:
    (release / "report" / "report.html").unlink()
    models = Models(release.parents[1], lambda line: None)
    models.refresh()
    assert models.newest() == {"app": 1}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index"]
)
def test_a_damaged_old_release_is_one_line(release, name, damage) -> None:
    (release / manifest.NAME).unlink()
    DAMAGES[damage](release / name)
    if damage == "flipped":
        return  # Only a sum tells.
    with pytest.raises(InputError, match="release") as caught:
        connect(release)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["removed", "emptied", "directory"])
def test_a_damaged_report_is_one_line(release, damage) -> None:
    (release / manifest.NAME).unlink()
    DAMAGES[damage](release / "report" / "report.json")
    with pytest.raises(InputError, match=r"report\.json must be"):
        report.read(release)
