import concurrent.futures
import json
import socket

import pytest

from apps.launch import free_ports
from common.options import InputError
from common.shared_options import Options
from common.workers import cluster, rendezvous

WORKERS = ["a:1", "b:2"]


def config(cluster=None, kind="worker", index=0) -> str:
    cluster = {"worker": WORKERS} if cluster is None else cluster
    return json.dumps(
        {"cluster": cluster, "task": {"type": kind, "index": index}}
    )


def test_the_chief_comes_before_the_workers() -> None:
    assert cluster.read_task(config(index=1)) == cluster.Task(("a:1", "b:2"), 1)
    # Vertex AI and TFJob set more keys than are needed.
    text = json.loads(config({"chief": ["c:1"], "worker": WORKERS}, index=1))
    text["environment"] = "cloud"
    task = cluster.read_task(json.dumps(text))
    assert task == cluster.Task(("c:1", "a:1", "b:2"), 2)
    chief = config({"chief": ["c:1"], "worker": WORKERS}, "chief")
    assert cluster.read_task(chief).index == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs TF_CONFIG in the environment; it is not set"),
        ("{", "must be JSON"),
        ("[1]", "must be JSON"),
        ("{}", "must be JSON"),
        ('{"cluster": {"worker": ["a:1"]}}', "must be JSON"),
        (config({"worker": 3}), "must be JSON"),
        (config(index=2), "worker 2 is not in"),
        (config(index=-1), "worker -1 is not in"),
        (config(kind="evaluator"), "evaluator 0 is not in"),
        (config({"ps": ["a:1"], "worker": WORKERS}), "it has ps"),
        (config({"worker": ["a", "b:2"]}), "host:port; received 'a'"),
        (config({"worker": ["a:99999"]}), "received 'a:99999'"),
        (config({"worker": ["a:1", "a:1"]}), "'a:1' is there twice"),
    ],
)
def test_a_wrong_tf_config_is_one_clear_line(text, message) -> None:
    with pytest.raises(InputError) as refused:
        cluster.read_task(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def meet(values: list[dict], timeout: float, absent: int = 0) -> list[str]:
    """Returns the error of each worker that comes; empty if it has none.

    Args:
        values: The values of each worker that comes.
        timeout: Seconds that the workers wait.
        absent: How many workers do not come.
    """
    count = len(values) + absent
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]

    def error_of(index: int) -> str:
        try:
            rendezvous.meet(addresses, index, values[index], timeout)
        except InputError as error:
            return str(error).replace(addresses[-1], "ADDRESS")
        return ""

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(error_of, range(len(values))))


def test_workers_that_are_alike_meet() -> None:
    values = {"seed": 1, "variants": ("float32", "int8")}
    assert meet([values] * 4, timeout=20) == [""] * 4


def test_workers_with_other_options_are_refused() -> None:
    errors = meet([{"seed": 1}, {"seed": 2}], timeout=20)
    assert errors[0] == errors[1]
    assert "seed is 1 for worker 0 and 2 for worker 1" in errors[0]


def test_a_worker_that_never_comes_is_named() -> None:
    errors = meet([{}, {}], timeout=1.0, absent=1)
    assert errors[0] == errors[1]
    assert "worker 2 (ADDRESS) did not" in errors[0]


def test_a_first_worker_that_never_comes_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(InputError, match=r"worker 0 \(127.0.0.1:1\) did not"):
        rendezvous.meet(["127.0.0.1:1", f"127.0.0.1:{port}"], 1, {}, 0.5)


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_in_use_is_named(index) -> None:
    with socket.create_server(("", 0)) as other:
        taken = f"localhost:{other.getsockname()[1]}"
        addresses = ["localhost:1", "localhost:1"]
        addresses[index] = taken
        with pytest.raises(InputError, match="in use"):
            rendezvous.meet(addresses, index, {}, 1.0)


def test_strangers_are_not_taken_for_workers() -> None:
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        chief = pool.submit(rendezvous.meet, [first, second], 0, {}, 20)
        for noise in (
            b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"[1]\n", b"1\n", b"",
        ):  # fmt: skip
            for _ in range(50):
                try:
                    host, port = first.split(":")
                    with socket.create_connection((host, port), 1) as client:
                        client.sendall(noise)
                    break
                except OSError:
                    pass
        rendezvous.meet([first, second], 1, {}, 20)
        assert chief.result() is None  # It met its worker.


def test_a_stranger_that_says_nothing_does_not_end_the_wait(
    monkeypatch,
) -> None:
    monkeypatch.setattr(rendezvous, "INTRODUCTION_SECONDS", 0.2)
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    host, port = first.split(":")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        chief = pool.submit(rendezvous.meet, [first, second], 0, {}, 20)
        while True:
            try:
                silent = socket.create_connection((host, port), 5)
                break
            except OSError:
                pass
        with silent:
            assert silent.recv(1) == b""  # Its connection was closed.
            rendezvous.meet([first, second], 1, {}, 20)
        chief.result()


def test_a_cluster_of_another_size_is_refused() -> None:
    ports = free_ports(3)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        chief = pool.submit(rendezvous.meet, addresses[:2], 0, {}, 20)
        with pytest.raises(InputError, match=r"number of workers .* is 2 for"):
            rendezvous.meet(addresses, 2, {}, 20)
        with pytest.raises(InputError, match="3 for worker 2"):
            chief.result()


def test_alone_there_is_nothing_to_agree_on() -> None:
    assert cluster.is_chief()
    assert cluster.index() == 0
    cluster.agree("anything", "whatever")
    cluster.end_unless_chief()
    vote = cluster.Vote()
    assert [vote(15), vote(0), vote(1, now=True)] == [15, 0, 1]


def test_multi_worker_without_tf_config_is_refused(monkeypatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG"):
        cluster.start(Options(strategy="multi_worker"))
