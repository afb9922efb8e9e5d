import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps import launch
from common.options import InputError

ROOT = Path(__file__).resolve().parents[1]


def run(workers: int, script: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable, "-m", "apps.launch", f"--workers={workers}", "--",
            sys.executable, "-c", script,
        ],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_every_worker_gets_its_own_tf_config() -> None:
    job = run(3, "import os; print(os.environ['TF_CONFIG'])")
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 0
    configs = {}
    for line in output.splitlines():
        number, _, text = line.partition(" ")
        configs[number] = json.loads(text)
    assert sorted(configs) == ["[0]", "[1]", "[2]"]
    clusters = [config["cluster"] for config in configs.values()]
    assert clusters[0] == clusters[1] == clusters[2]
    assert len(set(clusters[0]["worker"])) == 3
    assert [configs[f"[{i}]"]["task"]["index"] for i in range(3)] == [0, 1, 2]


def test_the_last_lines_are_shown() -> None:
    job = run(2, "print('line\\n' * 300_000, end='')")
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 0
    assert output.count("line") == 600_000


def test_a_worker_that_fails_ends_all() -> None:
    job = run(
        2,
        "import os, sys, time\n"
        "if '\"index\": 1' in os.environ['TF_CONFIG']: sys.exit(7)\n"
        "time.sleep(60)",
    )
    start = time.monotonic()
    job.communicate(timeout=60)
    assert job.returncode == 7
    assert time.monotonic() - start < 20


def test_a_killed_worker_gives_the_shell_s_status() -> None:
    job = run(1, "import os; os.kill(os.getpid(), 9)")
    job.communicate(timeout=60)
    assert job.returncode == 137


def test_a_worker_that_ignores_sigterm_is_killed(monkeypatch) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.3)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", deaf], stdout=subprocess.PIPE
    )
    assert worker.stdout.readline()
    launch.end([worker])
    assert worker.returncode == -signal.SIGKILL


def test_signals_reach_the_workers() -> None:
    job = run(
        2,
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)",
    )
    for _ in range(2):
        assert "ready" in job.stdout.readline()
    os.kill(job.pid, signal.SIGTERM)
    job.communicate(timeout=60)
    assert job.returncode == 143


def test_a_command_is_needed() -> None:
    with pytest.raises(InputError, match="a command must follow --"):
        launch.Config()
    with pytest.raises(InputError, match="'no such' cannot be started"):
        launch.Workers().start(["no such"], 1)


def test_a_worker_that_cannot_be_started_ends_the_others(monkeypatch) -> None:
    popen, made = launch._popen, []

    def second_fails(command, env):
        if made:
            raise InputError("no more processes")
        made.append(popen(command, env))
        return made[0]

    monkeypatch.setattr(launch, "_popen", second_fails)
    handlers = {number: signal.getsignal(number) for number in (2, 15)}
    words = (sys.executable, "-c", "import time; time.sleep(60)")
    try:
        with pytest.raises(InputError, match="no more"):
            launch.main(launch.Config(command=words))
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    assert made[0].poll() == -signal.SIGTERM


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_workers_start_reaches_all(monkeypatch, signum) -> None:
    popen, made = launch._popen, []

    def signalled(command, env):
        made.append(popen(command, env))
        if len(made) == 2:  # The second is not in the list yet.
            signal.raise_signal(signum)
        return made[-1]

    monkeypatch.setattr(launch, "_popen", signalled)
    handlers = {number: signal.getsignal(number) for number in (2, 15)}
    words = (
        sys.executable, "-c",
        "import signal, time; signal.signal(2, signal.SIG_DFL); time.sleep(60)",
    )  # fmt: skip
    try:
        with pytest.raises(SystemExit) as ended:
            launch.main(launch.Config(workers=4, command=words))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert len(made) == 2
    assert all(process.poll() is not None for process in made)
    assert ended.value.code in (128 + signum, 1)
