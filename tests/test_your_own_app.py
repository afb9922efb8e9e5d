"""The app that docs/your_own_app.md builds, taken from the page and run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.data import tables
from common.mobile import litert
from common.serving import embedded

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "your_own_app.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^`([\w/]+\.py)`\n\n```python\n(.*?)^```", PAGE,
                         re.MULTILINE | re.DOTALL))  # fmt: skip


def run(home: Path, *words: str) -> str:
    """Runs Python in the folder that the page's files were written to."""
    done = subprocess.run(
        [sys.executable, *words], cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def app(home: Path, *options: str) -> str:
    return run(home, "-m", "apps.table_regress", *options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder where the page's commands were run as far as train."""
    home = tmp_path_factory.mktemp("home")
    (home / "common").symlink_to(ROOT / "common")
    for name, code in {"apps/__init__.py": "", **BLOCKS}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(code, encoding="utf-8")
    run(home, "write_table.py")
    app(home, "--dataset=diabetes.csv", "--sparsity=0.5", "--epochs=30")
    return home


@pytest.fixture(scope="module")
def new(trained: Path) -> Path:
    """Gives a table of rows whose target nobody knows."""
    lines = (trained / "diabetes.csv").read_text().splitlines()[:6]
    path = trained / "new.csv"
    path.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines) + "\n")
    return path


def predictions(path: Path) -> np.ndarray:
    return np.array([row["prediction"] for row in json.loads(path.read_text())])


def test_the_app_has_at_most_300_lines() -> None:
    lines = [
        line
        for name, code in BLOCKS.items()
        if name.startswith("apps/")
        for line in code.splitlines()
    ]
    assert 100 < len(lines) <= 300


def test_the_release_is_whole_and_better_than_the_mean(trained: Path) -> None:
    release = trained / "saved_models/table_regress/1"
    report = json.loads((release / "report/report.json").read_text())
    baseline = report["baselines"][0]["metrics"]
    assert report["metrics"]["test"]["r2"] > baseline["r2"] + 0.2
    assert report["metrics"]["test"]["rmse"] < baseline["rmse"]
    assert report["serving"]["max_abs_error"] <= 1e-5
    rows = {row["name"]: row for row in report["variants"]}
    assert list(rows) == ["float32", "int8", "prune+int8"]
    for row in rows.values():
        assert (release / row["file"]).stat().st_size == row["bytes"]
    assert sum(row["chosen"] for row in rows.values()) == 1
    assert 0.4 < rows["prune+int8"]["sparsity"] < 0.6
    for name in ("saved_model.pb", "model.keras", "mobile/model.tflite",
                 "report/report.html"):  # fmt: skip
        assert (release / name).is_file()


@pytest.mark.slow
def test_evaluate_judges_the_test_split_of_the_report(trained: Path) -> None:
    result = json.loads(app(trained, "--mode=evaluate"))
    report = trained / "saved_models/table_regress/1/report/report.json"
    metrics = json.loads(report.read_text())["metrics"]["test"]
    assert result["split"] == "test" and result["examples"] == 67
    assert result["rmse"] == pytest.approx(metrics["rmse"], abs=1e-3)


@pytest.mark.slow
def test_file_server_and_phone_predict_the_same(
    trained: Path, new: Path
) -> None:
    words = ("--mode=predict", "--inputs=new.csv")
    app(trained, *words, "--output=local.json")
    with embedded.serving(
        trained / "saved_models", tell=lambda line: None
    ) as server:
        url = f"--server=http://localhost:{server.rest_port}"
        app(trained, *words, url, "--output=remote.json")
    local = predictions(trained / "local.json")
    assert len(local) == 5 and np.ptp(local) > 10
    remote = predictions(trained / "remote.json")
    np.testing.assert_allclose(remote, local, rtol=1e-5)
    mobile = trained / "saved_models/table_regress/1/mobile"
    names = (mobile / "features.txt").read_text().split()
    features = tables.numbers(new, names)
    for name, tolerance in (("float32", 1e-2), ("int8", 6.0)):
        runner = litert.Runner((mobile / f"{name}.tflite").read_bytes())
        found = runner(features=features)["prediction"][:, 0]
        np.testing.assert_allclose(found, local, atol=tolerance)
