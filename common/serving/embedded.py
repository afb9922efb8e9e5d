"""The embedded server: TF Serving's two APIs in Python, for one machine.

It is meant for laptops, tests and demos, and has no batching, no metrics and no
GPU scheduling. TF Serving is the server for production.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from . import grpc_service, http_errors, http_server, rest
from .models import Models

STOP_SECONDS = 10.0
# gRPC requests at a time, most of which wait for a worker.
GRPC_THREADS = 32


class Embedded:
    """A running server.

    Attributes:
        models: The models that it serves.
        rest_port: The port of REST.
        grpc_port: The port of gRPC.
    """

    def __init__(
        self,
        export_dir: Path,
        host: str = "127.0.0.1",
        rest_port: int = 0,
        grpc_port: int = 0,
        *,
        workers: int = 0,
        most_bytes: int = 32 << 20,
        cors: bool = False,
        tell: Callable[[str], None] = print,
    ) -> None:
        """Loads the models and starts to answer.

        Args:
            export_dir: The directory of releases.
            host: The address to listen on.
            rest_port: The port of REST; 0 for any that is free.
            grpc_port: The port of gRPC; 0 for any that is free.
            workers: The number of requests computed at a time; 0 for one per
                core.
            most_bytes: The largest body or message accepted.
            cors: Whether pages of any origin may ask from a browser.
            tell: Prints a line for the operator.

        Raises:
            InputError: If a port is taken.
        """
        workers = workers or os.cpu_count() or 1
        limit = threading.Semaphore(workers)
        self.models = Models(export_dir, tell)
        try:
            api = rest.Api(self.models, limit, most_bytes, cors)
            self._rest = http_server.Server(
                (host, rest_port), api.answer, workers, most_bytes, api.headers
            )
        except OSError as error:
            raise http_errors.taken(
                "rest_port", host, rest_port, error.strerror
            ) from None
        try:
            self._grpc, self.grpc_port = grpc_service.make(
                f"{host}:{grpc_port}", self.models, limit,
                GRPC_THREADS, most_bytes,
            )  # fmt: skip
        except RuntimeError:
            self._rest.stop(0)
            raise http_errors.taken(
                "grpc_port", host, grpc_port, "it is taken"
            ) from None
        self.rest_port = self._rest.server_address[1]
        # The models are loaded before the first request is answered.
        self.models.refresh()
        self.models.watch()
        self._grpc.start()
        self._rest.start()

    def stop(self) -> None:
        """Stops listening, answers the requests received so far, and ends."""
        ended = self._grpc.stop(STOP_SECONDS)
        self._rest.stop(STOP_SECONDS)
        ended.wait()
        self.models.close()


@contextlib.contextmanager
def serving(export_dir: Path, **settings: object) -> Iterator[Embedded]:
    """Serves while the block runs.

    Args:
        export_dir: The directory of releases.
        **settings: The other arguments of `Embedded`.
    """
    server = Embedded(export_dir, **settings)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()
