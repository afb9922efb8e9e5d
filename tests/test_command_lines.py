"""Command lines of every kind: status 0 or 2, one line, no traceback."""

import dataclasses
import errno
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from absl import app
from absl import flags as absl_flags

from common import flags
from common.options import offered, option
from common.shared_options import Options

APPS = (
    "image_classify.__main__", "text_sentiment.__main__",
    "recommender.__main__", "fraud_detect.__main__",
    "medical_autoencoder.__main__", "compress.__main__",
    "releases", "serve", "launch", "data_service",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Toy(Options):
    """An app's options, with a flag of its own."""

    shown: bool = option(True, "whether the toy is shown.")


@pytest.fixture
def launch(monkeypatch, capfd) -> Iterator[Callable]:
    """Launches a program in this process; forgets its flags afterwards."""
    app.define_help_flags()  # A process must do this once.
    before = set(absl_flags.FLAGS)
    values = {name: absl_flags.FLAGS[name].value for name in before}

    def run(main: Callable, options: type, *words: str, **more: str):
        monkeypatch.setattr(sys, "argv", ["app", *words])
        try:
            with pytest.raises(SystemExit) as ended:
                flags.launch(main, options, **more)
        finally:
            for name in set(absl_flags.FLAGS) - before:
                delattr(absl_flags.FLAGS, name)
            absl_flags.FLAGS.unparse_flags()
        return ended.value.code or 0, capfd.readouterr().err

    yield run
    for name, value in values.items():
        if name in absl_flags.FLAGS and absl_flags.FLAGS[name].value != value:
            absl_flags.FLAGS[name].value = value
    absl_flags.FLAGS.set_gnu_getopt(False)
    absl_flags.FLAGS.mark_as_parsed()


def words(tmp_path: Path) -> list[str]:
    """Returns the words that command lines are made of."""
    not_utf_8 = tmp_path / "latin.flags"
    not_utf_8.write_bytes(b"--work_dir=\xe9\n")
    own = ("flagfile", "undefok", "v", "verbosity", "log_dir",
           "stderrthreshold", "logger_levels", "logtostderr",
           "alsologtostderr", "helpfull", "helpshort", "helpxml", "help",
           "only_check_args", "showprefixforinfo", "profile_file",
           "run_with_profiling", "use_cprofile_for_profiling",
           "pdb_post_mortem", "epochs", "shown", "seed", "mode",
           "learning_rate", "variants", "")  # fmt: skip
    values = ("abc", "", "-1", "²", "9" * 30, "9" * 5000, "\udcff", "x" * 1000,
              "a:b", '"', "true")  # fmt: skip
    os.mkfifo(tmp_path / "pipe")
    return [
        f"--flagfile={not_utf_8}",
        f"--flagfile={tmp_path / 'pipe'}",
        f"--flagfile={tmp_path}",
        "--flagfile=/dev/zero",
        f"--{'x' * 1000}",
        f"--{'x' * 1000}=3",
        *(f"--{name}" for name in own),
        *(f"--no{name}" for name in own),
        *(f"--no{name}=value" for name in own),
        *(f"--{name}={value}" for name in own for value in values),
    ]


def test_no_command_line_ends_in_a_traceback(launch, tmp_path) -> None:
    for word in words(tmp_path):
        if "profil" not in word or word.endswith("value"):
            status, errors = launch(lambda options: None, Toy, word)
            assert status in (0, 2), word[:80]
            assert errors.count("\n") <= 1, (word[:80], errors[:500])
            assert len(errors) < 1000, word[:80]


@pytest.mark.parametrize("name", APPS)
def test_every_whole_number_has_a_greatest_value(launch, name) -> None:
    program = importlib.import_module(f"apps.{name}")

    for field in offered(program.Config):
        if type(field.default) is int:
            word = f"--{field.name}={2**63}"
            status, errors = launch(lambda options: None, program.Config, word)
            assert status == 2 and errors.count("\n") == 1
            assert f"--{field.name} must be at most" in errors


@pytest.mark.parametrize(
    "number", [errno.ENAMETOOLONG, errno.EROFS, errno.ENOSPC, errno.EACCES]
)
def test_disks_and_folders_are_named_in_one_line(launch, number) -> None:
    def main(options: object) -> None:
        raise OSError(number, os.strerror(number), "models/x")

    status, errors = launch(main, Toy)
    assert status == 2
    assert errors == f"error: models/x: {os.strerror(number)}.\n"


def test_other_errors_keep_their_traceback(launch) -> None:
    def main(options: object) -> None:
        raise OSError(errno.EBADF, "ours")

    with pytest.raises(OSError, match="ours"):
        launch(main, Toy)


def test_a_flagfile_that_names_itself_and_a_word_that_is_no_text(
    tmp_path: Path,
) -> None:
    flagfile = tmp_path / "self.flags"
    flagfile.write_text(f"--flagfile={flagfile}\n--seed=1\n")
    code = (
        "from common import flags; "
        "from common.shared_options import Options; "
        "flags.launch(lambda options: print('done'), Options)"
    )
    for word in (f"--flagfile={flagfile}", b"--seed=\xff"):
        done = subprocess.run(
            [sys.executable, "-c", code, word],
            capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf8"},
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.parametrize("words", [["--help"], []])
def test_a_full_device_is_reported(words) -> None:
    code = (
        "from common import flags; "
        "from common.shared_options import Options; "
        "flags.launch(lambda options: print('done'), Options)"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_a_signal_during_the_first_imports_shows_no_traceback(
    tmp_path: Path,
) -> None:
    package = tmp_path / "absl"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    for name in APPS:
        done = subprocess.run(
            [sys.executable, "-m", f"apps.{name}"],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == -signal.SIGINT
        assert done.stderr == b""


def test_a_refusal_keeps_its_status_where_output_is_full() -> None:
    code = (
        "from common import flags, options\n"
        "from common.shared_options import Options\n"
        "def main(given):\n"
        "    print('begun')\n"
        "    raise options.InputError('--seed must be right.')\n"
        "flags.launch(main, Options)"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_in_a_finalizer_is_not_lost(signum, status) -> None:
    code = (
        "import os, time\n"
        "from common import flags, runtime\n"
        "from common.shared_options import Options\n"
        "class Dying:\n"
        "    def __del__(self):\n"
        f"        os.kill(os.getpid(), {signum:d})\n"
        "        time.sleep(0)\n"
        "def main(given):\n"
        "    runtime.start(0)\n"
        "    Dying()\n"
        "    time.sleep(60)\n"
        "flags.launch(main, Options)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == status
    assert done.stderr == "stopped; the same command continues.\n"


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("error", ["TypeError", "OSError(28, 'full')"])
def test_what_native_code_makes_of_a_signal_ends_as_the_signal(
    signum, status, error
) -> None:
    code = f"""
import os, time
from common import flags, runtime
from common.shared_options import Options
def main(config):
    runtime.start(0)
    try:
        os.kill(os.getpid(), {signum:d})
        time.sleep(60)
    except BaseException:
        pass
    raise {error}
flags.launch(main, Options)"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == status
    assert done.stderr == "stopped; the same command continues.\n"
