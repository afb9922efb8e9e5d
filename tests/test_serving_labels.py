"""TF Serving's own rule for labels, applied to the files that we write.

The rule is that of `ServerCore::ReloadConfig`: it first moves the labels, all
of them or none, and only then changes the versions.
"""

from pathlib import Path

import pytest

from apps import releases
from common.release import models_config, rollout


class TfServing:
    """A model of how TF Serving handles versions and labels."""

    def __init__(self, export_dir: Path) -> None:
        self.export_dir = export_dir
        self.available: set[int] = set()
        self.aspired: set[int] = set()
        self.labels: dict[str, int] = {}
        self.refused = 0

    def poll(self) -> None:
        """Reads models.config, as TF Serving does every two seconds."""
        (entry,) = models_config.read(self.export_dir).model_config_list.config
        for label, version in entry.version_labels.items():
            # --allow_version_labels_for_unavailable_models
            is_new = self.labels.get(label, version) == version
            if not is_new and version not in self.available:
                self.refused += 1
                return
        self.labels = dict(entry.version_labels)
        self.aspired = set(entry.model_version_policy.specific.versions)

    def load(self) -> None:
        """Loads the aspired versions, then unloads the others."""
        self.available = set(self.aspired)

    def check(self) -> None:
        """Raises if a request that names a label would get an error."""
        assert set(self.labels.values()) <= self.available


def export(export_dir: Path, version: int) -> None:
    path = export_dir / "toy" / str(version)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")
    models_config.add(export_dir, "toy", version)


@pytest.mark.parametrize("slow", [False, True])
def test_no_label_is_ever_lost_or_stuck(tmp_path, monkeypatch, slow) -> None:
    """However slowly versions load, each file is accepted in the end."""
    export(tmp_path, 1)
    server = TfServing(tmp_path)
    server.poll()
    server.load()

    def settle(path: Path, seconds: float) -> None:
        """Stands for the wait: the server reads the file and may load."""
        server.poll()
        if not slow:
            server.load()

    monkeypatch.setattr(models_config, "settle", settle)

    def run(command: str, **options) -> None:
        releases.main(releases.Config(command, str(tmp_path), "toy", **options))

    steps = [
        lambda: export(tmp_path, 2),
        lambda: run("promote", label="canary"),
        lambda: run("promote"),
        lambda: export(tmp_path, 3),
        lambda: export(tmp_path, 4),
        lambda: run("promote"),
        lambda: run("rollback"),
        lambda: run("rollback"),
        lambda: export(tmp_path, 5),
        lambda: run("rollback"),
        lambda: run("promote", version=3),
        lambda: run("promote", version=5, label="canary"),
        lambda: run("prune", keep=1),
    ]
    for step in steps:
        step()
        for _ in range(3):
            server.poll()
            server.check()
            if not slow:
                server.load()
            server.check()
        server.load()
        server.poll()
        server.load()
        server.check()
        state = models_config.state(tmp_path, "toy")
        assert server.available == set(state.loaded)
        assert server.labels == {"stable": state.stable, "canary": state.canary}
    assert slow == bool(server.refused)


def test_a_label_moved_with_its_version_would_be_stuck(tmp_path) -> None:
    """This is why the tool takes two steps."""
    export(tmp_path, 1)
    server = TfServing(tmp_path)
    server.poll()
    server.load()
    path = tmp_path / "toy" / "2"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")
    models_config.update(
        tmp_path, "toy", lambda now: rollout.promote(rollout.load(now, 2), 2)
    )
    for _ in range(10):
        server.poll()
        server.load()
    assert server.available == {1} and server.refused == 10
