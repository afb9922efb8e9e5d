"""Options: frozen dataclasses whose fields become command-line flags.

An app's `Config` inherits `Options` and adds fields made by `option`. The
fields become absl flags only when the app is the program that runs (`launch`),
so any number of apps can be imported into one process, and every function can
be called from a test or a notebook with a plain `Config(...)`.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from common.options import (
    Checked,
    InputError,
    as_trained,
    fixed,
    is_given,
    offered,
    option,
    quote,
)

__all__ = [
    "Checked",
    "ImageOptions",
    "InputError",
    "Options",
    "as_trained",
    "fixed",
    "is_given",
    "launch",
    "option",
    "quote",
]

# Phones take 12 to 50, a chest X-ray has 10, a mammogram 14; a decoder takes
# up to 30 bytes for each.
MAX_MEGAPIXELS = 100.0

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
LONGEST_LINE = 2000  # Characters of an error.

# Flags defined here belong to the app that calls `launch`; otherwise `--help`,
# which lists the main module's flags, would be empty.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    """The options that all apps share."""

    mode: str = option(
        "train",
        "train a model and write a release, or use a release.",
        choices=("train", "evaluate", "predict"),
        training=False,
    )
    dataset: str = option(
        "", "a TFDS name, or a path of your own files.", data=True
    )
    data_dir: str = option(
        "",
        "TFDS data directory; by default $TFDS_DATA_DIR or TFDS's own.",
        training=False,
    )
    export_dir: str = option(
        "saved_models", "where releases are written.", training=False
    )
    work_dir: str = option(
        "", "checkpoints and logs; by default runs/<app>.", training=False
    )
    epochs: int = option(10, "passes over the training data.", minimum=1)
    batch_size: int = option(64, "examples per step.", minimum=1)
    learning_rate: float = option(
        1e-3, "peak step size of the optimizer.", minimum=1e-8, maximum=10.0
    )
    seed: int = option(
        0,
        "fixes splits, order, initial weights, dropout.",
        minimum=0,
        maximum=2**31,
        data=True,
    )
    variants: tuple[str, ...] = option(
        ("float32", "float16", "dynamic", "int8"),
        "TFLite files to make, e.g. float32,int8,prune+cluster+qat.",
        training=False,
    )
    max_drop: float = option(
        0.005,
        "the most that the task metric of the chosen variant may fall.",
        minimum=0.0,
        training=False,
    )
    measure_examples: int = option(
        0,
        "measure the files on so many random examples of each split; 0: all.",
        minimum=0,
        training=False,
    )
    sparsity: float = option(
        0.9,
        "part of each pruned kernel set to zero.",
        minimum=0.0,
        maximum=0.99,
        training=False,
    )
    prune_layers: tuple[str, ...] = option(
        (), "layers to prune; by default all that can be.", training=False
    )
    num_clusters: int = option(
        16, "distinct values per clustered kernel.", minimum=3, training=False
    )
    finetune_epochs: int = option(
        3, "epochs after each compression step.", minimum=1, training=False
    )
    finetune_learning_rate: float = option(
        1e-3,
        "peak step size after compression.",
        minimum=1e-8,
        maximum=10.0,
        training=False,
    )
    distill: float = option(
        0.5,
        "weight of the float model's outputs among the targets there.",
        minimum=0.0,
        maximum=1.0,
        training=False,
    )
    strategy: str = option(
        "auto",
        "how training is spread over devices: this machine's GPUs, or the "
        "workers of TF_CONFIG.",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
    )
    data_service: str = option(
        "",
        "grpc://host:port of a tf.data service that prepares the batches.",
        training=False,
    )
    cluster_timeout: int = option(
        300,
        "multi_worker: seconds to wait for the others at the start.",
        minimum=1,
        training=False,
    )
    release: str = option(
        "",
        "evaluate, predict: the release directory; by default the newest.",
        training=False,
    )
    inputs: str = option("", "predict: what to predict.", training=False)
    output: str = option(
        "", "predict: write a .csv or .json file.", training=False
    )
    raw_output: bool = option(
        False,
        "predict: leave text in the .csv as it is, without an apostrophe where "
        "a spreadsheet would take it for a formula.",
        training=False,
    )

    server: str = option(
        "",
        "predict: ask a server instead, http://host:8501 or grpc://host:8500; "
        "/labels/NAME or /versions/N may follow.",
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks every option against its own rule, and how they fit."""
        super().__post_init__()
        if self.server and self.mode != "predict":
            raise InputError(
                f"--server needs --mode=predict; received --mode={self.mode}."
            )

    def run_dir(self, app: str, data_digest: str = "") -> Path:
        """Returns the directory of this run's checkpoints and logs.

        The same options and data lead to the same directory, so that a run
        continues itself and no other.
        """
        root = Path(self.work_dir or f"runs/{app}")
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(self.dataset).name)
        parts = [name, self.digest(), data_digest]
        return root / "-".join(part for part in parts if part)

    def digest(self) -> str:
        """Returns 8 hex digits that name the options training depends on."""
        text = json.dumps(self.training_values(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def training_values(self) -> dict[str, Any]:
        """Returns the options that the trained weights depend on, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("training", True)
        }


@dataclasses.dataclass(frozen=True)
class ImageOptions(Options):
    """Options of the apps that read image files."""

    max_megapixels: float = option(
        MAX_MEGAPIXELS,
        "the most pixels, in millions, that an image file may claim; a larger "
        "one is refused before it is decoded, by a server too.",
        minimum=0.001,
        maximum=2**16,
        training=False,
    )


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
        except InputError as error:
            _fail(str(error))
        except OSError as error:
            if error.errno not in SURROUNDINGS:
                raise
            if error.filename is None:
                _close(error)
            _fail(f"{error.filename}: {error.strerror}.")
        except KeyboardInterrupt:
            _stop()

    try:
        app.run(run, flags_parser=_parse)
    except KeyboardInterrupt:
        _stop()


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags with one-line errors; `--help` succeeds."""
    try:
        return flags.FLAGS(argv)
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


def _flush() -> None:
    """Writes out what was printed, which can fail as any write can."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _close(error)


def _close(error: OSError) -> typing.NoReturn:
    """Ends the program whose standard output takes no more."""
    # The interpreter would flush it once more at its end, and fail aloud.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # The reader has seen enough.
        sys.exit(0)
    _fail(f"standard output cannot be written: {error.strerror}.")


def _stop() -> typing.NoReturn:
    """Ends the program after SIGINT."""
    print("stopped; the same command continues.", file=sys.stderr)
    sys.exit(130)


def _fail(message: str) -> typing.NoReturn:
    """Ends the program with one line on stderr and status 2."""
    line = " ".join(message.split())
    if len(line) > LONGEST_LINE:
        half = LONGEST_LINE // 2
        line = f"{line[:half]} ... {line[-half:]}"
    with contextlib.suppress(OSError):  # Nobody can be told.
        print(f"error: {line}", file=sys.stderr)
    sys.exit(2)
