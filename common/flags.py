"""Options: frozen dataclasses whose fields become command-line flags.

An app's `Config` inherits `Options` and adds fields made by `option`. The
fields become absl flags only when the app is the program that runs (`launch`),
so any number of apps can be imported into one process, and every function can
be called from a test or a notebook with a plain `Config(...)`.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from common import runtime
from common.options import (
    Checked,
    InputError,
    offered,
    quote,
)

# A disk, a folder or a path that the user can mend: no fault of the program.
SURROUNDINGS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
LONGEST_LINE = 900  # Characters of an error.

# Flags defined here belong to the app that calls `launch`; otherwise `--help`,
# which lists the main module's flags, would be empty.
flags.disclaim_key_flags()


ConfigT = typing.TypeVar("ConfigT", bound=Checked)


def define_flags(config_class: type[Checked]) -> None:
    """Defines an absl flag for every field of `config_class`."""
    kinds = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple[str, ...]: flags.DEFINE_list,
    }
    types = typing.get_type_hints(config_class)
    for field in offered(config_class):
        text, choices = field.metadata["help"], field.metadata["choices"]
        if choices:
            text = f"<{'|'.join(choices)}> {text}"
        default = field.default
        if isinstance(default, tuple):
            default = list(default)
        kinds[types[field.name]](field.name, default, text)


def from_flags(config_class: type[ConfigT]) -> ConfigT:
    """Returns a `config_class` with the values of the parsed flags."""
    values: dict[str, Any] = {}
    for field in offered(config_class):
        value = flags.FLAGS[field.name].value
        values[field.name] = tuple(value) if isinstance(value, list) else value
    given = (name for name in values if flags.FLAGS[name].present)
    return config_class(**values, given=frozenset(given))


def launch(
    main: Callable[[ConfigT], None],
    config_class: type[ConfigT],
    positional: str = "",
    rest: str = "",
) -> None:
    """Runs `main` with the command line's options and exits.

    Args:
        main: The program.
        config_class: Its options.
        positional: The option that may be given by its value alone.
        rest: The option that takes all words after the other options.

    Exit status: 0 when `main` returns, 2 when it raises `InputError` or the
    command line is wrong, or disks and folders are full, read-only or not to be
    reached; 130 after SIGINT. Other errors keep their traceback: they are ours.
    """
    runtime.raise_on_sigint()
    define_flags(config_class)
    # Options may follow the positional word.
    flags.FLAGS.set_gnu_getopt(bool(positional))

    def run(argv: list[str]) -> None:
        if positional and len(argv) == 2:
            flags.FLAGS[positional].value = argv.pop()
        if rest:
            flags.FLAGS[rest].value, argv = argv[1:], argv[:1]
        if len(argv) > 1:
            _fail(f"options start with --; received {quote(argv[1])}.")
        try:
            main(from_flags(config_class))
            _flush()
        except KeyboardInterrupt:
            _stop()
        except Exception as error:
            _end_by_signal()
            if isinstance(error, InputError):
                _fail(str(error))
            if (
                not isinstance(error, OSError)
                or error.errno not in SURROUNDINGS
            ):
                raise
            if error.filename is None:
                _close(error)
            _fail(f"{error.filename}: {error.strerror}.")

    try:
        app.run(run, flags_parser=_parse)
    except KeyboardInterrupt:
        _stop()


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags with one-line errors; `--help` succeeds."""
    _check_flagfiles(argv)
    try:
        # All that absl prints here are warnings, such as of a flagfile that
        # names itself.
        with contextlib.redirect_stderr(io.StringIO()) as warning:
            words = flags.FLAGS(argv)
    except UnicodeDecodeError:
        _fail("--flagfile must be UTF-8; one of the files named is not.")
    except RecursionError:  # absl looks for names like a very long one.
        _fail("an option is too long to be one; --help lists them all.")
    except (flags.Error, ValueError, TypeError) as error:
        _fail(str(error))  # absl's own flags raise what they like.
    except OSError as error:  # While --help prints.
        _close(error)
    except SystemExit:  # absl ends --help with status 1.
        _flush()
        sys.exit(0)
    if warning.getvalue():
        _fail(warning.getvalue())
    return words


def _check_flagfiles(argv: Sequence[str]) -> None:
    """Refuses a pipe or a device as a flagfile, which may never end."""
    for word, following in zip(argv, (*argv[1:], ""), strict=True):
        name, equals, path = word.lstrip("-").partition("=")
        if not word.startswith("-") or name != "flagfile":
            continue
        path = path if equals else following
        # What is wrong with the path itself, absl says.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            file = Path(path).expanduser()
            if file.exists() and not (file.is_file() or file.is_dir()):
                _fail(f"--flagfile must be a regular file; received {path}.")


def _flush() -> None:
    """Writes out what was printed, which can fail as any write can."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _close(error)


def _close(error: OSError) -> typing.NoReturn:
    """Ends the program whose standard output takes no more."""
    if isinstance(error, BrokenPipeError):  # The reader has seen enough.
        _forget_output()
        sys.exit(0)
    _fail(f"standard output cannot be written: {error.strerror}.")


def _end_by_signal() -> None:
    """Ends the program if a signal asked for it, whatever was raised since."""
    signum = runtime.end_signal()
    if signum == signal.SIGINT:
        _stop()
    if signum:
        sys.exit(128 + signum)


def _stop() -> typing.NoReturn:
    """Ends the program after SIGINT."""
    print("stopped; the same command continues.", file=sys.stderr)
    sys.exit(130)


def _fail(message: str) -> typing.NoReturn:
    """Ends the program with one line on stderr and status 2."""
    # An argument need not be UTF-8, and standard error may insist on it.
    printable = message.encode("utf-8", "backslashreplace").decode("utf-8")
    line = " ".join(printable.split())
    if len(line) > LONGEST_LINE:
        half = LONGEST_LINE // 2
        line = f"{line[:half]} ... {line[-half:]}"
    with contextlib.suppress(OSError):  # Nobody can be told.
        print(f"error: {line}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
    sys.exit(2)


def _forget_output() -> None:
    """Drops what standard output does not take.

    The interpreter would flush it once more at its end, and fail aloud.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
