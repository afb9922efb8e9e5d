"""Every app's release on one server: its recorded answers, over both APIs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import flagfiles
import numpy as np
import pytest
import tensorflow as tf

from common.release import models_config, served, warmup
from common.report import report
from common.serving import embedded
from common.shared_options import Options

pytestmark = pytest.mark.large
ROOT = Path(__file__).resolve().parents[1]
DEMOS = sorted(flagfiles.FOLDER.glob("*_demo.flags"))


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory) -> Path:
    """Trains every app for an epoch on its embedded data."""
    home = tmp_path_factory.mktemp("home")
    for path in DEMOS:
        app = path.name.removesuffix("_demo.flags")
        done = subprocess.run(
            [sys.executable, "-m", f"apps.{app}", f"--flagfile={path}",
             "--variants=float32", "--epochs=1", "--max_drop=1"],
            cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    return home / "saved_models"


def test_every_app_answers_as_it_did_when_it_was_made(export_dir) -> None:
    apps = models_config.apps(export_dir)
    assert len(apps) == len(DEMOS)
    with embedded.serving(export_dir, tell=lambda line: None) as server:
        for app in apps:
            for url in (
                f"http://127.0.0.1:{server.rest_port}",
                f"grpc://127.0.0.1:{server.grpc_port}",
            ):
                options = Options(
                    mode="predict", server=url, export_dir=str(export_dir)
                )
                _compare(served.connect(options, app), export_dir / app / "1")


def _compare(model: served.Served, release: Path) -> None:
    """Sends the recorded requests again and compares the answers."""
    logs = list(warmup.read(release))
    assert logs
    for log in logs:
        request, answer = log.predict_log.request, log.predict_log.response
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        outputs = model(request.model_spec.signature_name, **inputs)
        assert set(outputs) == set(answer.outputs)
        for name, proto in answer.outputs.items():
            expected = tf.make_ndarray(proto)
            assert outputs[name].shape == expected.shape
            if expected.dtype.kind == "O":
                assert outputs[name].tolist() == expected.tolist()
            else:
                np.testing.assert_allclose(outputs[name], expected, atol=1e-5)


def test_saved_model_cli_lists_the_signatures(export_dir: Path) -> None:
    program = Path(sys.executable).with_name("saved_model_cli")
    if not program.is_file():
        pytest.skip("saved_model_cli is not installed")
    app = models_config.apps(export_dir)[0]
    done = subprocess.run(
        [program, "show", "--dir", export_dir / app / "1", "--all"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = set(re.findall(r"signature_def\['(\w+)'\]", done.stdout))
    written = report.read(export_dir / app / "1")["serving"]["signatures"]
    assert set(written) <= listed
