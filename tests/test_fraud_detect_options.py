"""Options of fraud detection that cannot be met end before any work."""

import fraud_reference
import pytest

from apps.fraud_detect import train as app
from common.options import InputError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": ("many",)}, "--units must be widths"),
        ({"dataset": "no_such_set"}, "--dataset must be a file"),
        ({"protocol": "handbook_p1"}, "Use --protocol=time"),
        ({"test_days": 40}, "must span"),
        ({"alerts": 0.0}, "--alerts must be at least"),
    ],
)
def test_bad_options_end_before_any_work(changes, words, tmp_path) -> None:
    path = tmp_path / "payments.csv"
    table = fraud_reference.simulated(
        days=20, customers=20, terminals=10, stolen=1.0, broken=0.3
    )
    fraud_reference.write_csv(path, table)
    options = {"dataset": str(path), "work_dir": str(tmp_path / "never")}
    with pytest.raises(InputError, match=words):
        app.run(app.Config(**(options | changes)))
    assert not (tmp_path / "never").exists()
