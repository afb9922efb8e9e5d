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
    flag_name,
    offered,
    quote,
)

# Errors of a disk, a folder or a path, which the user can mend: the program has
# no fault.
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
LONGEST_LINE = 900  # The most characters of an error message.

# The flags defined here must count as those of the program that calls `launch`:
# `--help` lists only the main module's flags.
flags.disclaim_key_flags()


ConfigT = typing.TypeVar("ConfigT", bound=Checked)


def define_flags(
    config_class: type[Checked], values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines an absl flag for every offered field of `config_class`.

    Args:
        config_class: The class of the options.
        values: The flags to add to; by default those of this program.
    """
    definers = {
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
        definers[types[field.name]](
            flag_name(field.name), default, text, flag_values=values
        )


def from_flags(
    config_class: type[ConfigT], parsed: flags.FlagValues = flags.FLAGS
) -> ConfigT:
    """Returns a `config_class` with the values of the parsed flags.

    Args:
        config_class: The class of the options.
        parsed: The flags; by default those of this program.

    Raises:
        InputError: If a value breaks the rule of its option.
    """
    values: dict[str, Any] = {}
    for field in offered(config_class):
        value = parsed[flag_name(field.name)].value
        values[field.name] = tuple(value) if isinstance(value, list) else value
    given = (name for name in values if parsed[flag_name(name)].present)
    return config_class(**values, given=frozenset(given))


def of_words(config_class: type[ConfigT], words: Sequence[str]) -> ConfigT:
    """Returns the options of another program, which this program's `rest` has.

    Args:
        config_class: The class of that program's options.
        words: The words of its command line, without its name.

    Raises:
        InputError: If a value breaks the rule of its option.
        SystemExit: After one line on stderr, if the words are no options.
    """
    values = flags.FlagValues()
    define_flags(config_class, values)
    left = _parse(["", *words], values)
    if left[1:]:
        _fail(f"options start with --; received {quote(left[1])}.")
    return from_flags(config_class, values)


def launch(
    main: Callable[[ConfigT], None],
    config_class: type[ConfigT],
    positional: str = "",
    rest: str = "",
) -> None:
    """Runs `main` with the command line's options and exits.

    The exit status is 0 when `main` returns, and 130 after SIGINT. It is 2 when
    `main` raises `InputError`, when the command line is wrong, and when disks
    and folders are full, read-only or out of reach. Other errors are faults of
    the program and keep their traceback.

    Args:
        main: The program.
        config_class: The class of its options.
        positional: The option whose value may be given without the option's
            name; "" for none.
        rest: The option that takes all words after the other options; "" for
            none.
    """
    runtime.raise_on_sigint()
    define_flags(config_class)
    # With GNU's rules, options may follow the positional word.
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


def _parse(
    argv: Sequence[str], values: flags.FlagValues = flags.FLAGS
) -> list[str]:
    """Parses flags with one-line errors; `--help` succeeds."""
    _check_flagfiles(argv)
    try:
        # absl prints only warnings here, such as of a flagfile that names
        # itself.
        with contextlib.redirect_stderr(io.StringIO()) as warning:
            words = values(argv)
    except UnicodeDecodeError:
        _fail("--flagfile must be UTF-8; one of the files named is not.")
    except RecursionError:  # absl's search for similar names is recursive.
        _fail("an option is too long to be one; --help lists them all.")
    except (flags.Error, ValueError, TypeError) as error:
        _fail(str(error))  # absl's own flags raise errors of all these types.
    except OSError as error:  # --help could not be printed.
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
        # absl reports the faults of the path itself.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            file = Path(path).expanduser()
            if file.exists() and not (file.is_file() or file.is_dir()):
                _fail(f"--flagfile must be a regular file; received {path}.")


def _flush() -> None:
    """Flushes standard output; a failure ends the program."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _close(error)


def _close(error: OSError) -> typing.NoReturn:
    """Ends the program whose standard output cannot be written any more."""
    if isinstance(error, BrokenPipeError):  # The reader closed the pipe.
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
    with contextlib.suppress(OSError):  # Standard error may be closed.
        print(f"error: {line}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
    sys.exit(2)


def _forget_output() -> None:
    """Sends standard output to /dev/null, with the text that is still buffered.

    The interpreter flushes standard output at its end; that would fail and
    print a traceback.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
