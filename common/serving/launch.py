"""The choice of a server: TF Serving, the same in Docker, or the embedded one.

The first two are programs. This module starts such a program with a list of
arguments, waits for its end, and ends it on SIGINT and SIGTERM.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from common.options import InputError
from common.release import models_config

ENGINES = ("tf_serving", "docker", "embedded")
BINARY = "tensorflow_model_server"
# The release of TF Serving that tensorflow-serving-api in requirements.txt
# belongs to.
IMAGE = "tensorflow/serving:2.21.0"
POLL_SECONDS = 2
CONTAINER = "keras-app-suite-serving"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of TF Serving.

    Attributes:
        export_dir: The directory of releases.
        host: The address to listen on; an installed TF Serving listens on all.
        rest_port: The port of REST.
        grpc_port: The port of gRPC.
        batching: Whether requests wait for one another to be computed at once.
        cors: Whether pages of any origin may ask from a browser.
        image: The Docker image.
    """

    export_dir: Path
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    batching: bool = False
    cors: bool = False
    image: str = IMAGE


def choose(wanted: str) -> tuple[str, str]:
    """Returns the engine to use, and the reason for the choice.

    Args:
        wanted: One of `ENGINES`, or `auto` for the first that can serve here.

    Raises:
        InputError: If the wanted engine cannot serve here.
    """
    missing = {"tf_serving": _no_binary(), "docker": _no_docker()}
    for engine, reason in missing.items():
        if wanted == engine and reason:
            raise InputError(
                f"--engine={engine} cannot serve: {reason}. Install or start "
                "it, or pass --engine=embedded."
            )
        if not reason and wanted in ("auto", engine):
            return engine, "it is installed"
    if wanted == "embedded":
        return "embedded", "asked for"
    return "embedded", "; ".join(missing.values())


def _no_binary() -> str:
    """Returns why an installed TF Serving cannot serve; "" if it can."""
    return "" if shutil.which(BINARY) else f"{BINARY} is not on PATH"


def _no_docker() -> str:
    """Returns why Docker cannot run a container; "" if it can."""
    program = shutil.which("docker")
    if not program:
        return "docker is not on PATH"
    # The command may be installed without an engine that runs.
    command = [program, "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        return "docker's engine does not answer"
    return ""


def tf_serving_command(settings: Settings, models_config: Path) -> list[str]:
    """Returns the arguments that start an installed TF Serving."""
    return [
        shutil.which(BINARY) or BINARY,
        f"--port={settings.grpc_port}",
        f"--rest_api_port={settings.rest_port}",
        *_flags(settings, models_config, settings.export_dir.absolute()),
    ]


def docker_command(settings: Settings) -> list[str]:
    """Returns the arguments that start TF Serving in Docker."""
    root, host = Path(models_config.ROOT), settings.host
    return [
        shutil.which("docker") or "docker", "run", "--rm", "--init",
        f"--name={CONTAINER}-{os.getpid()}",
        f"--publish={host}:{settings.grpc_port}:8500",
        f"--publish={host}:{settings.rest_port}:8501",
        "--mount", f"type=bind,source={settings.export_dir.absolute()},"
        f"target={root},readonly",
        "--entrypoint=/usr/bin/" + BINARY, settings.image,
        "--port=8500", "--rest_api_port=8501",
        *_flags(settings, root / models_config.MODELS, root),
    ]  # fmt: skip


def _flags(settings: Settings, models: Path, root: Path) -> list[str]:
    """Returns the flags of both kinds of TF Serving; see deploy/README.md."""
    flags = [
        f"--model_config_file={models}",
        f"--model_config_file_poll_wait_seconds={POLL_SECONDS}",
        # The file holds labels before any version is loaded.
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={root / models_config.MONITORING}",
        "--enable_model_warmup=true",
    ]
    if settings.cors:
        flags.append("--rest_api_enable_cors_support=true")
    if settings.batching:
        flags += [
            "--enable_batching=true",
            f"--batching_parameters_file={root / models_config.BATCHING}",
        ]
    return flags


def run_tf_serving(settings: Settings) -> int:
    """Runs an installed TF Serving; returns its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / models_config.MODELS
        with _followed(settings.export_dir, local):
            return _run(tf_serving_command(settings, local))


def run_docker(settings: Settings) -> int:
    """Runs TF Serving in Docker; returns its exit status."""
    return _run(docker_command(settings))


def translate(text: str, export_dir: Path) -> str:
    """Returns models.config with this machine's paths instead of a container's.

    Args:
        text: The text of models.config.
        export_dir: The directory of releases on this machine.
    """
    root = f'base_path: "{models_config.ROOT}/'
    return text.replace(root, f'base_path: "{export_dir.absolute()}/')


@contextlib.contextmanager
def _followed(export_dir: Path, copy: Path) -> Iterator[None]:
    """Keeps a translated copy of models.config up to date."""
    stop = threading.Event()

    def write() -> None:
        text = (export_dir / models_config.MODELS).read_text("utf-8")
        models_config.replace(copy, translate(text, export_dir))

    def follow() -> None:
        seen = (export_dir / models_config.MODELS).stat().st_mtime_ns
        while not stop.wait(POLL_SECONDS / 4):
            now = (export_dir / models_config.MODELS).stat().st_mtime_ns
            if now != seen:
                write()
                seen = now

    write()
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _run(command: list[str]) -> int:
    """Runs a program to its end; SIGINT and SIGTERM end it.

    Returns:
        The program's exit status; 0 if a signal ended it.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise InputError(
            f"{command[0]} cannot be started: {error.strerror}. Mend it, or "
            "pass --engine=embedded."
        ) from None

    received: list[int] = []

    def forward(signum: int, frame: FrameType | None) -> None:
        # The terminal's Ctrl+C has reached the program already; a second
        # signal does no harm.
        received.append(signum)
        process.send_signal(signal.SIGTERM)

    before = {
        signum: signal.signal(signum, forward)
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        status = process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return 0 if received else status
