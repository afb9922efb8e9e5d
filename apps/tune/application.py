"""The application whose settings are searched, as a command line names it."""

import dataclasses
import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from common import flags
from common.options import InputError, quote
from common.shared_options import Options

from . import space
from .config import Config


@dataclasses.dataclass(frozen=True)
class Application:
    """An application and what a search needs to know of it.

    Attributes:
        package: The package, such as `apps.image_classify`.
        base: The options that trials start from.
        items: The text of each option's values; see `space.items`.
        parameters: The options to search.
        monitor: The validation metric of epochs that stops poor trials early;
            "" where no metric of epochs tells the task metric.
        in_trials: Options that spare trials work their value does not need.
    """

    package: str
    base: Options
    items: Mapping[str, str]
    parameters: space.Space
    monitor: str
    in_trials: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The application's name, such as `image_classify`."""
        return self.package.rpartition(".")[2]

    def options(self, drawn: Mapping[str, Any]) -> Options:
        """Returns the base options with the values that were drawn.

        Raises:
            InputError: If the values break a rule together.
        """
        values = {p.name: p.value(drawn[p.name]) for p in self.parameters}
        given = self.base.given | set(values)
        return self.base.replace(**values, given=given)

    def run(self, options: Options) -> dict[str, Any]:
        """Runs the application's `train.run`; returns its report."""
        module = importlib.import_module(f"{self.package}.train")
        return module.run(options)


def load(config: Config) -> Application:
    """Returns the application that the words after -- name.

    Raises:
        InputError: If there is no such application, or if its options or the
            search space break a rule.
    """
    package, *words = config.command
    base = flags.of_words(_config_class(package), words)
    if base.mode != "train" or base.strategy == "multi_worker":
        raise InputError(
            "a search must train, on one worker; received "
            f"--mode={base.mode} --strategy={base.strategy}. For more workers, "
            "start the same search several times."
        )
    own = _own_search(package)
    items = space.items(config.search)
    if own and (config.extend or not items):
        items = {**space.items(own.space(base)), **items}
    return Application(
        package, base, items,
        space.parse(items, base, own.COMPARABLE if own else ()),
        own.monitor(base) if own else "",
        own.IN_TRIALS if own else {},
    )  # fmt: skip


def _config_class(package: str) -> type[Options]:
    """Returns the class of an application's options."""
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", package, re.ASCII):
        try:
            module = importlib.import_module(f"{package}.config")
            config_class = getattr(module, "Config", None)
        except ModuleNotFoundError as error:
            if not f"{package}.config".startswith(str(error.name)):
                raise
            config_class = None
        if (
            isinstance(config_class, type)
            and issubclass(config_class, Options)
            and _has(package)
        ):
            return config_class
    raise InputError(
        "the word after -- must be an application, such as "
        f"apps.image_classify; received {quote(package)}."
    )


def _has(package: str, module: str = "train") -> bool:
    """Returns whether a package has a module, without importing it."""
    return importlib.util.find_spec(f"{package}.{module}") is not None


def _own_search(package: str) -> ModuleType | None:
    """Returns the application's module `search`, if it has one."""
    if not _has(package, "search"):
        return None
    return importlib.import_module(f"{package}.search")


def as_flags(options: Options, names: Sequence[str]) -> list[str]:
    """Returns options as the lines of a flagfile.

    Args:
        options: The options.
        names: The options to write.
    """
    import csv
    import io

    lines = []
    for name in names:
        value = getattr(options, name)
        if isinstance(value, tuple):
            row = io.StringIO()
            csv.writer(row, lineterminator="").writerow(value)
            value = row.getvalue()
        elif isinstance(value, bool):
            value = str(value).lower()
        lines.append(f"--{name.removesuffix('_')}={value}")
    return lines
