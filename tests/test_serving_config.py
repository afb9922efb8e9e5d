"""The files that TF Serving reads, and the state of a roll-out in them."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from tensorflow_serving.config import model_server_config_pb2

from common.options import InputError
from common.release import drafts, models_config, pruning, rollout
from common.release.rollout import Rollout


def touch(export_dir: Path, app: str, *versions: int) -> None:
    """Makes directories that look like releases."""
    for version in versions:
        path = export_dir / app / str(version)
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"")


def add(export_dir: Path, app: str, version: int) -> Rollout:
    touch(export_dir, app, version)
    return models_config.add(export_dir, app, version)


def test_an_export_loads_a_version_and_moves_no_label() -> None:
    state = rollout.first(1)
    assert state == Rollout((1,), 1, 1)
    state = rollout.export(state, 2)
    assert state == Rollout((1, 2), 1, 1)
    # Version 2 was on trial without a label: version 3 replaces it.
    assert rollout.export(state, 3) == Rollout((1, 3), 1, 1)
    canary = rollout.promote(state, 2, "canary")
    assert rollout.export(canary, 3) == Rollout((1, 2, 3), 1, 2)


def test_promotion_keeps_the_version_before_for_a_roll_back() -> None:
    state = rollout.promote(Rollout((1, 2), 1, 1), 2)
    assert state == Rollout((1, 2), 2, 2) and state.previous == 1
    state = rollout.promote(rollout.export(state, 3), 3)
    assert state == Rollout((2, 3), 3, 3)
    assert rollout.promote(state, 3) == state


def test_a_roll_back_takes_the_newest_out_of_service() -> None:
    on_trial = Rollout((1, 2, 3), 2, 3)
    assert rollout.target(on_trial, [1, 2, 3]) == 2
    state = rollout.roll_back(on_trial, 2)
    assert state == Rollout((1, 2), 2, 2)
    assert rollout.target(state, [1, 2, 3]) == 1
    state = rollout.roll_back(state, 1)
    assert state == Rollout((1,), 1, 1)
    with pytest.raises(InputError, match="needs a version before 1"):
        rollout.target(state, [1, 2, 3])


def test_a_label_moves_only_to_a_loaded_version() -> None:
    """TF Serving refuses any other move, and never loads the version then."""
    state = rollout.first(1)
    steps = [
        lambda s: rollout.export(s, 2),
        lambda s: rollout.promote(s, 2, "canary"),
        lambda s: rollout.export(s, 3),
        lambda s: rollout.promote(s, 3),
        lambda s: rollout.roll_back(s, rollout.target(s, [1, 2, 3])),
        lambda s: rollout.export(s, 4),
        lambda s: rollout.export(s, 5),
        lambda s: rollout.promote(s, 5),
    ]
    for step in steps:
        after = step(state)
        assert {after.stable, after.canary} <= set(state.loaded)
        assert {after.stable, after.canary} <= set(after.loaded)
        assert after.stable <= after.canary <= after.newest
        state = after


def test_models_config_lists_all_apps_and_keeps_labels(tmp_path: Path) -> None:
    add(tmp_path, "one", 1)
    add(tmp_path, "two", 4)
    add(tmp_path, "one", 2)
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "models.config").read_text(), config)
    first, second = config.model_config_list.config
    assert (first.name, second.name) == ("one", "two")
    assert first.base_path == "/models/one"
    assert first.model_platform == "tensorflow"
    assert list(first.model_version_policy.specific.versions) == [1, 2]
    assert dict(first.version_labels) == {"stable": 1, "canary": 1}
    assert list(second.model_version_policy.specific.versions) == [4]
    assert list(tmp_path.glob(".*")) == [tmp_path / models_config.LOCK]


def test_other_fields_of_models_config_are_kept(tmp_path: Path) -> None:
    add(tmp_path, "one", 1)
    path = tmp_path / "models.config"
    logged = "version_labels { key: 'mine' value: 1 } logging_config { }"
    text = path.read_text().replace(
        'model_platform: "tensorflow"', f'model_platform: "tensorflow" {logged}'
    )
    path.write_text(text)
    add(tmp_path, "one", 2)
    (entry,) = models_config.read(tmp_path).model_config_list.config
    assert entry.HasField("logging_config") and entry.version_labels["mine"]


def test_versions_deleted_by_hand_leave_models_config(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        add(tmp_path, "one", version)
    add(tmp_path, "gone", 1)
    models_config.update(tmp_path, "one", lambda s: rollout.promote(s, 3))
    (tmp_path / "one" / "3" / "saved_model.pb").unlink()
    (tmp_path / "gone" / "1" / "saved_model.pb").unlink()
    add(tmp_path, "two", 1)
    assert models_config.state(tmp_path, "one") == Rollout((1,), 1, 1)
    assert models_config.state(tmp_path, "gone") is None


def test_a_broken_models_config_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text("model_config_list {{{")
    with pytest.raises(InputError, match="must be a ModelServerConfig"):
        models_config.read(tmp_path)


def test_exports_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    for number in range(8):
        touch(tmp_path, f"app{number}", 1)
    threads = [
        threading.Thread(
            target=models_config.add, args=(tmp_path, f"app{number}", 1)
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models_config.read(tmp_path).model_config_list.config) == 8


def test_a_slower_export_does_not_replace_a_newer_version(tmp_path) -> None:
    add(tmp_path, "app", 1)
    touch(tmp_path, "app", 2, 3)
    models_config.add(tmp_path, "app", 3)
    models_config.add(tmp_path, "app", 2)
    assert models_config.state(tmp_path, "app") == Rollout((1, 3), 1, 1)


def test_the_last_export_lists_all_releases(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        touch(tmp_path, "app", version)
        (tmp_path / "app" / str(version) / drafts.LEASE).touch()
    models_config.add(tmp_path, "app", 2)
    assert models_config.state(tmp_path, "app") == Rollout((1, 3), 1, 1)
    assert models_config.unlisted(tmp_path / "app") == []


def test_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".models.config.partial-123").write_text("half")
    (tmp_path / ".batching.config.partial-4").write_text("half")
    add(tmp_path, "app", 1)
    assert list(tmp_path.glob(".*")) == [tmp_path / models_config.LOCK]


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "model_version_policy { all { } }",
        "model_version_policy { latest { num_versions: 2 } }",
        "model_version_policy { specific { versions: 1 versions: 2 } }",
        "model_version_policy { specific { versions: 2 } } "
        "version_labels { key: 'stable' value: 2 }",
    ],
)
def test_a_policy_of_the_user_is_left_alone(tmp_path: Path, policy) -> None:
    text = (
        "# Mine.\nmodel_config_list { config { name: 'app' "
        f"base_path: '/elsewhere' model_platform: 'tensorflow' {policy} }} }}"
    )
    path = tmp_path / "models.config"
    path.write_text(text)
    touch(tmp_path, "app", 1, 2, 3)
    assert models_config.add(tmp_path, "app", 3) is None
    models_config.complete(tmp_path)
    assert path.read_text() == text
    add(tmp_path, "other", 1)
    entry, other = models_config.read(tmp_path).model_config_list.config
    assert (entry.name, other.name) == ("app", "other")
    shutil.rmtree(tmp_path / "app")  # The releases may be elsewhere.
    add(tmp_path, "other", 2)
    assert models_config.read(tmp_path).model_config_list.config[0] == entry


def test_complete_files_are_not_written(tmp_path: Path, monkeypatch) -> None:
    """A server may not be allowed to write."""
    add(tmp_path, "app", 1)

    def refuse(export_dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(models_config, "locked", refuse)
    models_config.complete(tmp_path)
    touch(tmp_path, "other", 1)
    with pytest.raises(InputError, match="can be written"):
        models_config.complete(tmp_path)
    with pytest.raises(InputError, match="where files can be locked"):
        models_config.check(tmp_path)


def test_who_may_write_may_lock(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    add(tmp_path, "app", 1)
    assert (tmp_path / models_config.LOCK).stat().st_mode & 0o777 == 0o664


def test_releases_that_were_copied_become_known(tmp_path: Path) -> None:
    touch(tmp_path, "copied", 3, 5)
    models_config.complete(tmp_path)
    assert models_config.state(tmp_path, "copied") == Rollout((5,), 5, 5)


def test_tuned_batching_is_kept(tmp_path: Path) -> None:
    add(tmp_path, "one", 1)
    (tmp_path / "batching.config").write_text("max_batch_size { value: 8 }")
    add(tmp_path, "one", 2)
    assert "8" in (tmp_path / "batching.config").read_text()


def test_labels_wait_until_servers_have_read_the_file(tmp_path: Path) -> None:
    add(tmp_path, "one", 1)
    start = time.monotonic()
    os.utime(tmp_path / "models.config")  # Now, however long `add` took.
    models_config.settle(tmp_path, 0.3)
    assert 0.2 < time.monotonic() - start < 5
    os.utime(tmp_path / "models.config", (1, 1))
    models_config.settle(tmp_path, 60)
    assert time.monotonic() - start < 10


def message(fields: dict[str, tuple[int, str]]) -> object:
    """Returns a message class; tensorflow-serving-api lacks these two."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{'_'.join(fields)}.proto", package="test", syntax="proto3"
    )
    inner = file.message_type.add(name="Inner")
    kinds = {"int64": 3, "bool": 8, "string": 9}
    outer = file.message_type.add(name="Outer")
    for name, (number, kind) in fields.items():
        owner = inner if "." in name or kind == "int64" else outer
        if kind == "int64":
            if not inner.field:
                inner.field.add(name="value", number=1, type=3, label=1)
            outer.field.add(
                name=name, number=number, type=11, label=1,
                type_name=".test.Inner",
            )  # fmt: skip
        elif kind == "message":
            outer.field.add(
                name=name, number=number, type=11, label=1,
                type_name=".test.Inner",
            )  # fmt: skip
        else:
            owner.field.add(
                name=name.split(".")[1], number=number, type=kinds[kind],
                label=1,
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("test.Outer")
    )()


def test_batching_and_monitoring_are_the_published_messages(tmp_path) -> None:
    """Fields of session_bundle_config.proto and monitoring_config.proto."""
    add(tmp_path, "one", 1)
    batching = message(
        {
            "max_batch_size": (1, "int64"),
            "batch_timeout_micros": (2, "int64"),
            "max_enqueued_batches": (3, "int64"),
            "num_batch_threads": (4, "int64"),
        }
    )
    text_format.Parse((tmp_path / "batching.config").read_text(), batching)
    assert batching.max_batch_size.value == 64
    monitoring = message(
        {
            "prometheus_config": (1, "message"),
            "inner.enable": (1, "bool"),
            "inner.path": (2, "string"),
        }
    )
    text_format.Parse((tmp_path / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == models_config.METRICS_PATH


def test_pruning_spares_what_is_loaded_and_the_newest(tmp_path: Path) -> None:
    for version in range(1, 7):
        add(tmp_path, "one", version)
    state = models_config.state(tmp_path, "one")
    assert state.loaded == (1, 6)
    assert pruning.prune(tmp_path / "one", state, keep=2) == [2, 3, 4]
    assert models_config.versions(tmp_path / "one") == [1, 5, 6]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [
        "1", "5", "6",
    ]  # fmt: skip
