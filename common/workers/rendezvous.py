"""A meeting of all workers before TensorFlow starts its cluster.

TensorFlow waits for an hour for a worker that never comes and does not say for
which; workers with different options hang in their first collective operation.
Here the first worker listens at its own address until all have come, compares
what they say about themselves, and tells all of them the outcome: each then
goes on, or ends with the same clear line. Plain sockets, one line of JSON each
way, within the network that the workers' own gRPC servers trust as well.
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from common.options import InputError

MAX_BYTES = 1_000_000  # Of a line.
RETRY_SECONDS = 0.2
HEAR_SECONDS = 5.0  # For who has connected to say who it is.


def meet(
    addresses: Sequence[str], index: int, same: dict[str, Any], timeout: float
) -> None:
    """Waits until all workers have come and have found themselves alike.

    Args:
        addresses: `host:port` of every worker.
        index: The place of this one among them.
        same: What must be equal for all workers, by name; JSON values.
        timeout: Seconds to wait.

    Raises:
        InputError: If a worker does not come in time, says something else than
            the first one, or this worker's port is in use.
    """
    same = {"the number of workers in TF_CONFIG": len(addresses), **same}
    same = json.loads(json.dumps(same))  # A tuple is a list for the others.
    with _listen(addresses[index]) as listener:
        if index == 0:
            _receive_all(listener, addresses, same, time.monotonic() + timeout)
    if index:
        _report(addresses, index, same, timeout)


def _listen(address: str) -> socket.socket:
    """Takes this worker's own port."""
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if both else socket.AF_INET,
            dualstack_ipv6=both,
        )
    except OSError as error:
        raise InputError(
            f"TF_CONFIG must give this worker a free port; {address} cannot be "
            f"used: {os.strerror(error.errno or 0)}."
        ) from None


def _receive_all(
    listener: socket.socket,
    addresses: Sequence[str],
    same: dict[str, Any],
    deadline: float,
) -> None:
    """Hears every other worker, then tells all of them the outcome."""
    waiting: dict[int, socket.socket] = {}
    outcome = ""
    try:
        while len(waiting) < len(addresses) - 1 and not outcome:
            listener.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                one, _ = listener.accept()
            except TimeoutError:
                missing = set(range(1, len(addresses))) - set(waiting)
                outcome = _missing(addresses, sorted(missing))
                break
            except OSError:
                continue  # Gone before it was taken.
            try:
                number, theirs = _hear(one, deadline)
            except (OSError, ValueError):
                # Not one of us: a port scan, a health check that says nothing.
                one.close()
                continue
            if number in waiting:
                waiting[number].close()  # It has come again.
            waiting[number] = one
            outcome = _compare(same, theirs, number)
        for one in waiting.values():
            _say(one, outcome)
    finally:
        for one in waiting.values():
            one.close()
    if outcome:
        raise InputError(outcome)


def _report(
    addresses: Sequence[str], index: int, same: dict[str, Any], timeout: float
) -> None:
    """Tells the first worker of this one, and hears the outcome."""
    host, _, port = addresses[0].rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host, int(port)), 5.0) as first:
                _say(first, [index, same])
                # Its own wait for the others began now, at the latest.
                outcome = _read(first, time.monotonic() + timeout + 5.0)
            break
        except (OSError, ValueError):
            # Not there yet, or its name is not known yet.
            if time.monotonic() > deadline:
                raise InputError(_missing(addresses, [0])) from None
            time.sleep(RETRY_SECONDS)
    if outcome:
        raise InputError(str(outcome))


def _missing(addresses: Sequence[str], numbers: Sequence[int]) -> str:
    names = ", ".join(f"worker {one} ({addresses[one]})" for one in numbers)
    return (
        f"all {len(addresses)} workers of TF_CONFIG must come within "
        f"--cluster_timeout; {names} did not. Look at its log, or wait longer."
    )


def _compare(ours: dict[str, Any], theirs: dict[str, Any], number: int) -> str:
    """Returns the first difference as a sentence; empty if there is none."""
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(name), theirs.get(name)
        if mine != other:
            return (
                f"all workers must have the same options and versions; {name} "
                f"is {mine!r} for worker 0 and {other!r} for worker {number}."
            )
    return ""


def _say(other: socket.socket, message: Any) -> None:
    other.sendall(json.dumps(message).encode() + b"\n")


def _read(other: socket.socket, deadline: float) -> Any:
    """Reads one line of JSON."""
    received = b""
    while not received.endswith(b"\n"):
        other.settimeout(max(deadline - time.monotonic(), 0.01))
        more = other.recv(65536)
        received += more
        if not more or len(received) > MAX_BYTES:
            raise ValueError("no whole line")
    return json.loads(received)


def _hear(other: socket.socket, deadline: float) -> tuple[int, dict[str, Any]]:
    """Reads which worker this is, and what it says of itself."""
    until = min(deadline, time.monotonic() + HEAR_SECONDS)
    match _read(other, until):
        case [int(number), dict(theirs)] if number > 0:
            return number, theirs
    raise ValueError("not a worker")
