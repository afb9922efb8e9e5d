"""Roll-out and roll-back while clients send requests without pause."""

import threading
import time
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import serving_models
from serving_models import HOST, X, ask, predict

from common.options import InputError
from common.release import models_config, rollout, served
from common.serving import embedded
from common.serving.models import Models
from common.shared_options import Options

CLIENTS = 8
SECONDS = 10.0


class Client(threading.Thread):
    """Sends requests without pause; counts the answers by version."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        options = Options(mode="predict", server=url)
        self._ask = served.connect(options, "toy")
        self.answers: Counter[int] = Counter()
        self.last = 0
        self.failures: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        rows = np.array(X["instances"], np.float32)
        while not self.stop.is_set():
            try:
                outputs = self._ask(x=rows)
                assert outputs["y"].tolist() == [12.0, 31.0]
                self.last = int(outputs["version"][0])
                self.answers[self.last] += 1
            except Exception as error:
                self.failures.append(repr(error))


def wait_until(condition, seconds: float = SECONDS) -> float:
    """Waits until a condition holds; returns the seconds that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "not in time"
        time.sleep(0.02)
    return time.monotonic() - start


def test_no_request_fails_while_versions_come_and_go(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    with embedded.serving(tmp_path, tell=lambda line: None) as server:
        rest = f"http://{HOST}:{server.rest_port}"
        urls = [
            rest, f"grpc://{HOST}:{server.grpc_port}",
            f"{rest}/labels/stable", f"grpc://{HOST}:{server.grpc_port}/labels/stable",
        ]  # fmt: skip
        clients = [Client(urls[index % 4]) for index in range(CLIENTS)]
        by_newest = [c for i, c in enumerate(clients) if i % 4 < 2]
        by_label = [c for i, c in enumerate(clients) if i % 4 >= 2]
        for client in clients:
            client.start()

        def all_at(group, version) -> None:
            for client in group:
                client.last = 0
            wait_until(lambda: all(client.last == version for client in group))

        def state(version) -> str:
            _, answer = ask(server, "GET", f"/v1/models/toy/versions/{version}")
            return answer["model_version_status"][0]["state"]

        all_at(clients, 1)
        serving_models.release(tmp_path, "toy", 2)
        all_at(by_newest, 2)
        all_at(by_label, 1)
        models_config.update(
            tmp_path, "toy", lambda now: rollout.promote(now, 2)
        )
        all_at(clients, 2)
        serving_models.release(tmp_path, "toy", 3)
        models_config.update(
            tmp_path, "toy", lambda now: rollout.promote(now, 3)
        )
        all_at(clients, 3)
        wait_until(lambda: state(1) == "END")
        assert state(2) == "AVAILABLE"
        models_config.update(
            tmp_path, "toy", lambda now: rollout.roll_back(now, 2)
        )
        all_at(clients, 2)
        wait_until(lambda: state(3) == "END")
        assert predict(server, X, "toy/versions/3")[0] == 404
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join()
    assert [client.failures for client in clients] == [[]] * CLIENTS
    assert all(sum(client.answers.values()) > 50 for client in clients)


def test_a_version_is_dropped_only_when_nobody_uses_it(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    printed: list[str] = []
    models = Models(tmp_path, printed.append)
    models.refresh()
    serving_models.release(tmp_path, "toy", 2)
    models_config.update(tmp_path, "toy", lambda now: rollout.promote(now, 2))
    models_config.update(
        tmp_path, "toy", lambda now: rollout.Rollout((2,), 2, 2)
    )
    renewing = threading.Thread(target=models.refresh)
    with models.use("toy") as model:
        assert model.version == 1
        renewing.start()
        wait_until(lambda: models.states["toy"][1][0] == "UNLOADING")
        assert models.newest() == {"toy": 2}
        assert model.predict("", serving_models.EXAMPLES["serving_default"])
        assert renewing.is_alive()
    renewing.join(timeout=10)
    assert models.states["toy"][1] == ("END", "")
    assert printed[-1] == "toy: version 1 is drained and unloaded"


def test_a_bad_release_harms_nobody(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    printed: list[str] = []
    models = Models(tmp_path, printed.append)
    (tmp_path / "toy" / "2").mkdir()
    (tmp_path / "toy" / "2" / "saved_model.pb").write_bytes(b"no model")
    models_config.add(tmp_path, "toy", 2)
    models.refresh()
    models.refresh()
    assert models.newest() == {"toy": 1}
    state, error = models.states["toy"][2]
    assert state == "LOADING" and error and "\n" not in error
    assert sum("cannot be loaded" in line for line in printed) == 1


def test_a_broken_version_rests_longer_after_each_attempt(
    tmp_path, monkeypatch
) -> None:
    for version in (1, 2):  # The messages of two versions alternate.
        broken = tmp_path / "toy" / str(version)
        broken.mkdir(parents=True)
        (broken / "saved_model.pb").write_bytes(b"no model")
        models_config.add(tmp_path, "toy", version)
    attempts, printed = [], []
    now = 0.0

    def load(path: Path) -> None:
        if path == broken:
            attempts.append(now)
        raise OSError(f"{path.name} is broken")

    clock = types.SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("common.serving.models.Version", load)
    monkeypatch.setattr("common.serving.models.time", clock)
    models = Models(tmp_path, printed.append)
    for second in range(1000):
        now = float(second)
        models.refresh()
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]
    assert len(printed) == 2
    # After a change of its files the version is tried at once.
    (broken / "saved_model.pb").write_bytes(b"another")
    models.refresh()
    assert attempts[-1] == 999


def test_a_new_app_is_served_too(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    models = Models(tmp_path, lambda line: None)
    models.refresh()
    serving_models.release(tmp_path, "other", 3)
    models.refresh()
    assert models.newest() == {"toy": 1, "other": 3}


def test_a_broken_models_config_changes_nothing(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    printed: list[str] = []
    models = Models(tmp_path, printed.append)
    models.refresh()
    (tmp_path / "models.config").write_text("{")
    models.refresh()
    models.refresh()
    assert models.newest() == {"toy": 1}
    assert sum("Serving as before" in line for line in printed) == 1
    with pytest.raises(InputError):
        models_config.read(tmp_path)


def test_without_models_config_the_newest_version_serves(tmp_path) -> None:
    serving_models.release(tmp_path, "toy", 1)
    (tmp_path / "models.config").unlink()
    models = Models(tmp_path, lambda line: None)
    models.refresh()
    serving_models.release(tmp_path, "toy", 2)
    (tmp_path / "models.config").unlink()
    models.refresh()
    assert models.newest() == {"toy": 2}
    assert models.states["toy"][1] == ("END", "")


def test_a_version_may_have_zeros_before_its_number(tmp_path) -> None:
    release = serving_models.release(tmp_path, "toy", 7)
    release.rename(release.with_name("00000007"))
    with embedded.serving(tmp_path, tell=lambda line: None) as server:
        for model in ("toy", "toy/versions/7", "toy/versions/007"):
            status, answer = predict(server, X, model)
            assert status == 200 and answer["predictions"][0]["version"] == 7


def test_a_label_waits_for_its_version(tmp_path) -> None:
    """As in TF Serving, a label moves only when its version is loaded."""
    serving_models.release(tmp_path, "toy", 1)
    models = Models(tmp_path, lambda line: None)
    models.refresh()
    path = tmp_path / "models.config"
    entry = 'key: "stable"\n      value: '
    text = path.read_text().replace(f"{entry}1", f"{entry}9")
    assert f"{entry}9" in text
    path.write_text(text)
    models.refresh()
    with models.use("toy", label="stable") as model:
        assert model.version == 1
