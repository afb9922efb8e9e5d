"""The rules of the architecture, read from the source without importing it."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
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
# The parts of `common`, from the lowest floor up. A part imports from its own
# floor and from the floors below it.
FLOORS = (
    (
        "options",
        "variants",
        "shared_options",
        "slice_options",
        "table_options",
        "teacher_options",
    ),
    ("console", "flags", "runtime", "whole_file"),
    ("workers",),
    ("program",),
    ("data", "keras2"),
    ("training", "compression"),
    ("mobile", "report"),
    ("release",),
    ("explanation",),
    ("serving",),
)
MODULES = {
    ".".join(path.with_suffix("").parts).removesuffix(".__init__"): path
    for path in SHIPPED
}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Parses a file, only once for all rules."""
    return ast.parse((ROOT / path).read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yields every module or name that a file imports, at any place."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [*path.parent.parts] if node.level else []
            package = ".".join([*parts, *filter(None, [node.module])])
            yield package
            yield from (f"{package}.{alias.name}" for alias in node.names)


def each(paths: Iterable[Path]) -> Callable[[Callable], Callable[[], None]]:
    """Makes a rule for a path into one test for all `paths`."""

    def decorate(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    raise AssertionError(f"{path}: {error}") from error

        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return decorate


def floor(module: str) -> int:
    """Returns the floor of a module of `common`."""
    part = module.split(".")[1]
    return next(i for i, parts in enumerate(FLOORS) if part in parts)


def app_of(name: str) -> str | None:
    """Returns the app that a path or a module belongs to."""
    parts = name.replace("/", ".").removesuffix(".py").split(".")
    return parts[1] if parts[0] == "apps" and len(parts) > 1 else None


@each(SHIPPED)
def test_apps_import_common_and_never_one_another(path: Path) -> None:
    for name in imports(path):
        if path.parts[0] == "common":
            assert not name.startswith("apps"), name
        else:
            assert app_of(name) in (None, app_of(str(path))), name


@each(SHIPPED)
def test_common_imports_downwards(path: Path) -> None:
    own = ".".join(path.with_suffix("").parts)
    if not own.startswith("common.") or own == "common.__init__":
        return
    for name in imports(path):
        if name.startswith("common.") and name in MODULES:
            assert floor(name) <= floor(own), name


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {
            other
            for other in imports(path)
            # An import of a module in a package also names the package.
            if other in MODULES and MODULES[other].name != "__init__.py"
        }
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


@each(SHIPPED)
def test_packages_hold_no_names_of_their_modules(path: Path) -> None:
    if path.name == "__init__.py":
        # Only `apps` runs code: it handles a signal before any import.
        assert set(imports(path)) <= {"signal", "sys"}


@each(SHIPPED)
def test_only_flags_touches_absl_flags(path: Path) -> None:
    if path != Path("common/flags.py"):
        assert "absl.flags" not in set(imports(path))


@each(SHIPPED)
def test_only_the_bridge_and_compression_know_keras_2(path: Path) -> None:
    if not str(path).startswith(TF_MOT_USERS):
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & {"tf_keras", "tensorflow_model_optimization"}


@each(SOURCES)
def test_files_have_one_subject_and_are_named_for_it(path: Path) -> None:
    length = len((ROOT / path).read_text("utf-8").splitlines())
    assert length <= 400, "find this file's second subject; do not cut lines"
    assert path.stem not in ("utils", "util", "helpers", "helper", "misc")


@each(SHIPPED)
def test_no_assert_no_eval_no_pickle_no_shell(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in ("eval", "exec", "system")
            assert not any(word.arg == "shell" for word in node.keywords)
    assert not {"pickle", "dill", "joblib"} & set(imports(path))


@each(SHIPPED)
def test_only_the_search_knows_optuna(path: Path) -> None:
    if path.parts[:2] != ("apps", "tune"):
        assert "optuna" not in {name.split(".")[0] for name in imports(path)}


@each(SHIPPED)
def test_imports_are_plain(path: Path) -> None:
    assert "etils" not in {name.split(".")[0] for name in imports(path)}


APPS = [path.parent for path in SHIPPED if path.name == "train.py"]


@pytest.mark.parametrize("folder", APPS, ids=str)
def test_the_silhouette_of_an_app(folder: Path) -> None:
    def names(file: str, wanted: list[str]) -> list[str]:
        tree = ast.parse((ROOT / folder / file).read_text("utf-8"))
        defined = [getattr(node, "name", "") for node in tree.body]
        return [name for name in defined if name in wanted]

    story = [
        "load_data", "build_model", "compile_model", "evaluate", "signatures",
        "run",
    ]  # fmt: skip
    assert names("config.py", ["Config"]) == ["Config"]
    if (ROOT / folder / "predict.py").exists():
        assert names("predict.py", ["run"]) == ["run"]
    assert names("train.py", story) == story
    tree = ast.parse((ROOT / folder / "train.py").read_text("utf-8"))
    (run,) = (n for n in tree.body if getattr(n, "name", "") == "run")
    assert run.end_lineno - run.lineno < 60
    nested = [n for n in ast.walk(run) if isinstance(n, ast.FunctionDef)]
    assert nested == [run]


@each(SHIPPED)
def test_what_writes_tflite_files_gives_them_metadata(path: Path) -> None:
    text = (ROOT / path).read_text("utf-8")
    if path.parts[0] == "apps" and "conversion.write(" in text:
        assert "metadata.write(paths, " in text


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


@pytest.mark.parametrize("folder", [*APPS, Path("apps/tune")], ids=str)
def test_help_needs_nothing_heavy(folder: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import importlib
importlib.import_module({".".join(folder.parts) + ".__main__"!r})
heavy = {{"tensorflow", "keras", "sklearn", "pyarrow", "scipy", "optuna"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]


# The calls that `common` makes for every app.
VERBS = ("report.build", "report.write", "fitting.finish", "tf.function")


@pytest.mark.parametrize("folder", APPS, ids=str)
def test_the_story_of_an_app_leaves_the_verbs_to_common(folder: Path) -> None:
    text = (ROOT / folder / "train.py").read_text("utf-8")
    assert [verb for verb in VERBS if verb in text] == []
