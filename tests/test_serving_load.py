"""The embedded server under many clients, and under slow ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("clients", "seconds"),
    [
        pytest.param(8, 4, marks=pytest.mark.slow),
        pytest.param(64, 60, marks=pytest.mark.by_hand),
    ],
)
def test_every_request_is_answered_and_memory_is_flat(clients, seconds) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load",
         f"--clients={clients}", f"--seconds={seconds}"],
        cwd=ROOT, env=os.environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| wrong or missing answers | 0 |" in done.stdout
    beside = re.search(r"\| answers beside them \| (\d+) \|", done.stdout)
    assert int(beside[1]) >= seconds / 2, done.stdout
