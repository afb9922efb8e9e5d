import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.options import InputError
from common.release import drafts, export, models_config, rollout, warmup


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
    assert not (tmp_path / "app").exists()


def test_a_failed_release_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "app" / "1").mkdir(parents=True)
    with pytest.raises(RuntimeError), export.release(tmp_path, "app"):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["1"]


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


WRITER = """
import pathlib, sys, time
from common.release import drafts
drafts.make(pathlib.Path(sys.argv[1]))
print("made", flush=True)
time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Yields another process, which holds a draft."""
    (tmp_path / "app").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path / "app"],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        yield process
        process.kill()


def test_a_draft_lives_as_long_as_its_writer(writer, tmp_path: Path) -> None:
    with export.release(tmp_path, "app"):
        pass
    assert len(list((tmp_path / "app").glob(".partial-*"))) == 1
    writer.kill()
    writer.wait()
    with export.release(tmp_path, "app"):
        pass
    assert not list((tmp_path / "app").glob(".partial-*"))


def test_a_draft_of_another_host_is_left_alone(
    writer, tmp_path: Path, monkeypatch
) -> None:
    """This holds even if the storage keeps the locks of hosts apart."""
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    monkeypatch.setattr(drafts.fcntl, "flock", lambda handle, operation: None)
    (draft,) = (tmp_path / "app").glob(".partial-*")
    drafts.remove_stale(tmp_path / "app")
    assert draft.exists()
    os.utime(draft / drafts.LEASE, (1, 1))
    drafts.remove_stale(tmp_path / "app")
    assert not draft.exists()


def test_a_dead_draft_is_not_kept_for_the_number_of_a_process(tmp_path) -> None:
    """In containers every export may have number 1."""
    dead = tmp_path / "app" / f"{drafts.PARTIAL}{os.getppid()}-x"
    dead.mkdir(parents=True)
    with export.release(tmp_path, "app"):
        pass
    assert not dead.exists()


def test_the_newest_of_ten_exports_at_once_is_known(
    tmp_path: Path, monkeypatch
) -> None:
    add, random = models_config.add, np.random.default_rng(0)

    def add_late(*release) -> rollout.Rollout | None:
        time.sleep(random.uniform(0, 0.01))
        return add(*release)

    monkeypatch.setattr(models_config, "add", add_late)

    def publish() -> None:
        with export.release(tmp_path, "app") as draft:
            (draft.directory / "saved_model.pb").write_text("")

    for count in range(1, 7):
        threads = [threading.Thread(target=publish) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        newest = 10 * count
        assert export.versions(tmp_path / "app")[-1] == newest
        state = models_config.state(tmp_path, "app")
        assert state == rollout.Rollout((1, newest), 1, 1)
    assert not list(tmp_path.glob("app/*/.draft"))
    assert not list(tmp_path.glob("app/.partial-*"))


def test_a_kill_before_the_listing_is_mended(tmp_path, monkeypatch) -> None:
    def publish() -> Path:
        with export.release(tmp_path, "app") as draft:
            (draft.directory / "saved_model.pb").write_text("")
        return draft.path

    publish()
    monkeypatch.setattr(models_config, "add", lambda *args: rollout.first(2))
    assert publish().name == "2"  # As if killed: no export listed it.
    monkeypatch.undo()
    assert models_config.state(tmp_path, "app") == rollout.Rollout((1,), 1, 1)
    models_config.complete(tmp_path)
    assert models_config.state(tmp_path, "app") == rollout.Rollout((1, 2), 1, 1)
    # A version that was rolled back is not listed again.
    models_config.update(
        tmp_path, "app", lambda state: rollout.roll_back(state, 1)
    )
    models_config.complete(tmp_path)
    assert models_config.state(tmp_path, "app") == rollout.Rollout((1,), 1, 1)
    assert not list(tmp_path.glob("app/*/.draft"))


def test_a_policy_of_the_user_is_left_alone(tmp_path, capsys) -> None:
    path = tmp_path / "models.config"
    path.write_text(
        "model_config_list { config { name: 'app' base_path: '/models/app' "
        "model_platform: 'tensorflow' model_version_policy { all { } } } }"
    )
    with export.release(tmp_path, "app") as draft:
        (draft.directory / "saved_model.pb").write_text("")
    (entry,) = models_config.read(tmp_path).model_config_list.config
    assert entry.model_version_policy.HasField("all")
    assert not entry.version_labels
    assert "policy of your own for app" in " ".join(
        capsys.readouterr().out.split()
    )


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


def test_a_writer_killed_before_it_signed_its_lease_is_dead(tmp_path) -> None:
    draft = tmp_path / f"{drafts.PARTIAL}x"
    draft.mkdir()
    (draft / drafts.LEASE).touch()
    drafts.remove_stale(tmp_path)
    assert not draft.exists()


def test_a_models_config_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.config").mkdir()
    with pytest.raises(InputError, match="must be a file"):
        export.check(tmp_path)
    with pytest.raises(OSError, match="directory"):
        models_config.replace(tmp_path / "models.config", "")
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]


def test_an_error_in_models_config_is_not_quoted_whole(tmp_path: Path) -> None:
    text = f"model_config_list {{ {'x' * 70_000}: 1 }}"
    (tmp_path / "models.config").write_text(text)
    with pytest.raises(InputError) as raised:
        models_config.read(tmp_path)
    assert len(str(raised.value)) < 800


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "other", "expected"),
    [
        ([np.inf, 1.0], [np.inf, 1.0], 0.0),
        ([np.inf], [-np.inf], np.inf),
        ([1.0, 2.0], [1.5, 2.0], 0.5),
        ([np.nan, 1.0], [0.0, 1.0], np.nan),
    ],
)
def test_equal_infinities_do_not_differ(value, other, expected) -> None:
    difference = export._difference(value, other)
    assert difference == expected or np.isnan([difference, expected]).all()


def test_a_release_that_answers_nan_is_not_published(model, tmp_path) -> None:
    signatures = {"serving_default": signature(model)}
    export.save(tmp_path, model, signatures)
    model.layers[-1].bias.assign([np.nan, 1.0])
    with pytest.raises(RuntimeError, match="differs from the model by nan"):
        export.verify(tmp_path, model, signatures)


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
    result = export.save(tmp_path, model, signatures)
    assert result["max_abs_error"] <= 1e-6
    described = result["signatures"]["serving_default"]
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
            state = models_config.state(tmp_path, "app")
            # A version is listed only when it is in its place.
            assert state is None or max(state.loaded) < version
    assert models_config.state(tmp_path, "app") == rollout.Rollout((1, 2), 1, 1)


def test_warm_up_requests_read_back_with_their_answers(model, tmp_path) -> None:
    directory = tmp_path / "app" / ".partial"
    directory.mkdir(parents=True)
    large = dataclasses.replace(
        signature(model), example=(np.random.rand(120, 3).astype(np.float32),)
    )
    export.save(
        directory, model,
        {"serving_default": large, "other": signature(model)},
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
        "instances": [{"x": large.example[0][0].tolist()}]
    }
    (directory / models_config.EXTRA / warmup.FILE).unlink()
    assert list(warmup.read(directory)) == []


def test_a_signature_takes_any_number_of_rows(model, tmp_path: Path) -> None:
    fixed = dataclasses.replace(
        signature(model), inputs=(tf.TensorSpec((2, 3), tf.float32, "x"),)
    )
    with pytest.raises(ValueError, match="first axis of x must be None"):
        export.save(tmp_path, model, {"serving_default": fixed})
