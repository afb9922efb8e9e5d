"""Cases of REST about paths, methods, headers and encodings."""

import gzip
import json

from .cases import JSON, Case, Purpose, predict
from .model import NAME
from .rest_bodies import NEWEST, ROWS

MODEL = f"/v1/models/{NAME}"
BODY = json.dumps(ROWS).encode()
STABLE = {"predictions": [{"y": 6.0, "version": 1}, {"y": 15.5, "version": 1}]}
TWO_LENGTHS = Purpose(
    400,
    "200; it takes the chunks",
    "what follows the shorter body could pass for a request of its own",
)
AFTER_GZIP = Purpose(
    400,
    "200; it leaves them unread",
    "bytes after a packed body are a sign of a broken client",
)


def _state(*versions: int) -> dict[str, list]:
    status = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [
            {"version": str(version), "state": "AVAILABLE", "status": status}
            for version in versions
        ]
    }


def _metadata(version: int) -> dict[str, dict]:
    """Returns the part of the metadata that the API page defines."""
    size = [{"size": "-1", "name": ""}, {"size": "3", "name": ""}]
    shape = {"dim": size, "unknown_rank": False}
    signature = {
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape}},
        "outputs": {
            "y": {"dtype": "DT_FLOAT"},
            "version": {"dtype": "DT_INT64"},
        },
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": NAME, "version": str(version)},
        "metadata": {
            "signature_def": {"signature_def": {"serving_default": signature}}
        },
    }


def looks() -> list[Case]:
    """Returns the cases of status and metadata."""
    answers = {
        "": ("answer", _state(2, 1)),
        "/versions/1": ("answer", _state(1)),
        "/versions/00002": ("answer", _state(2)),
        "/labels/stable": ("answer", _state(1)),
        "/metadata": ("part", _metadata(2)),
        "/versions/1/metadata": ("part", _metadata(1)),
        "/labels/stable/metadata": ("part", _metadata(1)),
    }
    errors = {
        f"{MODEL}/versions/7": 404,
        f"{MODEL}/versions/7/metadata": 404,
        f"{MODEL}/labels/nope": 400,
        f"{MODEL}/labels/nope/metadata": 400,
        "/v1/models/nope": 404,
        "/v1/models/nope/metadata": 404,
        f"/v1/models/{NAME.upper()}": 404,
        f"{MODEL}?x=1": 404,
        f"{MODEL}/": 400,
        f"{MODEL}/metadata/": 400,
        f"{MODEL}/metadata?x=1": 400,
        f"{MODEL}/nope": 400,
        f"{MODEL}/versions": 400,
        f"{MODEL}/versions/": 400,
        f"{MODEL}/versions/one": 400,
        f"{MODEL}/versions/-1": 400,
        f"{MODEL}/versions/9999999999999999999": 400,
        f"{MODEL}/labels/": 400,
        f"{MODEL}:predict": 400,
        f"{MODEL}:classify": 400,
        "/v1/models": 400,
        "/v1/models/": 400,
        "/v1/": 400,
        "/v1/models/../../etc/passwd": 400,
        "/": 404,
        "/v1": 404,
        "/v2/models/x": 404,
        "/elsewhere": 404,
    }
    cases = [
        Case(f"GET {behind or '(status)'}", "GET", MODEL + behind,
             **{field: value})  # type: ignore[arg-type]
        for behind, (field, value) in answers.items()
    ]  # fmt: skip
    cases += [
        Case(f"GET {path}", "GET", path, status=status)
        for path, status in errors.items()
    ]
    path = f"/V1/Models/{NAME}/METADATA"
    return [
        *cases,
        Case("GET in capitals", "GET", path, part=_metadata(2)),
        Case("GET with a body", "GET", MODEL, b"{}", answer=_state(2, 1)),
    ]


def asks() -> list[Case]:
    """Returns the cases of paths of requests with a body."""
    errors = {
        "/v1/models/nope:predict": 404,
        f"{MODEL}/versions/7:predict": 404,
        f"{MODEL}/labels/nope:predict": 400,
        f"{MODEL}:predict?x=1": 400,
        f"{MODEL}:predict/": 400,
        f"{MODEL}:explain": 400,
        f"{MODEL}:": 400,
        MODEL: 400,
        f"{MODEL}/metadata": 400,
        f"{MODEL}/predict": 400,
        f"{MODEL}/versions/one:predict": 400,
        f"{MODEL}/versions/:predict": 400,
        f"{MODEL}/labels/:predict": 400,
        f"{MODEL}/versions/1/labels/stable:predict": 400,
        f"{MODEL}/x:predict": 400,
        "/v1/models/:predict": 400,
        "/elsewhere:predict": 404,
    }
    examples = {
        "signature_name": "serving_default",
        "examples": [{"x": [1.0, 2.0, 3.0]}],
    }
    content = json.dumps(examples).encode()
    cases = [
        Case(f"POST {path}", "POST", path, BODY, JSON, status)
        for path, status in errors.items()
    ]
    return [
        *cases,
        predict("version by number", ROWS, at="/versions/1", answer=STABLE),
        predict("version with zeros", ROWS, at="/versions/001", answer=STABLE),
        predict("version by label", ROWS, at="/labels/stable", answer=STABLE),
        Case("path in capitals", "POST", f"/V1/MODELS/{NAME}:PREDICT", BODY,
             JSON, answer=NEWEST),
        *(Case(f"{verb} a signature of predict", "POST", f"{MODEL}:{verb}",
               content, JSON, 400) for verb in ("classify", "regress")),
        *(Case(f"{method} {path}", method, path, status=status)
          for method in ("PUT", "DELETE", "OPTIONS", "HEAD")
          for path, status in ((MODEL, 400), (f"{MODEL}:predict", 400))),
    ]  # fmt: skip


def headers() -> list[Case]:
    """Returns the cases of headers, lengths and encodings."""
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (BODY[:5], BODY[5:6], BODY[6:], b"")
    )
    packed = gzip.compress(BODY, mtime=0)
    chunked = ("Transfer-Encoding", "chunked")
    zipped = ("Content-Encoding", "gzip")
    length = ("Content-Length", str(len(BODY)))
    form = "application/x-www-form-urlencoded"  # What `curl -d` sends.
    taken: dict[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {
        "no Content-Type": (BODY, ()),
        "Content-Type of a form": (BODY, (("Content-Type", form),)),
        "Content-Type of text": (BODY, (("content-type", "text/plain"),)),
        "Accept": (BODY, (("Accept", "text/html"),)),
        "Accept-Encoding": (BODY, (("Accept-Encoding", "gzip, br"),)),
        "an unknown header": (BODY, (("X-Request-Id", "7"),)),
        "a header twice": (BODY, (("X-A", "1"), ("X-A", "2"))),
        "Origin": (BODY, (("Origin", "http://localhost:3000"),)),
        "Connection: close": (BODY, (("Connection", "close"),)),
        "names in small letters": (BODY, (("content-length", length[1]),)),
        "chunks": (chunks, (chunked,)),
        "gzip": (packed, (zipped,)),
        "gzip in chunks": (
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed),
            (chunked, zipped),
        ),
        "Expect: 100-continue": (BODY, (("Expect", "100-continue"),)),
    }
    return [
        *(predict(f"header: {name}", body, headers=head, answer=NEWEST)
          for name, (body, head) in taken.items()),
        predict("header: Expect something else", BODY, 417,
                headers=(("Expect", "the best"),)),
        predict("header: two lengths", chunks, headers=(length, chunked),
                purpose=TWO_LENGTHS),
        predict("header: gzip, followed by more", packed + b"more",
                headers=(zipped,), purpose=AFTER_GZIP),
        predict("protocol HTTP/1.0", BODY, protocol="HTTP/1.0", answer=NEWEST),
    ]  # fmt: skip
