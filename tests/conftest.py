import contextlib
import gc
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common import runtime

gc.set_threshold(*runtime.COLLECTION_THRESHOLDS)  # As `runtime.start`.
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers have all cores. With a thread per core in each of them,
    # scikit-learn's boosting waits for threads that do not run.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As `runtime.start`.


# Tests with these marks run only where the option --run_<mark> is given.
TIERS = ("slow", "large", "by_hand")


def pytest_addoption(parser: pytest.Parser) -> None:
    for tier in TIERS:
        parser.addoption(
            f"--run_{tier}", action="store_true", help=f"run {tier} tests too"
        )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    for tier in TIERS:
        if config.getoption(f"--run_{tier}"):
            continue
        skip = pytest.mark.skip(reason=f"{tier}: run with --run_{tier}")
        for item in items:
            if item.get_closest_marker(tier):
                item.add_marker(skip)


@pytest.fixture
def tfds_dir() -> Callable[[str], str]:
    """Gives the TFDS directory that holds a set; skips where there is none."""

    def find(name: str) -> str:
        found = os.environ.get("TFDS_DATA_DIR", "")
        if not found or not (Path(found) / name).is_dir():
            pytest.skip(f"needs {name}: set TFDS_DATA_DIR to a prepared copy")
        return found

    return find


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder that `released` runs its app in."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def released(
    request: pytest.FixtureRequest, home: Path
) -> Iterator[tuple[dict, Path]]:
    """Runs the module's `app` with its `TINY` options, once.

    Gives the report and the release; the tests that use it run in `home`.
    """
    app, options = request.module.app, request.module.TINY
    with contextlib.chdir(home):
        runtime.start(0)
        result = app.run(app.Config(**options))
        yield result, home / "saved_models" / app.APP / "1"


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tfds_dir: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict]:
    """Gives what runs the module's `APP` on its `DATA` by a flagfile's name."""
    import flagfiles

    app = importlib.import_module(f"apps.{request.module.APP}.train")
    name_of_data = request.module.DATA
    monkeypatch.chdir(tmp_path)

    def once(name: str, **changes: Any) -> dict:
        options = flagfiles.read(
            app.Config, name, data_dir=tfds_dir(name_of_data), **changes
        )
        runtime.start(options.seed)
        return app.run(options)

    return once


@pytest.fixture(scope="session")
def toy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gives an embedded server of two versions of `tests.serving_models`."""
    import serving_models

    from common.serving import embedded

    export_dir = tmp_path_factory.mktemp("toy_server")
    serving_models.release(export_dir, "toy", 1)
    serving_models.release(export_dir, "toy", 2)
    with embedded.serving(
        export_dir, most_bytes=serving_models.LIMIT, tell=lambda line: None
    ) as server:
        server.export_dir = export_dir
        yield server


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gives a headless Chromium; skips where it or LiteRT.js is missing."""
    import chromium

    from common.serving import page_files

    executable, reason = chromium.path(), ""
    if not executable:
        reason = "needs Chromium, which is not installed"
    elif not page_files.PACKAGES.is_dir():
        reason = "needs LiteRT.js: run `make demo-page`"
    if reason:
        # A warning stands in the summary, where skips have no reason.
        warnings.warn(f"the page of apps.demo_page {reason}", stacklevel=1)
        pytest.skip(reason)
    with chromium.running(
        executable, tmp_path_factory.mktemp("chromium")
    ) as running:
        yield running
