"""A network that learns from a release, end to end on tiny data."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from test_image_classify import TINY

from apps.image_classify import train as app
from common.options import InputError
from common.release import manifest
from common.report import report

OPTIONS = {**TINY, "variants": ("float32", "int8")}


def small(teacher: Path, **changes) -> app.Config:
    options = {**OPTIONS, "epochs": 1, "width": 0.25, "export_dir": "small"}
    return app.Config(**options, teacher=str(teacher), **changes)


# The fixture `released` trains the teacher.
TINY = OPTIONS


def test_a_student_is_released_with_a_report_of_its_teacher(released) -> None:
    big, release = released
    result = app.run(small(release, teacher_temperature=3.0))
    taught = result["teacher"]
    assert taught["metrics"]["valid"]["accuracy"] == pytest.approx(
        big["metrics"]["valid"]["accuracy"]
    )
    assert (taught["temperature"], taught["weight"]) == (3.0, 0.5)
    assert taught["weights"] == 188_698 - 1_856 and taught[
        "student_weights"
    ] < (taught["weights"] / 10)
    assert not any("other splits" in note for note in result["notes"])
    path = Path("small/image_classify/1")
    page = (path / "report" / "report.html").read_text()
    assert "temperature\n3.0" in page and taught["name"] in page
    model = keras.saving.load_model(path / "model.keras", safe_mode=True)
    assert model.count_params() == taught["student_weights"]
    alone = app.run(small(release).replace(teacher="", teacher_weight=0.5))
    assert "teacher" not in alone
    assert alone["history"]["loss"] != result["history"]["loss"]


def altered(release: Path, target: Path, name: str, change) -> Path:
    """Copies a release and changes a file of it, and its manifest."""
    shutil.copytree(release, target)
    file = target / name
    file.write_text(change(file.read_text()))
    (target / manifest.NAME).unlink()
    manifest.write(target)
    return target


def test_a_teacher_that_does_not_fit_is_refused(released, tmp_path) -> None:
    _, release = released
    letters = altered(
        release, tmp_path / "letters", "mobile/labels.txt",
        lambda text: text.replace("3", "three"),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"the classes of the data, .*three"):
        app.run(small(letters))
    with pytest.raises(InputError, match=r"input .*\(None, 16, 16, 1\)"):
        app.run(small(release, image_size=16))
    other = altered(
        release, tmp_path / "other", "report/report.json",
        lambda text: json.dumps({**json.loads(text), "app": "compress"}),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"release of image_classify; .*compr"):
        app.run(small(other))
    with pytest.raises(InputError, match="--teacher must be a release dir"):
        app.run(small(tmp_path / "nothing"))
    broken = altered(
        release, tmp_path / "broken", "mobile/labels.txt", lambda text: text
    )
    (broken / "model.keras").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"model\.keras .*was changed"):
        app.run(small(broken))
    (broken / manifest.NAME).unlink()
    with pytest.raises(InputError, match=r"model\.keras Keras can load"):
        app.run(small(broken))


def test_a_teacher_of_other_splits_is_said(released) -> None:
    _, release = released
    splits = app.load_data(small(release))
    model = app.build_model(small(release), splits)
    assert not app.load_teacher(small(release), splits, model).notes
    (note,) = app.load_teacher(small(release, seed=1), splits, model).notes
    assert "trained on other splits" in note and "seed 1" in note
    assert app.load_teacher(app.Config(**OPTIONS), splits, model) is None


def test_no_code_of_a_teacher_runs(released, tmp_path) -> None:
    _, release = released
    evil = tmp_path / "evil"
    shutil.copytree(release, evil)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Lambda(lambda pixels: pixels + 1)(image)
    x = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(x))
    keras.Model(image, x).save(evil / "model.keras")
    (evil / manifest.NAME).unlink()
    with pytest.raises(InputError, match=r"Keras can load.*Lambda"):
        app.run(small(evil))


def test_the_report_keeps_no_path_of_the_author(released, tmp_path) -> None:
    _, release = released
    assert release.is_absolute()
    stored = report.read(Path("small/image_classify/1").absolute())
    assert not Path(stored["teacher"]["name"]).is_absolute()
    assert not Path(stored["config"]["teacher"]).is_absolute()
    assert np.isfinite(stored["teacher"]["metrics"]["valid"]["accuracy"])
