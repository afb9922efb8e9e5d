"""What goes wrong with a request, as an answer in TF Serving's form."""

from collections.abc import Callable

from absl import logging

from common.options import InputError
from common.release.json_values import JsonError
from common.release.status import ServingError

from .bodies import RefusedError
from .http_connection import Answer, error
from .http_requests import Request


def answered(request: Request, answer: Callable[[Request], Answer]) -> Answer:
    """Returns the answer to a request, or the error that it causes."""
    try:
        return answer(request)
    except ServingError as refused:
        return error(refused.http, refused.message)
    except JsonError as refused:
        return error(400, str(refused))
    except RefusedError as refused:
        return error(refused.code, str(refused))
    except Exception as fault:
        # A fault of the server: the operator gets the traceback, the client
        # does not.
        logging.exception("%s %s", request.method, request.path[:200])
        return error(500, f"Internal: {type(fault).__name__}")


def taken(option: str, host: str, port: int, reason: str | None) -> InputError:
    """Returns the error of a port on which the server cannot listen."""
    return InputError(
        f"--{option} must be free on {host}; received {port}: {reason}. "
        "Pass another, or 0 for any."
    )
