"""Several members teach a single network, on a small simulation."""

import shutil
from pathlib import Path

import fraud_reference
import keras
import numpy as np
import pytest

from apps.fraud_detect import train as app
from common import runtime
from common.options import InputError
from common.release import manifest

TINY = {
    "epochs": 6,
    "units": ("16", "8"),
    "members": 3,
    "bins": 8,
    "variants": ("float32", "dynamic"),
    "max_drop": 1.0,
    "train_days": 20,
    "baselines": False,
}


@pytest.fixture(scope="module")
def config(home: Path) -> app.Config:
    table = fraud_reference.simulated(
        days=62, customers=150, terminals=100, stolen=1.0, broken=0.3
    )
    fraud_reference.write_csv(home / "payments.csv", table)
    return app.Config(
        dataset=str(home / "payments.csv"), export_dir=str(home / "out"),
        work_dir=str(home / "runs"), **TINY,
    )  # fmt: skip


@pytest.fixture(scope="module")
def released(config: app.Config) -> tuple[dict, Path]:
    """Releases the members; returns the report and the release."""
    runtime.start(0)
    return app.run(config), Path(config.export_dir) / "fraud_detect" / "1"


def student(config: app.Config, release: Path, **changes) -> app.Config:
    changes = {"members": 1, "teacher": str(release), **changes}
    return config.replace(export_dir=f"{config.export_dir}_small", **changes)


def test_one_network_learns_from_several(config, released, capsys) -> None:
    big, release = released
    result = app.run(student(config, release, teacher_weight=0.9))
    taught = result["teacher"]
    key = "average_precision"
    assert taught["metrics"]["valid"][key] == pytest.approx(
        big["metrics"]["valid"][key], abs=1e-6
    )
    assert taught["weights"] == pytest.approx(
        3 * taught["student_weights"], rel=1e-3
    )
    assert not any("other splits" in note for note in result["notes"])
    # The training says it, not only the report.
    assert "weights, validation average_precision" in capsys.readouterr().out


def test_the_teacher_is_the_network_behind_the_encoding(
    config, released
) -> None:
    _, release = released
    options = student(config, release)
    data = app.load_data(options)
    splits = data.folds[0].splits
    untrained = app.build_model(options, data, splits, "classifier")
    teacher = app.teaching.load(options, data, splits, untrained)
    rows = splits.valid.features[:50]
    whole = keras.saving.load_model(release / "model.keras")
    (codes,) = untrained.encoded(rows)
    np.testing.assert_allclose(
        teacher.network(codes), whole(rows), rtol=1e-5, atol=1e-7
    )
    assert teacher.binary and not teacher.network.trainable_weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 16}, "must encode transactions as this run does"),
        ({"train_days": 10}, "must encode transactions as this run does"),
        ({"model": "sequence"}, "must encode transactions as this run does"),
        ({"extended": True}, "must have the features of the data"),
        ({"model": "autoencoder"}, "needs --model=classifier, hybrid or seq"),
    ],
)
def test_a_teacher_of_other_features_is_refused(
    config, released, changes, message
) -> None:
    _, release = released
    with pytest.raises(InputError, match=message):
        app.run(student(config, release, **changes))


def test_a_teacher_that_is_no_detector_is_refused(
    config, released, tmp_path
) -> None:
    _, release = released
    other = tmp_path / "other"
    shutil.copytree(release, other)
    plain = keras.Sequential([keras.Input((15,)), keras.layers.Dense(1)])
    plain.save(other / "model.keras")
    (other / manifest.NAME).unlink()
    with pytest.raises(InputError, match=r"no encoding or no network\."):
        app.run(student(config, other))


def test_a_teacher_of_the_last_of_several_folds_is_refused(
    config, released, monkeypatch
) -> None:
    _, release = released
    data = app.load_data(config)
    monkeypatch.setattr(
        app, "load_data",
        lambda config: app.Data(data.names, data.own, data.folds * 2, None),
    )  # fmt: skip
    with pytest.raises(InputError, match="needs a protocol of one fold"):
        app.run(student(config, release))
