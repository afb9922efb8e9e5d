"""What a case is: a request, and the answer that TF Serving gives."""

import dataclasses
import json
from typing import Any

from .model import NAME

JSON = (("Content-Type", "application/json"),)


@dataclasses.dataclass(frozen=True)
class Purpose:
    """Why the embedded server answers something else, on purpose.

    Attributes:
        status: The embedded server's status: a number for REST, the name of a
            code for gRPC.
        theirs: TF Serving's own answer, in words.
        reason: The reason, as part of a sentence.
    """

    status: int | str
    theirs: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Case:
    """A REST request and its answer.

    Attributes:
        name: A unique name.
        method: The HTTP method.
        path: The whole path.
        body: The body; None for no body and no length.
        headers: Names and values, without `Host` and `Content-Length`.
        status: TF Serving's status.
        answer: The JSON of the whole answer; None if only its shape is
            defined. An error is `{"error": TEXT}`.
        part: A part of the answer's JSON, as `contains` compares it.
        mentions: What the text of an error must name.
        protocol: The protocol in the request's first line.
        purpose: Why the embedded server answers otherwise; None if it must
            answer as TF Serving does.
    """

    name: str
    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    answer: Any = None
    part: Any = None
    mentions: str = ""
    protocol: str = "HTTP/1.1"
    purpose: Purpose | None = None

    def raw(self, host: str) -> bytes:
        """Returns the request as it is sent."""
        lines = [f"{self.method} {self.path} {self.protocol}", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        named = {name.lower() for name, _ in self.headers}
        if self.body is not None and not named & {
            "content-length",
            "transfer-encoding",
        }:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + (self.body or b"")


def predict(
    name: str,
    body: Any,
    status: int = 200,
    at: str = "",
    headers: tuple[tuple[str, str], ...] = JSON,
    **more: Any,
) -> Case:
    """Returns a case of `:predict`.

    Args:
        name: The case's name.
        body: Bytes, or what JSON is made of.
        status: TF Serving's status.
        at: The version or label, such as `/versions/1`.
        headers: The request's headers.
        **more: The other attributes of `Case`.
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = f"/v1/models/{NAME}{at}:predict"
    return Case(name, "POST", path, content, headers, status, **more)


def same(dtype: str, text: str, status: int = 200, **more: Any) -> Case:
    """Returns a case that sends one value and expects it back.

    Args:
        dtype: The input's type.
        text: The value as it stands in the request's JSON, in ASCII.
        status: TF Serving's status.
        **more: The other attributes of `Case`; `back` is the value in the
            answer where that is another one.
    """
    body = f'{{"signature_name": "same_{dtype}", "inputs": [{text}]}}'
    if status == 200 and "purpose" not in more:
        value = more.pop("back") if "back" in more else json.loads(text)
        more["answer"] = {"outputs": [value]}
    return predict(f"{dtype} {text}", body.encode(), status, **more)


def contains(answer: Any, part: Any) -> bool:
    """Tells whether JSON has at least the keys of `part`, with its values.

    Numbers may differ by the digits that a float32 loses in JSON.
    """
    if isinstance(part, dict):
        return isinstance(answer, dict) and all(
            key in answer and contains(answer[key], value)
            for key, value in part.items()
        )
    return equals(answer, part)


def equals(answer: Any, wanted: Any) -> bool:
    """Tells whether two JSON values are equal, but for digits of floats."""
    if isinstance(wanted, dict):
        return (
            isinstance(answer, dict)
            and set(answer) == set(wanted)
            and all(equals(answer[key], wanted[key]) for key in wanted)
        )
    if isinstance(wanted, list):
        return (
            isinstance(answer, list)
            and len(answer) == len(wanted)
            and all(map(equals, answer, wanted))
        )
    if isinstance(wanted, float) and type(answer) in (int, float):
        both_nan = answer != answer and wanted != wanted
        return (
            both_nan
            or answer == wanted
            or abs(answer - wanted) <= 1e-6 * abs(wanted) < float("inf")
        )
    return type(answer) is type(wanted) and bool(answer == wanted)
