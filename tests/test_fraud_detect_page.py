"""The page of a detector in a browser, on a table with columns of its own."""

from pathlib import Path

import demo_pages
import fraud_schemas
import numpy as np
import pytest

from apps.fraud_detect import predict
from apps.fraud_detect import train as app
from common import runtime
from common.release import served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(home: Path) -> Path:
    fraud_schemas.paysim(home / "paysim.csv", 4000)
    runtime.start(0)
    config = app.Config(
        dataset=str(home / "paysim.csv"), export_dir=str(home / "out"),
        work_dir=str(home / "runs"), label_column="isFraud",
        time_column="step", customer_column="nameOrig",
        terminal_column="nameDest", amount_column="amount", epochs=1,
        units=("8",), members=1, bins=4, baselines=False, max_drop=1.0,
        variants=("float32",),
    )  # fmt: skip
    app.run(config)
    return home / "out" / "fraud_detect" / "1"


def test_a_browser_runs_the_file(release, browser) -> None:
    file = release / "mobile" / "float32.tflite"
    scorer = predict.Scorer(served.Local(release))
    assert any(column.kind == "category" for column in scorer.own)
    features = np.random.default_rng(0).integers(0, 3, (5, len(scorer.names)))
    with demo_pages.opened(browser, release, "float32") as state:
        assert state == ""
        rows = {"features": features.astype(np.float32)}
        demo_pages.check_runs(browser, file, rows)
        # A category that is missing, one that no table has, and one of each.
        for place in range(3):
            shown = demo_pages.ask(
                browser,
                f'document.querySelector("select").selectedIndex = {place};',
            )
            assert shown["difference"] < 1e-5
            assert "flagged" in shown["phone"]
            assert "What raised it" in shown["savedModel"]
