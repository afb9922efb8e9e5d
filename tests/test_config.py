import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import config

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "apps.image_classify", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs must be at least 1; received 0."),
        ({"mode": "fit"}, "--mode must be one of train, evaluate, predict"),
        ({"max_drop": float("nan")}, "--max_drop must be a finite number"),
        ({"max_drop": float("inf")}, "--max_drop must be a finite number"),
        # TF-MOT takes no fewer.
        ({"num_clusters": 2}, "--num_clusters must be at least 3"),
        ({"distill": 1.5}, "--distill must be at most 1.0; received 1.5."),
    ],
)
def test_a_broken_rule_is_said(changes: dict, message: str) -> None:
    with pytest.raises(config.InputError, match=message.replace(".", r"\.")):
        config.Options(**changes)


def test_the_digest_names_what_training_depends_on() -> None:
    base = config.Options()
    assert base.digest() == config.Options().digest()
    assert base.digest() == base.replace(variants=("int8",)).digest()
    assert base.digest() == base.replace(export_dir="elsewhere").digest()
    assert base.digest() != base.replace(seed=1).digest()


def test_the_run_directory_is_safe_for_any_data_set_name() -> None:
    path = config.Options(dataset="../a b/c:d").run_dir("app")
    assert path.parent == Path("runs/app")
    assert ":" not in path.name and " " not in path.name


def test_every_option_has_help_and_a_checked_type() -> None:
    for field in dataclasses.fields(config.Options):
        assert field.metadata["help"]


def test_help_is_complete_and_fast() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = command("--help")
        seconds.append(time.perf_counter() - start)
    from apps.image_classify.__main__ import Config

    assert done.returncode == 0
    for field in dataclasses.fields(Config):
        assert f"--{field.name}:" in done.stdout or (
            f"--[no]{field.name}:" in done.stdout
        )
    # The promise is 0.5 s; a busy machine must not fail the test.
    assert min(seconds) < 2.0


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--epoch=3", "Did you mean: epochs"),
        ("--epochs=0", "--epochs must be at least 1; received 0"),
        ("--epochs=many", "epochs"),
        ("--variants=int4", "Did you mean int8?"),
        ("--flagfile=none.flags", "none.flags"),
        ("train", "options start with --"),
    ],
)
def test_a_wrong_command_line_gets_one_line(argument: str, words: str) -> None:
    done = command(argument)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
