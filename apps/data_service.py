"""Prepares training input on other machines than those that train.

  python -m apps.data_service --port=5050
  python -m apps.data_service --port=0 --dispatcher=HOST:5050 --host=ITS_NAME

The first command starts the dispatcher. The second starts a worker, which
reads, decodes and augments; start as many workers as the input needs. Training
programs need `--data_service=grpc://HOST:5050`. All machines need the same data
at the same paths.
"""

import dataclasses
from typing import Any

from common import console, flags, runtime
from common.options import Checked, InputError, option


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of this program."""

    port: int = option(
        5050,
        "the port to listen on; 0 for any that is free.",
        minimum=0,
        maximum=65535,
    )
    dispatcher: str = option(
        "",
        "run as a worker of the dispatcher at host:port; by default run as a "
        "dispatcher.",
    )
    host: str = option(
        "localhost",
        "worker: the host name by which training programs reach this worker.",
    )

    def __post_init__(self) -> None:
        """Checks every option against its own rule."""
        super().__post_init__()
        host, _, port = self.dispatcher.rpartition(":")
        if self.dispatcher and not (host and port.isdecimal()):
            raise InputError(
                f"--dispatcher must be host:port; received {self.dispatcher!r}."
            )


def serve(config: Config) -> Any:
    """Starts the dispatcher or the worker that the options describe.

    Returns:
        The server; it runs as long as the object exists.

    Raises:
        InputError: If the port is in use, or no dispatcher answers.
    """
    import tensorflow as tf  # After `runtime.start`.

    service = tf.data.experimental.service
    try:
        if not config.dispatcher:
            return service.DispatchServer(
                service.DispatcherConfig(port=config.port)
            )
        return service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=config.dispatcher,
                worker_address=f"{config.host}:%port%",
                port=config.port,
            )
        )
    except (tf.errors.OpError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(
            f"--port must be free, and a dispatcher must answer at "
            f"--dispatcher; received {config.port} and "
            f"{config.dispatcher or 'none'}: {line}"
        ) from None


def main(config: Config) -> None:
    """Serves until SIGINT or SIGTERM."""
    runtime.start(seed=0)
    with runtime.native_stderr_hidden():
        server = serve(config)
    terminal = console.get()
    if config.dispatcher:
        terminal.print(f"worker of {config.dispatcher}, ready")
    else:
        terminal.print(f"dispatcher  {server.target}")
    runtime.wait_for_signal()
    terminal.print("stopped")


if __name__ == "__main__":
    flags.launch(main, Config)
