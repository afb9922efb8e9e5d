"""The command line of image_classify, as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.image_classify.config import Config
from common import program
from common.options import InputError

ROOT = Path(__file__).resolve().parents[1]


def start(home: Path, *arguments: str) -> subprocess.Popen:
    flags = [
        "--dataset=digits", "--model=small_cnn", "--variants=float32",
        "--epochs=40", "--batch_size=16", *arguments,
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "apps.image_classify", *flags],
        cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_epoch(process: subprocess.Popen, epoch: int) -> None:
    for line in process.stdout:
        if line.startswith(f"epoch {epoch:2d}/"):
            return
    raise AssertionError(process.stderr.read())


def first_epoch(process: subprocess.Popen) -> str:
    """Returns the line of the first epoch; the data's come before it."""
    return next(line for line in process.stdout if line.startswith("epoch"))


@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (signal.SIGKILL, -9),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_command_continues(tmp_path, signum, status) -> None:
    process = start(tmp_path)
    wait_for_epoch(process, 3)  # The backup of the epoch before it is written.
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    if signum != signal.SIGKILL:
        (line,) = errors.strip().splitlines()
        assert "the same command again continues from there" in line
    assert not (tmp_path / "saved_models").exists()
    process = start(tmp_path)
    first = first_epoch(process)
    process.kill()
    process.communicate()
    # It was stopped some epochs after the line on slow machines.
    assert first.startswith(
        tuple(f"epoch  {epoch}/40" for epoch in range(3, 9))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_after_training_says_how_to_continue(
    tmp_path, signum, status
) -> None:
    process = start(
        tmp_path, "--epochs=1", "--variants=prune+int8",
        "--finetune_epochs=1000",
    )  # fmt: skip
    assert first_epoch(process).startswith("epoch 1/1")
    time.sleep(2.0)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors == "stopped; the same command continues.\n"
    assert not list(tmp_path.glob("saved_models/*/*"))


def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path) -> None:
    done = start(tmp_path, "--dataset=missing/")
    output, errors = done.communicate(timeout=60)
    assert done.returncode == 2
    (line,) = errors.strip().splitlines()
    assert line.startswith("error: ") and "must be a folder" in line
    assert output == ""
    assert not (tmp_path / "saved_models").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "no_such_set"}, "must be a TFDS name"),
        ({"mode": "predict", "inputs": "x"}, "must hold a release"),
        ({"dataset": "digits", "model": "lenet5"}, "--image_size=12"),
    ],
)
def test_bad_input_is_refused_before_anything_is_printed(
    tmp_path, monkeypatch, capsys, changes, words
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words) as refusal:
        program.run(Config(**changes))
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "saved_models").exists()


def test_a_whole_run_prints_nothing_on_standard_error(tmp_path) -> None:
    process = start(
        tmp_path, "--epochs=1",
        "--variants=float32,int8", "--max_drop=1",
    )  # fmt: skip
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
