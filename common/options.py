"""One option: a dataclass field with a rule, and the check of that rule."""

import dataclasses
import math
import typing
from collections.abc import Sequence
from typing import Any

# No count of an app's is greater; a mistyped one would fail hours later.
MOST = 1_000_000


class InputError(ValueError):
    """Says that an option, a file or data are not as they must be.

    The message is one line: the rule, the value received, what to do. `launch`
    prints it without a traceback and ends with status 2.
    """


def quote(value: object, limit: int = 80) -> str:
    """Returns `repr(value)`, shortened in the middle to `limit` characters."""
    text = repr(value)
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def option(
    default: Any,
    help: str,  # Named as in absl's DEFINE functions.
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    training: bool = True,
) -> Any:
    """Returns a dataclass field that `define_flags` makes into a flag.

    Args:
        default: The value if the flag is not given.
        help: One sentence for `--help`.
        choices: The only values allowed, if any.
        minimum: The least number allowed, itself included.
        maximum: The greatest number allowed, itself included. Whole numbers
            always have one, by default `MOST`.
        training: Whether the trained weights depend on it. Runs that differ
            only in the other options continue one another's training.
    """
    if type(default) is int and maximum is None:
        maximum = MOST
    rule = {
        "help": help,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "training": training,
    }
    return dataclasses.field(default=default, metadata=rule)


def fixed(default: Any) -> Any:
    """Returns a field for a shared option that an app does not offer."""
    return dataclasses.field(default=default, metadata={"fixed": True})


@dataclasses.dataclass(frozen=True)
class Checked:
    """Options that are checked whenever they are made."""

    def __post_init__(self) -> None:
        """Checks every option against its own rule."""
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    def replace(self, **changes: Any) -> typing.Self:
        """Returns a copy with `changes` made, checked like a new one."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Returns every option by name, ready for JSON."""
        return {
            field.name: getattr(self, field.name) for field in offered(self)
        }


def offered(options: Checked | type[Checked]) -> list[dataclasses.Field]:
    """Returns the fields that are flags: all but the `fixed` ones."""
    return [
        field
        for field in dataclasses.fields(options)
        if not field.metadata.get("fixed")
    ]


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raises `InputError` if `value` breaks the field's rule."""
    rule = field.metadata
    name, choices = f"--{field.name}", rule.get("choices")
    if choices and value not in choices:
        raise InputError(
            f"{name} must be one of {', '.join(choices)}; received {value!r}."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} must be a finite number; received {value}.")
    low, high = rule.get("minimum"), rule.get("maximum")
    if low is not None and value < low:
        raise InputError(f"{name} must be at least {low}; received {value}.")
    if high is not None and value > high:
        raise InputError(f"{name} must be at most {high}; received {value}.")
