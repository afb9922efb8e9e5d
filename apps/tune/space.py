"""The search space: its grammar, and its check against an app's options.

    learning_rate=1e-4..1e-2 log, units=16|32|64, flip=true|false

Items are separated by commas or line ends; `#` begins a comment. A range takes
numbers from its low to its high end, both included; with `log` their logarithms
are spread evenly. The values of a list may hold commas, as in units=64,32|128.
"""

import dataclasses
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.options import Checked, InputError, flag_name, offered, quote

EXAMPLE = "learning_rate=1e-4..1e-2 log, units=16|32|64"
# Options that decide which examples there are, or what a trial is, in every
# app.
NEVER = ("dataset", "seed")
_ITEM = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_BETWEEN = re.compile(r"[,\n]\s*(?=[A-Za-z_][A-Za-z0-9_]*\s*=)")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        name: The option's name.
        low: The least number; whole if the option's are.
        high: The greatest number.
        log: Whether logarithms are spread evenly, not the numbers.
    """

    name: str
    low: float
    high: float
    log: bool

    def value(self, drawn: Any) -> Any:
        """Returns the option's value for what the sampler has drawn."""
        return drawn

    def drawn(self, value: Any) -> Any:
        """Returns what a sampler would draw for a value; None if it cannot."""
        return value if self.low <= value <= self.high else None


@dataclasses.dataclass(frozen=True)
class Choices:
    """A list of values.

    Attributes:
        name: The option's name.
        values: The option's values by their text in the space.
    """

    name: str
    values: Mapping[str, Any]

    def value(self, drawn: Any) -> Any:
        """Returns the option's value for the text that was drawn."""
        return self.values[drawn]

    def drawn(self, value: Any) -> str | None:
        """Returns the text of a value; None if the list lacks the value."""
        return next((t for t, v in self.values.items() if v == value), None)


Parameter = Range | Choices
Space = Sequence[Parameter]


def items(text: str) -> dict[str, str]:
    """Returns the values, as text, of each option in a space.

    Args:
        text: The space; see the module's docstring.

    Raises:
        InputError: If the text is no space, or names an option twice.
    """
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    text = "\n".join(line.strip(",") for line in lines if line)
    values: dict[str, str] = {}
    for item in _BETWEEN.split(text) if text else ():
        match = _ITEM.fullmatch(item.strip().rstrip(","))
        if not match:
            raise InputError(
                f"--search must be items such as {EXAMPLE}; received "
                f"{quote(item)}."
            )
        name, value = match.groups()
        if name in values:
            raise InputError(
                f"--search must name an option once; received {name} twice."
            )
        values[name] = value.strip()
    return values


def parse(
    values: Mapping[str, str], base: Checked, comparable: Iterable[str] = ()
) -> list[Parameter]:
    """Returns the parameters of a space, checked against an app's options.

    Args:
        values: What `items` returns.
        base: The app's options that trials start from.
        comparable: The names of options that describe the data and still leave
            the validation examples the same.

    Raises:
        InputError: If there is nothing to search, or if an option or one of its
            values cannot be searched.
    """
    if not values:
        raise InputError(
            f"--search must have items such as {EXAMPLE}; received none."
        )
    fields = {flag_name(field.name): field for field in offered(base)}
    types = typing.get_type_hints(type(base))
    parameters = []
    for name, text in values.items():
        if name not in fields:
            raise InputError(
                f"--search: {name} must be an option of the application; "
                f"{_near(name, fields)}."
            )
        field = fields[name]
        _check_option(name, field, comparable)
        parameter = _parameter(field.name, text, types[field.name])
        _check_values(parameter, base)
        parameters.append(parameter)
    return parameters


def _near(name: str, names: Iterable[str]) -> str:
    """Returns a hint at the options that a wrong name may mean."""
    import difflib

    near = difflib.get_close_matches(name, list(names), 3)
    return f"did you mean {' or '.join(near)}?" if near else "--help lists them"


def _check_option(
    name: str, field: dataclasses.Field, comparable: Iterable[str]
) -> None:
    """Refuses an option whose values give no trials to compare."""
    if not field.metadata["training"]:
        raise InputError(
            f"--search: {name} must be an option that training depends on; the "
            "trained weights do not depend on this one. Leave it out."
        )
    is_data = field.metadata["data"] and field.name not in comparable
    if is_data or field.name in NEVER:
        raise InputError(
            f"--search: {name} must not be searched; it decides which examples "
            "validate, so that trials could not be compared. Give it after --."
        )


def _parameter(name: str, text: str, kind: Any) -> Parameter:
    """Returns the parameter that an item describes.

    Args:
        name: The option's name.
        text: The text after `=`.
        kind: The option's type.
    """
    received = f"received {flag_name(name)}={quote(text)}"
    if ".." not in text:
        texts = [part.strip() for part in text.split("|")]
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise InputError(
                "--search: a list must have at least two different values, "
                f"such as 16|32; {received}."
            )
        return Choices(name, {part: _convert(part, kind) for part in texts})
    match = re.fullmatch(r"(\S+?)\s*\.\.\s*(\S+?)(\s+log)?", text)
    if not match:
        raise InputError(
            "--search: a range must be low..high, with log behind it or not; "
            f"{received}."
        )
    if kind not in (int, float):
        raise InputError(
            f"--search: {flag_name(name)} must be a list such as a|b, for it "
            f"is no number; {received}."
        )
    low, high = _convert(match[1], kind), _convert(match[2], kind)
    if not low < high:
        raise InputError(
            f"--search: a range must have a low end below its high end; "
            f"{received}."
        )
    if match[3] and low <= 0:
        raise InputError(
            f"--search: a range with log must begin above 0; {received}."
        )
    return Range(name, low, high, bool(match[3]))


def _convert(text: str, kind: Any) -> Any:
    """Returns a value of an option's type.

    Raises:
        InputError: If the text is no such value.
    """
    if kind is str:
        return text
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",")) if text else ()
    try:
        if kind is int:
            return int(text)
        if kind is float and math.isfinite(float(text)):
            return float(text)
    except ValueError:
        pass
    names = {int: "a whole number", float: "a number", bool: "true or false"}
    raise InputError(
        f"--search: a value must be {names[kind]}; received {quote(text)}."
    )


def _check_values(parameter: Parameter, base: Checked) -> None:
    """Refuses values that break a rule of the app's options."""
    if isinstance(parameter, Range):
        values = [parameter.low, parameter.high]
    else:
        values = list(parameter.values.values())
    for value in values:
        try:
            base.replace(**{parameter.name: value})
        except InputError as error:
            raise InputError(f"--search: {error}") from None
