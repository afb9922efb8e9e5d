import dataclasses
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import export
from common.config import InputError
from common.serving import config, rollout, warmup


def test_versions_count_up_and_are_never_overwritten(tmp_path: Path) -> None:
    for version in (1, 2):
        with export.release(tmp_path, "app") as draft:
            (draft.directory / "file").write_text(str(version))
            assert export.versions(tmp_path / "app") == list(range(1, version))
        assert draft.path == tmp_path / "app" / str(version)
    assert (tmp_path / "app" / "1" / "file").read_text() == "1"
    assert sorted(p.name for p in (tmp_path / "app").iterdir()) == ["1", "2"]
    assert draft.path.stat().st_mode & 0o777 == 0o755


def test_gaps_are_not_filled(tmp_path: Path) -> None:
    (tmp_path / "app" / "7").mkdir(parents=True)
    with export.release(tmp_path, "app") as draft:
        pass
    assert draft.path.name == "8"


def test_a_number_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with export.release(tmp_path, "app") as draft:
        (tmp_path / "app" / "1").mkdir()
        (tmp_path / "app" / "1" / "theirs").write_text("")
    assert draft.path.name == "2"


def test_a_failed_release_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        export.release(tmp_path, "app") as draft,
    ):
        (draft.directory / "half").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_release_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "app" / "1").mkdir(parents=True)
    with pytest.raises(RuntimeError), export.release(tmp_path, "app"):
        raise RuntimeError
    assert [one.name for one in (tmp_path / "app").iterdir()] == ["1"]


@pytest.mark.parametrize("kilobytes", [12, 36])
def test_a_disk_that_fills_up_is_one_line(model, tmp_path, kilobytes) -> None:
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs"]
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run([*words, str(disk)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with (
            pytest.raises(
                InputError, match="No space left on device"
            ) as raised,
            export.release(disk, "app") as draft,
        ):
            signatures = {"serving_default": signature(model)}
            export.save(draft.directory, model, signatures)
        assert "\n" not in str(raised.value)
        assert not (disk / "app").exists()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_what_killed_exports_left_is_removed(tmp_path: Path) -> None:
    dead = tmp_path / "app" / f"{export.PARTIAL}999999999-x"
    alive = tmp_path / "app" / f"{export.PARTIAL}{os.getppid()}-x"
    dead.mkdir(parents=True)
    alive.mkdir()
    with export.release(tmp_path, "app"):
        pass
    assert not dead.exists() and alive.exists()


def test_a_release_is_found_or_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--export_dir must hold a release"):
        export.find("", str(tmp_path), "app")
    with pytest.raises(InputError, match=r"no saved_model\.pb"):
        export.find(str(tmp_path), "", "app")
    for version in ("9", "10"):
        (tmp_path / "app" / version).mkdir(parents=True)
        (tmp_path / "app" / version / "saved_model.pb").write_text("")
    assert export.find("", str(tmp_path), "app").name == "10"


def test_an_export_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="--export_dir must be a directory"),
        export.release(tmp_path / "file", "app"),
    ):
        pass


def test_a_broken_models_config_is_refused_before_training(tmp_path) -> None:
    export.check(tmp_path)
    (tmp_path / "models.config").write_text("{")
    with pytest.raises(InputError, match="must be a ModelServerConfig"):
        export.check(tmp_path)


@pytest.fixture
def model() -> keras.Model:
    x = keras.Input((3,), name="x")
    return keras.Model(x, keras.layers.Dense(2)(x))


def signature(model: keras.Model) -> export.Signature:
    names = tf.constant(["low", "high"])

    def serve(x):
        y = model(x)
        return {"y": y, "name": tf.gather(names, tf.argmax(y, axis=1))}

    spec = tf.TensorSpec((None, 3), tf.float32, "x")
    return export.Signature(serve, (spec,), (np.ones((2, 3), np.float32),))


def test_what_is_saved_is_read_back(model, tmp_path: Path) -> None:
    signatures = {"serving_default": signature(model)}
    found = export.save(tmp_path, model, signatures)
    assert found["max_abs_error"] <= 1e-6
    described = found["signatures"]["serving_default"]
    assert described["inputs"] == {
        "x": {"dtype": "float32", "shape": [None, 3]}
    }
    assert described["outputs"]["name"]["dtype"] == "string"
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    assert served(x=tf.ones((5, 3)))["y"].shape == (5, 2)


def test_a_release_that_differs_is_not_published(model, tmp_path) -> None:
    signatures = {"serving_default": signature(model)}
    export.save(tmp_path, model, signatures)
    model.layers[-1].bias.assign([1.0, 1.0])
    with pytest.raises(RuntimeError, match="differs from the model"):
        export.verify(tmp_path, model, signatures)


def test_an_export_is_made_known_to_servers(model, tmp_path: Path) -> None:
    for version in (1, 2):
        with export.release(tmp_path, "app") as draft:
            export.save(
                draft.directory, model, {"serving_default": signature(model)}
            )
            state = config.state(tmp_path, "app")
            # Not before it is in its place.
            assert state is None or max(state.loaded) < version
    assert config.state(tmp_path, "app") == rollout.Rollout((1, 2), 1, 1)


def test_warm_up_requests_read_back_with_their_answers(model, tmp_path) -> None:
    directory = tmp_path / "app" / ".partial"
    directory.mkdir(parents=True)
    many = dataclasses.replace(
        signature(model), example=(np.random.rand(120, 3).astype(np.float32),)
    )
    export.save(
        directory, model,
        {"serving_default": many, "other": signature(model)},
    )  # fmt: skip
    logs = list(warmup.read(directory))
    assert len(logs) == 50 + 3 <= warmup.MOST_RECORDS
    request = logs[0].predict_log.request
    assert request.model_spec.name == "app"
    assert request.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(request.inputs["x"]).shape == (120, 3)
    assert tf.make_ndarray(logs[1].predict_log.request.inputs["x"]).shape == (
        1, 3,
    )  # fmt: skip
    answered = tf.make_ndarray(logs[-1].predict_log.response.outputs["y"])
    np.testing.assert_allclose(answered, model(np.ones((1, 3))), atol=1e-6)
    assert warmup.example(directory) == {
        "instances": [{"x": many.example[0][0].tolist()}]
    }
    (directory / warmup.FOLDER / warmup.FILE).unlink()
    assert list(warmup.read(directory)) == []


def test_a_signature_takes_any_number_of_rows(model, tmp_path: Path) -> None:
    fixed = dataclasses.replace(
        signature(model), inputs=(tf.TensorSpec((2, 3), tf.float32, "x"),)
    )
    with pytest.raises(ValueError, match="first axis of x must be None"):
        export.save(tmp_path, model, {"serving_default": fixed})
