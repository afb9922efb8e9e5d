"""Asks a server what TF Serving's API documents, and compares the answers.

  python -m benchmarks.serving_conformance
  python -m benchmarks.serving_conformance --write=models
  python -m benchmarks.serving_conformance \
      --server=http://host:8501,grpc://host:8500

Without --server it starts the embedded server. Another server must serve the
small model that --write makes, with the `models.config` beside it:

  tensorflow_model_server --rest_api_port=8501 --port=8500 \
      --model_config_file=models/models.config \
      --allow_version_labels_for_unavailable_models

The cases were written from TF Serving's public pages on its REST API, its gRPC
messages and its configuration. Status, shape and numbers are compared, and the
text of an error only for the names in it. Where the embedded server answers
otherwise on purpose, the case says why; a server that gives either answer is
right. The exit status is 1 if an answer differs.
"""

import argparse
import collections
import contextlib
import gzip
import http.client
import json
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

from benchmarks.conformance import (
    cases,
    grpc_cases,
    model,
    rest_bodies,
    rest_paths,
    rest_values,
)
from common import runtime

SECONDS = 30.0
LONGEST = 100  # Characters of an answer in the table.


class Result(NamedTuple):
    """What a server answered to a case.

    Attributes:
        name: The case's name, with its protocol.
        kind: `equal`, `on purpose` or `differs`.
        wanted: TF Serving's status.
        answer: The server's status, and the answer's start if it differs.
    """

    name: str
    kind: str
    wanted: int | str
    answer: str


def rest_cases() -> list[cases.Case]:
    """Returns the cases of REST."""
    return [
        *rest_values.numbers(),
        *rest_values.strings(),
        *rest_bodies.rows(),
        *rest_bodies.columns(),
        *rest_bodies.signatures(),
        *rest_bodies.broken(),
        *rest_paths.looks(),
        *rest_paths.asks(),
        *rest_paths.headers(),
    ]


def exchange(address: tuple[str, int], case: cases.Case) -> tuple[int, Any]:
    """Sends a case over a connection of its own.

    Returns:
        The status, and the answer's JSON; None where there is no JSON.
    """
    with socket.create_connection(address, SECONDS) as connection:
        connection.sendall(case.raw(f"{address[0]}:{address[1]}"))
        response = http.client.HTTPResponse(connection, method=case.method)
        response.begin()
        content = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    try:
        return response.status, json.loads(content)
    except ValueError:
        return response.status, None


def is_right(case: cases.Case, status: int, answer: Any) -> bool:
    """Tells whether an answer of the right status has the right body."""
    if status != 200:
        if case.method == "HEAD" or not case.path.lower().startswith("/v1/"):
            return True  # No body, or a path outside the API.
        return (
            isinstance(answer, dict)
            and list(answer) == ["error"]
            and isinstance(answer["error"], str)
            and case.mentions in answer["error"]
        )
    if case.part is not None:
        return cases.contains(answer, case.part)
    if case.answer is not None:
        return cases.equals(answer, case.answer)
    return isinstance(answer, dict)


def ask_rest(address: tuple[str, int]) -> Iterator[Result]:
    """Yields the results of all cases of REST."""
    for case in rest_cases():
        try:
            status, answer = exchange(address, case)
        except (OSError, http.client.HTTPException) as error:
            status, answer = 0, f"no answer: {error!r}"
        kind = "differs"
        if status == case.status and is_right(case, status, answer):
            kind = "equal"
        elif case.purpose and status == case.purpose.status:
            kind = "on purpose" if is_right(case, status, answer) else kind
        text = f"{status}"
        if kind == "differs":
            text += f" {json.dumps(answer)}"[:LONGEST]
        yield Result(f"REST {case.name}", kind, case.status, text)


def ask_grpc(address: str) -> Iterator[Result]:
    """Yields the results of all cases of gRPC."""
    with grpc.insecure_channel(address) as channel:
        for case in grpc_cases.cases():
            answer: Any = None
            try:
                code, answer = "OK", case.call(channel)
            except grpc.RpcError as error:
                code = error.code().name
            kind, text = "differs", code
            if code == case.code and case.answer in (None, answer):
                kind = "equal"
            elif case.purpose and code == case.purpose.status:
                kind = "on purpose"
            else:
                text += f" {answer}"[:LONGEST]
            yield Result(f"gRPC {case.name}", kind, case.code, text)


def on_purpose() -> list[str]:
    """Returns the table of the cases that differ on purpose, in Markdown."""
    lines = [
        "| case | the embedded server | TF Serving | the reason |",
        "|---|---|---|---|",
    ]
    grouped: dict[cases.Purpose, list[str]] = collections.defaultdict(list)
    for protocol, some in (
        ("REST", rest_cases()),
        ("gRPC", grpc_cases.cases()),
    ):
        for case in some:
            if case.purpose:
                grouped[case.purpose].append(f"{protocol} `{case.name}`")
    for purpose, names in grouped.items():
        lines.append(
            f"| {', '.join(names)} | {purpose.status} | {purpose.theirs} | "
            f"{purpose.reason} |"
        )
    return lines


@contextlib.contextmanager
def embedded() -> Iterator[list[str]]:
    """Serves the model by the embedded server; gives its two URLs."""
    from common.serving import embedded as server

    with tempfile.TemporaryDirectory() as folder:
        model.release(Path(folder))
        with server.serving(Path(folder), tell=lambda line: None) as running:
            yield [
                f"http://127.0.0.1:{running.rest_port}",
                f"grpc://127.0.0.1:{running.grpc_port}",
            ]


def ask(urls: Iterable[str]) -> list[Result]:
    """Returns the results of all cases that the URLs' protocols have."""
    results: list[Result] = []
    for url in urls:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme == "grpc":
            results += ask_grpc(parts.netloc)
        else:
            results += ask_rest((parts.hostname or "", parts.port or 80))
    return results


def main() -> int:
    """Prints the table of results; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--server", default="", help="URLs, with commas")
    parser.add_argument("--write", help="write the model here, and end")
    parser.add_argument("--all", action="store_true", help="print every case")
    flags = parser.parse_args()
    runtime.start(0)
    if flags.write:
        model.release(Path(flags.write))
        return 0
    given = contextlib.nullcontext(flags.server.split(","))
    with given if flags.server else embedded() as urls:
        results = ask(urls)
    print("| case | TF Serving | this server | |\n|---|---|---|---|")
    for name, kind, wanted, answer in results:
        if flags.all or kind != "equal":
            print(f"| {name} | {wanted} | {answer} | {kind} |")
    counts = collections.Counter(result.kind for result in results)
    print(f"\n{len(results)} cases: ", end="")
    print(", ".join(f"{counts[kind]} {kind}" for kind in counts))
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
