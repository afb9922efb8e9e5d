"""The choice of a server, its start, and the signals that end it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.options import InputError
from common.release import models_config
from common.serving import launch

ROOT = Path(__file__).resolve().parents[1]
FAKE = """#!{python}
import os, signal, sys, time
def end(signum, frame):
    print("told", signum, flush=True)
    sys.exit(0)
if sys.argv[1:2] == ["version"]:
    sys.exit(os.path.exists(sys.argv[0] + ".stopped"))
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("fake", *sys.argv[1:], sep="\\n", flush=True)
for word in sys.argv:
    if word.startswith("--model_config_file=") and os.path.exists(word[20:]):
        print(open(word[20:]).read(), flush=True)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch) -> Path:
    """Returns the only directory on PATH."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return path


def install(bin_dir: Path, name: str) -> Path:
    path = bin_dir / name
    path.write_text(FAKE.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def export_dir(tmp_path: Path) -> Path:
    path = tmp_path / "saved models"  # A space: nothing goes through a shell.
    (path / "toy" / "1").mkdir(parents=True)
    (path / "toy" / "1" / "saved_model.pb").write_bytes(b"")
    models_config.complete(path)
    return path


def test_the_first_that_works_is_chosen(bin_dir: Path) -> None:
    no_binary = "tensorflow_model_server is not on PATH; docker"
    assert launch.choose("auto") == (
        "embedded", f"{no_binary} is not on PATH",
    )  # fmt: skip
    install(bin_dir, "docker")
    assert launch.choose("auto") == ("docker", "it is installed")
    stopped = bin_dir / "docker.stopped"
    stopped.touch()
    assert launch.choose("auto") == (
        "embedded", f"{no_binary}'s engine does not answer",
    )  # fmt: skip
    stopped.unlink()
    install(bin_dir, "tensorflow_model_server")
    assert launch.choose("auto") == ("tf_serving", "it is installed")
    assert launch.choose("docker")[0] == "docker"
    assert launch.choose("embedded") == ("embedded", "asked for")


@pytest.mark.parametrize("engine", ["tf_serving", "docker"])
def test_an_engine_that_is_not_there_is_refused(bin_dir, engine) -> None:
    with pytest.raises(InputError, match=f"--engine={engine} cannot serve"):
        launch.choose(engine)


def test_the_command_lines(bin_dir: Path, export_dir: Path) -> None:
    binary = install(bin_dir, "tensorflow_model_server")
    docker = install(bin_dir, "docker")
    settings = launch.Settings(export_dir, "127.0.0.1", 81, 80, image="i:1")
    assert launch.tf_serving_command(settings, Path("/copy/models.config")) == [
        str(binary),
        "--port=80",
        "--rest_api_port=81",
        "--model_config_file=/copy/models.config",
        "--model_config_file_poll_wait_seconds=2",
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={export_dir}/monitoring.config",
        "--enable_model_warmup=true",
    ]
    assert launch.docker_command(settings) == [
        str(docker),
        "run",
        "--rm",
        "--init",
        f"--name={launch.CONTAINER}-{os.getpid()}",
        "--publish=127.0.0.1:80:8500",
        "--publish=127.0.0.1:81:8501",
        "--mount",
        f"type=bind,source={export_dir},target=/models,readonly",
        "--entrypoint=/usr/bin/tensorflow_model_server",
        "i:1",
        "--port=8500",
        "--rest_api_port=8501",
        "--model_config_file=/models/models.config",
        "--model_config_file_poll_wait_seconds=2",
        "--allow_version_labels_for_unavailable_models=true",
        "--monitoring_config_file=/models/monitoring.config",
        "--enable_model_warmup=true",
    ]


def test_batching_is_asked_for(bin_dir: Path, export_dir: Path) -> None:
    settings = launch.Settings(export_dir, batching=True, cors=True)
    assert launch.docker_command(settings)[-3:] == [
        "--rest_api_enable_cors_support=true",
        "--enable_batching=true",
        "--batching_parameters_file=/models/batching.config",
    ]


def start(export_dir: Path, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "apps.serve", f"--export_dir={export_dir}",
         *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_until(process: subprocess.Popen, word: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == word:
            return lines
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("engine", ["tf_serving", "docker"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_it_is_told_to_stop(
    bin_dir, export_dir, engine, signum
) -> None:
    name = {"tf_serving": "tensorflow_model_server", "docker": "docker"}[engine]
    install(bin_dir, name)
    process = start(export_dir, "--rest_port=18999")
    lines = read_until(process, "ready")
    assert lines[0].startswith(f"engine: {engine} (")
    assert "REST  http://localhost:18999" in lines
    assert any(
        line.startswith("try   curl http://localhost:18999/v1/models/toy")
        for line in lines
    )
    if engine == "tf_serving":
        # The installed one sees this machine's paths.
        assert f'base_path: "{export_dir}/toy"' in lines
    process.send_signal(signum)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors == ""
    assert f"told {int(signal.SIGTERM)}" in output


def test_the_copy_follows_models_config(export_dir: Path, tmp_path) -> None:
    copy = tmp_path / "copy.config"
    with launch._followed(export_dir, copy):
        assert "versions: 1" in copy.read_text()
        (export_dir / "toy" / "2").mkdir()
        (export_dir / "toy" / "2" / "saved_model.pb").write_bytes(b"")
        models_config.add(export_dir, "toy", 2)
        start = time.monotonic()
        while "versions: 2" not in copy.read_text():
            assert time.monotonic() - start < 5
            time.sleep(0.05)
        assert "/models/" not in copy.read_text()


def test_a_program_that_fails_tells_its_status(bin_dir, export_dir) -> None:
    path = bin_dir / "docker"
    ending = "import sys\nsys.exit(0 if 'version' in sys.argv else 7)\n"
    path.write_text(f"#!{sys.executable}\n{ending}")
    path.chmod(0o755)
    process = start(export_dir)
    process.communicate(timeout=20)
    assert process.returncode == 7
    path.write_text("#!/no/such/program\n")
    with pytest.raises(InputError, match="cannot be started"):
        launch._run([str(path)])


def test_nothing_to_serve_is_one_line(tmp_path: Path) -> None:
    process = start(tmp_path / "nothing")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    (line,) = errors.strip().splitlines()
    assert "--export_dir must hold a release" in line
