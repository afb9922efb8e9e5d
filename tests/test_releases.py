"""The release tool, command by command."""

import subprocess
import sys
from pathlib import Path

import pytest

from apps import releases
from common.options import InputError
from common.release import models_config
from common.release.rollout import Rollout

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def export_dir(tmp_path: Path) -> Path:
    for version in (1, 2, 3):
        path = tmp_path / "toy" / str(version)
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"")
        models_config.add(tmp_path, "toy", version)
    return tmp_path


def run(export_dir: Path, command: str, **options) -> Rollout:
    options.setdefault("settle_seconds", 0.0)
    releases.main(
        releases.Config(command=command, export_dir=str(export_dir), **options)
    )
    return models_config.state(export_dir, "toy")


def test_list_says_what_is_served(export_dir: Path, capsys) -> None:
    run(export_dir, "list")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["toy", "1", "stable,", "canary", "loaded"] in lines
    assert ["toy", "2", "on", "disk"] in lines
    assert ["toy", "3", "loaded,", "answers", "by", "default"] in lines


def test_canary_then_stable_then_back(export_dir: Path, capsys) -> None:
    state = run(export_dir, "promote", label="canary")
    assert state == Rollout((1, 3), 1, 3)
    assert run(export_dir, "promote") == Rollout((1, 3), 3, 3)
    assert run(export_dir, "rollback", app="toy") == Rollout((1,), 1, 1)
    assert "3 is drained and unloaded" in capsys.readouterr().out


def test_a_version_that_is_not_loaded_is_loaded_first(
    export_dir: Path, monkeypatch
) -> None:
    seen = []
    monkeypatch.setattr(
        models_config,
        "settle",
        lambda path, seconds: seen.append(
            (models_config.state(path, "toy"), seconds)
        ),
    )
    state = run(export_dir, "promote", version=2, settle_seconds=3.0)
    assert seen == [(Rollout((1, 2, 3), 1, 1), 3.0)]
    assert state == Rollout((1, 2, 3), 2, 2)


def test_a_version_on_trial_is_rolled_back_first(export_dir: Path) -> None:
    assert run(export_dir, "rollback") == Rollout((1,), 1, 1)
    with pytest.raises(InputError, match="needs a version before 1"):
        run(export_dir, "rollback")


def test_prune_keeps_what_is_loaded(export_dir: Path, capsys) -> None:
    run(export_dir, "prune", keep=1)
    assert models_config.versions(export_dir / "toy") == [1, 3]
    run(export_dir, "prune", keep=1)
    assert "toy: deleted nothing" in capsys.readouterr().out


def test_a_policy_of_the_user_is_shown_and_left_alone(
    export_dir: Path, capsys
) -> None:
    path = export_dir / "models.config"
    text = (
        "model_config_list { config { name: 'toy' base_path: '/models/toy' "
        "model_platform: 'tensorflow' model_version_policy { all { } } } }"
    )
    path.write_text(text)
    run(export_dir, "list")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["toy", "2", "as", "your", "own", "policy", "says"] in lines
    run(export_dir, "prune", keep=1)
    assert "toy: deleted nothing: its version" in capsys.readouterr().out
    for command in ("promote", "rollback"):
        with pytest.raises(InputError, match="its policy is another one"):
            run(export_dir, command)
    assert path.read_text() == text
    assert models_config.versions(export_dir / "toy") == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": "promote", "version": 9}, "--version must be one of 1, 2"),
        ({"command": "promote", "app": "nope"}, "--app must be one of toy"),
        ({"command": "prune", "keep": 0}, "--keep must be at least 1"),
        ({"command": "explode"}, "--command must be one of list"),
    ],
)
def test_bad_options_are_one_line(export_dir, options, words) -> None:
    with pytest.raises(InputError, match=words):
        run(export_dir, **options)


def test_the_command_is_given_by_its_word(export_dir: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "apps.releases", *words],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip

    done = call("list", f"--export_dir={export_dir}")
    assert done.returncode == 0 and "stable" in done.stdout
    done = call("list", "more", f"--export_dir={export_dir}")
    assert done.returncode == 2 and "received 'list'" in done.stderr
    done = call("list", f"--export_dir={export_dir}/none")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "must hold a release" in line
