import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As `runtime.start`.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run_large", action="store_true", help="run tests marked large"
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if config.getoption("--run_large"):
        return
    skip = pytest.mark.skip(reason="large: run with --run_large")
    for item in items:
        if "large" in item.keywords:
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
