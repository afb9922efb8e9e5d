"""A meeting of all workers before TensorFlow starts its cluster.

TensorFlow waits an hour for a worker that never comes, and does not say which
worker is missing; workers with different options hang in their first collective
operation. Here the first worker listens at its own address until all workers
have come, compares their options and versions, and sends all of them the
outcome: each worker then goes on, or ends with the same clear line. The workers
use plain sockets and one line of JSON each way, within the network that their
own gRPC servers trust as well.
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from common.options import InputError

MAX_BYTES = 1_000_000  # The longest line of JSON that is read.
RETRY_SECONDS = 0.2
# The time in which a connected process must send its number and its values.
INTRODUCTION_SECONDS = 5.0


def meet(
    addresses: Sequence[str], index: int, values: dict[str, Any], timeout: float
) -> None:
    """Waits until all workers have come and have the same values.

    Args:
        addresses: `host:port` of every worker, the first worker's first.
        index: The place of this worker in `addresses`.
        values: JSON values by name, which must be equal for all workers.
        timeout: Seconds to wait.

    Raises:
        InputError: If a worker does not come in time, has other values than the
            first worker, or this worker's port is in use.
    """
    values = {"the number of workers in TF_CONFIG": len(addresses), **values}
    # The other workers' tuples arrive as lists, so ours become lists too.
    values = json.loads(json.dumps(values))
    with _listen(addresses[index]) as listener:
        if index == 0:
            deadline = time.monotonic() + timeout
            _receive_all(listener, addresses, values, deadline)
    if index:
        _report(addresses, index, values, timeout)


def _listen(address: str) -> socket.socket:
    """Returns a socket that listens at this worker's own port."""
    port = int(address.rpartition(":")[2])
    dualstack = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dualstack else socket.AF_INET,
            dualstack_ipv6=dualstack,
        )
    except OSError as error:
        raise InputError(
            f"TF_CONFIG must give this worker a free port; {address} cannot be "
            f"used: {os.strerror(error.errno or 0)}."
        ) from None


def _receive_all(
    listener: socket.socket,
    addresses: Sequence[str],
    values: dict[str, Any],
    deadline: float,
) -> None:
    """Hears all other workers, then sends them the outcome.

    Args:
        listener: The first worker's socket.
        addresses: `host:port` of every worker.
        values: The first worker's values, by name.
        deadline: The time of `time.monotonic` at which the wait ends.

    Raises:
        InputError: If a worker does not come in time, or has other values.
    """
    waiting: dict[int, socket.socket] = {}
    outcome = ""
    try:
        while len(waiting) < len(addresses) - 1 and not outcome:
            listener.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                missing = set(range(1, len(addresses))) - set(waiting)
                outcome = _missing(addresses, sorted(missing))
                break
            except OSError:
                continue  # The client left before it was accepted.
            try:
                number, others_values = _read_introduction(connection, deadline)
            except (OSError, ValueError):
                # No worker: a port scan, or a health check that sends nothing.
                connection.close()
                continue
            if number in waiting:
                waiting[number].close()  # The worker has connected again.
            waiting[number] = connection
            outcome = _difference(values, others_values, number)
        for connection in waiting.values():
            _send(connection, outcome)
    finally:
        for connection in waiting.values():
            connection.close()
    if outcome:
        raise InputError(outcome)


def _report(
    addresses: Sequence[str], index: int, values: dict[str, Any], timeout: float
) -> None:
    """Sends this worker's values to the first worker, and reads the outcome.

    Args:
        addresses: `host:port` of every worker.
        index: The place of this worker in `addresses`.
        values: This worker's values, by name.
        timeout: Seconds to wait.

    Raises:
        InputError: If a worker does not come in time, or has other values.
    """
    host, _, port = addresses[0].rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host, int(port)), 5.0) as first:
                _send(first, [index, values])
                # The first worker began its wait for the others by now.
                outcome = _read(first, time.monotonic() + timeout + 5.0)
            break
        except (OSError, ValueError):
            # The first worker does not listen, or has no DNS name, yet.
            if time.monotonic() > deadline:
                raise InputError(_missing(addresses, [0])) from None
            time.sleep(RETRY_SECONDS)
    if outcome:
        raise InputError(str(outcome))


def _missing(addresses: Sequence[str], numbers: Sequence[int]) -> str:
    """Returns the error for the workers that did not come."""
    names = ", ".join(
        f"worker {number} ({addresses[number]})" for number in numbers
    )
    return (
        f"all {len(addresses)} workers of TF_CONFIG must come within "
        f"--cluster_timeout; {names} did not. Look at the log of each missing "
        "worker, or wait longer."
    )


def _difference(
    first: dict[str, Any], other: dict[str, Any], number: int
) -> str:
    """Returns the first difference as a sentence; empty if all are equal.

    Args:
        first: The first worker's values, by name.
        other: Another worker's values, by name.
        number: The place of the other worker among all workers.
    """
    for name in sorted(first.keys() | other.keys()):
        first_value, other_value = first.get(name), other.get(name)
        if first_value != other_value:
            return (
                f"all workers must have the same options and versions; {name} "
                f"is {first_value!r} for worker 0 and {other_value!r} for "
                f"worker {number}."
            )
    return ""


def _send(connection: socket.socket, message: Any) -> None:
    """Sends one line of JSON."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, deadline: float) -> Any:
    """Reads one line of JSON."""
    received = b""
    while not received.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.01))
        more = connection.recv(65536)
        received += more
        if not more or len(received) > MAX_BYTES:
            raise ValueError("no whole line")
    return json.loads(received)


def _read_introduction(
    connection: socket.socket, deadline: float
) -> tuple[int, dict[str, Any]]:
    """Reads another worker's number and its values."""
    until = min(deadline, time.monotonic() + INTRODUCTION_SECONDS)
    match _read(connection, until):
        case [int(number), dict(values)] if number > 0:
            return number, values
    raise ValueError("not a worker")
