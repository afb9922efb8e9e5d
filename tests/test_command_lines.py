"""Command lines of every kind: status 0 or 2, one line, no traceback."""

import dataclasses
import errno
import importlib
import json
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
from common.options import flag_name, offered, option
from common.shared_options import Options

APPS = (
    "image_classify.__main__", "text_sentiment.__main__",
    "recommender.__main__", "fraud_detect.__main__",
    "medical_autoencoder.__main__", "compress.__main__",
    "tune.__main__", "releases", "serve", "launch", "data_service",
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
            word = f"--{flag_name(field.name)}={2**63}"
            status, errors = launch(lambda options: None, program.Config, word)
            assert status == 2 and errors.count("\n") == 1
            assert f"--{flag_name(field.name)} must be at most" in errors


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


CASES = """
import json, os, sys, tempfile, time
import keras, tensorflow  # Once: the cases are copies of this process.
from common import flags, runtime
from common.shared_options import Options

class Dying:
    def __init__(self, signum):
        self.signum = signum
    def __del__(self):
        os.kill(os.getpid(), self.signum)
        time.sleep(0)

def case(signum, error):
    def main(config):
        runtime.start(0)
        if not error:
            Dying(signum)
            time.sleep(60)
        try:
            os.kill(os.getpid(), signum)
            time.sleep(60)
        except BaseException:
            pass
        raise eval(error)
    return main

for signum, error in json.loads(sys.argv.pop()):
    with tempfile.TemporaryFile() as errors:
        process = os.fork()
        if not process:
            os.dup2(errors.fileno(), 2)
            flags.launch(case(signum, error), Options)
        _, status = os.waitpid(process, 0)
        errors.seek(0)
        end = os.waitstatus_to_exitcode(status), errors.read().decode()
    print(json.dumps(end))
"""
SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
# What native code raises in the signal's place; "": a finalizer swallows it.
ERRORS = ("", "TypeError", "OSError(28, 'full')")


@pytest.fixture(scope="module")
def ends() -> dict[tuple[int, str], list]:
    """Gives the status and the errors of a process by signal and error."""
    cases = [(int(signum), error) for signum, _ in SIGNALS for error in ERRORS]
    done = subprocess.run(
        [sys.executable, "-c", CASES, json.dumps(cases)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    lines = map(json.loads, done.stdout.splitlines())
    return dict(zip(cases, lines, strict=True))


@pytest.mark.parametrize(("signum", "status"), SIGNALS)
@pytest.mark.parametrize("error", ERRORS)
def test_a_signal_that_native_code_swallows_is_not_lost(
    ends, signum, status, error
) -> None:
    line = "stopped; the same command continues.\n"
    assert ends[int(signum), error] == [status, line]
