"""One option: a dataclass field with a rule, and the check of that rule."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

# No whole number of an app is greater by default: a mistyped one would make the
# program fail hours later.
MOST = 1_000_000


class InputError(ValueError):
    """An error for an option, a file or data that break a rule.

    The message is one line: the rule, the value received, and what to do.
    `launch` prints it without a traceback and ends with status 2.
    """


def quote(value: object, most: int = 80) -> str:
    """Returns `repr(value)`, without its middle if it is long.

    It is meant for messages: a cell or an argument may have a million
    characters.

    Args:
        value: Any value.
        most: The most characters to return.
    """
    # Only the two ends of a long text need to be made printable.
    if isinstance(value, str) and len(value) > 2 * most:
        value = value[:most] + value[-most:]
    text = repr(value)
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def option(
    default: Any,
    help: str,  # Named as in absl's DEFINE functions.
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    training: bool = True,
    data: bool = False,
) -> Any:
    """Returns a dataclass field that `define_flags` makes into a flag.

    Args:
        default: The value if the flag is not given.
        help: One sentence for `--help`.
        choices: The only values allowed, if any.
        minimum: The least number allowed, itself included.
        maximum: The greatest number allowed, itself included. Whole numbers
            always have one, by default `MOST`.
        training: Whether the trained weights depend on the option. Runs that
            differ only in options without this mark continue one another's
            training.
        data: Whether the option describes the data, or how they are evaluated.
            Programs that use a release then take the release's value unless
            the option is given; see `as_trained`.
    """
    if type(default) is int and maximum is None:
        maximum = MOST
    rule = {
        "help": help,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "training": training,
        "data": data,
    }
    return dataclasses.field(default=default, metadata=rule)


def fixed(default: Any) -> Any:
    """Returns a field for a shared option that an app does not offer."""
    return dataclasses.field(default=default, metadata={"fixed": True})


CheckedT = typing.TypeVar("CheckedT", bound="Checked")


@dataclasses.dataclass(frozen=True)
class Checked:
    """Options that are checked whenever they are made.

    Attributes:
        given: The names of the options on the command line and in its
            flagfiles. It is empty for options made in code, unless that code
            sets it. It is no option itself: it is not a flag, nor a part of
            reports and digests.
    """

    given: frozenset[str] = dataclasses.field(
        default=frozenset(),
        compare=False,
        repr=False,
        kw_only=True,
        metadata={"fixed": True, "training": False},
    )

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


def with_default(options: type[Checked], name: str, default: Any) -> Any:
    """Returns the field `name` of `options` with an app's own default."""
    metadata = options.__dataclass_fields__[name].metadata
    return dataclasses.field(default=default, metadata=metadata)


def is_given(options: Checked, name: str) -> bool:
    """Tells whether an option was given, and not left at its default.

    An option on a command line counts as given even if its value is the
    default. In options made in code, such as `Config(alerts=50)`, a value
    counts as given only if it is not the default.
    """
    default = type(options).__dataclass_fields__[name].default
    return name in options.given or getattr(options, name) != default


def as_trained(options: CheckedT, trained: Mapping[str, Any]) -> CheckedT:
    """Returns `options` with the release's values of options on the data.

    Args:
        options: The options of the command line; those that were given keep
            their values.
        trained: The options that the release was trained with, by name, as in
            its report; {} if a server answers and no copy of the release is
            here.
    """
    changes = {}
    for field in offered(options):
        name = field.name
        if not field.metadata["data"] or name not in trained:
            continue
        if not is_given(options, name):
            value = trained[name]
            changes[name] = tuple(value) if isinstance(value, list) else value
    return options.replace(**changes)


def offered(options: Checked | type[Checked]) -> list[dataclasses.Field]:
    """Returns the fields that are flags: all but the `fixed` ones."""
    return [
        field
        for field in dataclasses.fields(options)
        if not field.metadata.get("fixed")
    ]


def flag_name(name: str) -> str:
    """Returns the flag of a field: `import_` is --import, a word of Python."""
    return name.removesuffix("_")


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raises `InputError` if `value` breaks the field's rule."""
    rule = field.metadata
    name, choices = f"--{flag_name(field.name)}", rule.get("choices")
    if choices and value not in choices:
        raise InputError(
            f"{name} must be one of {', '.join(choices)}; received "
            f"{quote(value)}."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} must be a finite number; received {value}.")
    low, high = rule.get("minimum"), rule.get("maximum")
    if low is not None and value < low:
        raise InputError(f"{name} must be at least {low}; received {value}.")
    if high is not None and value > high:
        raise InputError(f"{name} must be at most {high}; received {value}.")
