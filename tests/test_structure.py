"""The rules of the architecture, read from the source without importing it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("apps", "common", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
SHIPPED = [path for path in SOURCES if path.parts[0] in ("apps", "common")]
TF_MOT_USERS = ("common/compression", "common/keras2")


def imports(path: Path) -> Iterator[str]:
    """Yields every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def app_of(name: str) -> str | None:
    """Returns the app that a path or a module belongs to."""
    parts = name.replace("/", ".").removesuffix(".py").split(".")
    return parts[1] if parts[0] == "apps" and len(parts) > 1 else None


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_apps_import_common_and_never_one_another(path: Path) -> None:
    for name in imports(path):
        if path.parts[0] == "common":
            assert not name.startswith("apps"), name
        else:
            assert app_of(name) in (None, app_of(str(path))), name


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_only_config_touches_flags(path: Path) -> None:
    if path != Path("common/config.py"):
        assert "absl.flags" not in set(imports(path))


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_only_the_bridge_and_compression_know_keras_2(path: Path) -> None:
    if not str(path).startswith(TF_MOT_USERS):
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & {"tf_keras", "tensorflow_model_optimization"}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_are_short_and_named_for_what_they_own(path: Path) -> None:
    length = len((ROOT / path).read_text("utf-8").splitlines())
    assert length <= 400, "find this file's second subject; do not cut lines"
    assert path.stem not in ("utils", "util", "helpers", "helper", "misc")


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_no_assert_no_eval_no_pickle_no_shell(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in ("eval", "exec", "system")
            assert not any(one.arg == "shell" for one in node.keywords)
    assert not {"pickle", "dill", "joblib"} & set(imports(path))


@pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if path.name == "__main__.py"],
    ids=str,
)
def test_the_silhouette_of_an_app(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = [getattr(node, "name", "") for node in tree.body]
    shape = [
        "Config", "load_data", "build_model", "compile_model", "evaluate",
        "signatures", "run", "main",
    ]  # fmt: skip
    assert [name for name in names if name in shape] == shape
    (run,) = (n for n in tree.body if getattr(n, "name", "") == "run")
    assert run.end_lineno - run.lineno < 60
    nested = [n for n in ast.walk(run) if isinstance(n, ast.FunctionDef)]
    assert nested == [run]


def test_importing_everything_has_no_side_effect(tmp_path: Path) -> None:
    modules = [
        ".".join(path.with_suffix("").parts)
        for path in SHIPPED
        if path.name != "__init__.py"
    ]
    # One process for all: no flag is defined twice, no file is made, no
    # device is touched.
    code = f"""
import importlib, os, sys
sys.path.insert(0, {str(ROOT)!r})
from absl import flags
for name in {modules!r}:
    importlib.import_module(name)
assert "epochs" not in flags.FLAGS
from tensorflow.python.eager import context
assert not context.context()._initialized
assert os.listdir() == [], os.listdir()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
