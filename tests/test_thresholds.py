"""Each TFLite file is judged, and shipped, with a threshold of its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.mobile import litert, measurement, metadata, thresholds
from common.report import page


class Scaled:
    """A file whose scores are its inputs times a factor, its content."""

    def __init__(self, content: bytes) -> None:
        self._factor = float(content)
        detail = {
            "shape": [1], "dtype": np.float32, "quantization": (0.0, 0),
        }  # fmt: skip
        self.inputs, self.outputs = {"x": detail}, {"score": detail}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": self._factor * x}

    def latency_ms(self, inputs) -> dict[str, float]:
        return {"p50": 0.1, "p95": 0.2}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(litert, "Runner", Scaled)
    contents = litert.Contents(("ADD",), 0.0, False, 7)
    monkeypatch.setattr(litert, "inspect", lambda content: contents)
    monkeypatch.setattr(metadata, "remove", lambda content: content)
    (tmp_path / "float32.tflite").write_text("1.00000")
    (tmp_path / "int8.tflite").write_text("2")
    return tmp_path


def largest(runner, valid, test) -> dict[str, float]:
    limit = float(valid[0].max())
    return {"threshold": limit, "alerts": float(np.sum(test[0] >= limit))}


def measured(directory: Path, decide=largest) -> list[dict]:
    valid, test = np.array([1.0, 3.0]), np.array([2.0, 4.0, 5.0])
    how = measurement.Measurement(
        valid=lambda: [(valid, valid)],
        test=lambda: [(test, test)],
        reference=test,
        metric=lambda found, truth: 1.0,
        decide=decide,
    )
    paths = [directory / f"{one}.tflite" for one in ("float32", "int8")]
    return measurement.measure_all(paths, how, 0.0)


def test_a_threshold_comes_from_the_files_own_validation_outputs(
    directory: Path,
) -> None:
    rows = measured(directory)
    assert [one["at_threshold"] for one in rows] == [
        {"threshold": 3.0, "alerts": 2.0}, {"threshold": 6.0, "alerts": 2.0},
    ]  # fmt: skip
    assert rows[1]["chosen"]
    found = json.loads((directory / thresholds.FILE).read_text("utf-8"))
    assert found["files"] == {
        "float32.tflite": 3.0, "int8.tflite": 6.0, "model.tflite": 6.0,
    }  # fmt: skip
    assert (found["output"], found["flagged"]) == ("score", ">=")
    assert thresholds.read(directory / "int8.tflite", 1.0) == 6.0


def test_without_a_decision_there_is_no_threshold(directory: Path) -> None:
    rows = measured(directory, decide=None)
    assert not any("at_threshold" in one for one in rows)
    assert not (directory / thresholds.FILE).exists()
    assert thresholds.read(directory / "int8.tflite", 1.0) == 1.0


def test_the_report_shows_what_each_threshold_gives(directory: Path) -> None:
    rows = measured(directory)
    assert page.decisions({"variants": rows}) == [
        ["variant", "threshold", "alerts"],
        ["float32", "3.0000", "2.0000"],
        ["int8", "6.0000", "2.0000"],
    ]


def test_only_pruned_files_have_a_sparsity(directory: Path) -> None:
    (directory / "int8.tflite").rename(directory / "prune+int8.tflite")
    how = measurement.Measurement(
        valid=lambda: [(np.ones(2), np.ones(2))],
        test=lambda: [(np.ones(2), np.ones(2))],
        reference=np.ones(2),
        metric=lambda found, truth: 1.0,
    )
    paths = [directory / f"{one}.tflite" for one in ("float32", "prune+int8")]
    plain, pruned = (
        measurement.measure(path, path.stem, how) for path in paths
    )
    assert "sparsity" not in plain and pruned["sparsity"] == 0.0
