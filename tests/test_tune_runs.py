"""A search of a real application, killed and continued."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
APP = [
    "apps.image_classify", "--dataset=digits", "--epochs=8", "--batch_size=64",
    "--variants=float32",
]  # fmt: skip


def start(home: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *words],
        cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def search(home: Path, work_dir: str) -> subprocess.Popen:
    return start(
        home, "apps.tune", "--trials=3", f"--work_dir={work_dir}",
        "--search=learning_rate=1e-4..1e-2 log, dropout=0..0.5",
        "--pruner=none", "--", *APP,
    )  # fmt: skip


def numbers(home: Path, work_dir: str) -> list[dict]:
    (path,) = (home / work_dir).glob("*/study.json")
    return [
        {key: row[key] for key in ("params", "values", "epochs")}
        for row in json.loads(path.read_text())["trials"]
    ]


def until(condition, process: subprocess.Popen) -> None:
    """Waits until a condition holds, while a process runs."""
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.by_hand
def test_a_killed_search_ends_as_one_that_was_not(tmp_path) -> None:
    process = search(tmp_path, "whole")
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert len(re.findall(r"^trial", printed, re.MULTILINE)) == 3
    assert "epoch" not in printed and not errors
    assert not (tmp_path / "saved_models").exists()
    process = search(tmp_path, "killed")
    killed = tmp_path / "killed"
    # The second trial has trained an epoch or more.
    until(lambda: list(killed.glob("*/trials/1/*/backup.npz")), process)
    process.kill()
    process.communicate()
    process = search(tmp_path, "killed")
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "1 of 3 trials" in printed or "2 of 3 trials" in printed
    assert numbers(tmp_path, "killed") == numbers(tmp_path, "whole")
    # The best settings, trained by the application itself.
    (flagfile,) = killed.glob("*/best.flags")
    process = start(tmp_path, APP[0], f"--flagfile={flagfile}")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    release = tmp_path / "saved_models" / "image_classify" / "1"
    report = json.loads((release / "report" / "report.json").read_text())
    best = max(row["values"][0] for row in numbers(tmp_path, "killed"))
    assert report["metrics"]["valid"]["accuracy"] == best


@pytest.mark.by_hand
def test_two_processes_share_a_study(tmp_path) -> None:
    both = [search(tmp_path, "shared") for _ in range(2)]
    printed = ""
    for process in both:
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        printed += output
    finished = re.findall(r"^trial (\d)/3", printed, re.MULTILINE)
    assert sorted(finished) == ["1", "2", "3"]
