"""Serves every app's releases over REST and gRPC.

TF Serving is used where `tensorflow_model_server` or Docker is installed. Else
an embedded server in Python, which has the same two APIs, is used. It is meant
for laptops, tests and demos; production needs TF Serving (deploy/README.md).

  python -m apps.serve --export_dir=saved_models
"""

import dataclasses
import shlex
import sys
from pathlib import Path

from common import console, flags, runtime
from common.options import Checked, InputError, option
from common.release import models_config
from common.serving import launch


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of the server."""

    export_dir: str = option("saved_models", "the directory of releases.")
    engine: str = option(
        "auto",
        "the server to use; auto takes the first of the others that can run.",
        choices=("auto", *launch.ENGINES),
    )
    host: str = option(
        "127.0.0.1",
        "the address to listen on; 0.0.0.0 for all addresses. An installed "
        "tensorflow_model_server always listens on all.",
    )
    rest_port: int = option(8501, "the port of REST.", minimum=0, maximum=65535)
    grpc_port: int = option(8500, "the port of gRPC.", minimum=0, maximum=65535)
    batching: bool = option(
        False,
        "TF Serving: compute several requests together (batching.config).",
    )
    cors: bool = option(
        False, "let pages of any origin ask over REST from a browser."
    )
    image: str = option(launch.IMAGE, "Docker: the image to run.")
    workers: int = option(
        0,
        "embedded: the number of requests computed at a time; 0 for one per "
        "core.",
        minimum=0,
        maximum=1024,
    )
    max_request_mb: int = option(
        32,
        "embedded: the largest request, in 2**20 bytes.",
        minimum=1,
        maximum=65_536,
    )


def main(settings: Config) -> None:
    """Serves until SIGINT or SIGTERM."""
    export_dir = Path(settings.export_dir)
    if not models_config.apps(export_dir):
        raise InputError(
            f"--export_dir must hold a release; {settings.export_dir} has "
            "none. Train an app first: it writes one."
        )
    engine, reason = launch.choose(settings.engine)
    try:
        models_config.complete(export_dir)
    except InputError:
        # The embedded server also serves apps that models.config lacks.
        if engine != "embedded":
            raise
    tf_serving = launch.Settings(
        export_dir, settings.host, settings.rest_port, settings.grpc_port,
        settings.batching, settings.cors, settings.image,
    )  # fmt: skip
    terminal = console.get()
    terminal.print(f"engine: {engine} ({reason})")
    if engine == "embedded":
        terminal.print(
            "note: the embedded server is for laptops, tests and demos; "
            "production is TF Serving"
        )
        serve_embedded(settings, export_dir)
        return
    describe(export_dir, settings.host, settings.rest_port, settings.grpc_port)
    run = {"docker": launch.run_docker, "tf_serving": launch.run_tf_serving}
    sys.exit(run[engine](tf_serving))


def serve_embedded(settings: Config, export_dir: Path) -> None:
    """Serves in this process until SIGINT or SIGTERM."""
    runtime.start(seed=0)
    from common.serving import embedded  # It imports TensorFlow.

    terminal = console.get()
    with embedded.serving(
        export_dir,
        host=settings.host,
        rest_port=settings.rest_port,
        grpc_port=settings.grpc_port,
        workers=settings.workers,
        most_bytes=settings.max_request_mb << 20,
        cors=settings.cors,
        tell=terminal.print,
    ) as server:
        ports = server.rest_port, server.grpc_port
        describe(export_dir, settings.host, *ports)
        runtime.wait_for_signal()
        terminal.print("stopping: answering what was asked")
    terminal.print("stopped")


def describe(
    export_dir: Path, host: str, rest_port: int, grpc_port: int
) -> None:
    """Prints the addresses of the server, and a command to try for each app."""
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host
    terminal = console.get()
    terminal.print(f"REST  http://{shown}:{rest_port}")
    terminal.print(f"gRPC  grpc://{shown}:{grpc_port}")
    for app in models_config.apps(export_dir):
        url = f"http://{shown}:{rest_port}/v1/models/{app}"
        state = models_config.state(export_dir, app)
        newest = state.newest if state else 0
        body = (
            models_config.directory(export_dir / app, newest)
            / models_config.EXTRA
            / models_config.EXAMPLE
        ).absolute()
        if body.is_file():
            at = shlex.quote(f"@{body}")
            terminal.print(f"try   curl -d {at} {url}:predict")
        else:
            terminal.print(f"try   curl {url}/metadata")


if __name__ == "__main__":
    flags.launch(main, Config)
