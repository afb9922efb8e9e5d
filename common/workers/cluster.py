"""The workers of a multi-worker training: who they are, and what they agree on.

`TF_CONFIG` lists the workers; Kubernetes' TFJob, Vertex AI and SageMaker set
it. The first worker (the chief, or worker 0) writes all files; the other
workers only train.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from common import console, runtime
from common.options import InputError
from common.shared_options import Options

from . import rendezvous

# Training steps between two votes: a signal takes effect at the next vote.
STEPS_PER_VOTE = 20
# TFJob's restart policy `ExitCode` starts a pod with this status again.
LOST_STATUS = 138


@dataclasses.dataclass(frozen=True)
class Task:
    """This process among the workers.

    Attributes:
        addresses: `host:port` of every worker, the chief's first.
        index: The place of this process in `addresses`.
    """

    addresses: tuple[str, ...]
    index: int


@dataclasses.dataclass(frozen=True)
class Membership:
    """This process's task and strategy, once all workers have met."""

    task: Task
    strategy: tf.distribute.MultiWorkerMirroredStrategy


# Empty, or this process's membership. TensorFlow has one context per process,
# so a process cannot leave its cluster.
_memberships: list[Membership] = []


class WorkerLost(SystemExit):
    """Ends the program because another worker is gone.

    The exit status tells the job's controller to start the job again.
    """

    def __init__(self) -> None:
        super().__init__(LOST_STATUS)


def read_task(text: str | None) -> Task:
    """Returns this process's task, read from the value of `TF_CONFIG`.

    Args:
        text: The value of `TF_CONFIG`, or None if it is not set.

    Raises:
        InputError: If `TF_CONFIG` is not set, is not JSON, or does not describe
            a cluster of workers.
    """
    jobs, kind, place = _parse(text)
    addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
    _check_addresses(addresses)
    num_before = len(jobs.get("chief", ())) if kind == "worker" else 0
    return Task(tuple(addresses), num_before + place)


def _parse(text: str | None) -> tuple[dict[str, list[Any]], str, int]:
    """Returns the addresses by job, this process's job, and its index in it."""
    if not text:
        raise InputError(
            "--strategy=multi_worker needs TF_CONFIG in the environment; it is "
            "not set. `python -m apps.launch --workers=2 -- COMMAND` sets it."
        )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        kind, place = task["type"], int(task["index"])
        jobs = {name: list(cluster[name]) for name in cluster}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            'TF_CONFIG must be JSON such as {"cluster": {"worker": '
            '["host:port", ...]}, "task": {"type": "worker", '
            f'"index": 0}}}}; received {text[:200]!r} '
            f"({type(error).__name__}: {error})."
        ) from None
    unknown = set(jobs) - {"chief", "worker"}
    if unknown:
        raise InputError(
            "TF_CONFIG must have the jobs chief and worker only; it has "
            f"{', '.join(sorted(unknown))}."
        )
    if kind not in jobs or not 0 <= place < len(jobs[kind]):
        raise InputError(
            "TF_CONFIG's task must be one of its cluster's; "
            f"{kind} {place} is not in {json.dumps(jobs)[:200]}."
        )
    return jobs, kind, place


def _check_addresses(addresses: list[Any]) -> None:
    """Raises `InputError` unless all are `host:port`, each given once."""
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InputError(
                "TF_CONFIG must have addresses host:port; received "
                f"{address!r}."
            )
        if addresses.count(address) > 1:
            raise InputError(
                "TF_CONFIG must name each worker once; "
                f"{address!r} is there twice."
            )


def start(options: Options) -> None:
    """Waits for the other workers and joins them, if several are to train.

    Call it after `runtime.start`, before TensorFlow computes anything. It does
    nothing unless the options have `--strategy=multi_worker --mode=train`.

    Args:
        options: The program's options. All workers must have the same values
            of those that training depends on.

    Raises:
        InputError: If `TF_CONFIG` is wrong, a worker does not come or has
            other options, or this worker's port is in use.
    """
    together = options.strategy == "multi_worker" and options.mode == "train"
    if together:
        task = read_task(os.environ.get("TF_CONFIG"))
        flags = options.training_values().items()
        values = {f"--{k}": v for k, v in flags} | runtime.versions()
        rendezvous.meet(
            task.addresses, task.index, values, options.cluster_timeout
        )
    if together:
        with runtime.native_stderr_hidden():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        _memberships.append(Membership(task, strategy))
        if not is_chief():
            console.be_silent()


def strategy(name: str) -> tf.distribute.Strategy:
    """Returns the distribution strategy called `name`.

    Args:
        name: `one_device`; `mirrored`, a copy of the model on every GPU of this
            machine; `multi_worker`, a copy on every GPU of every worker, or on
            its CPU if it has no GPU (call `start` before); `auto`, which is
            `mirrored` if this machine has several GPUs, else `one_device`.
    """
    if name == "multi_worker":
        return _memberships[0].strategy
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def index() -> int:
    """Returns this process's place among the workers; 0 if it is alone."""
    return _memberships[0].task.index if _memberships else 0


def is_chief() -> bool:
    """Returns whether this process is the first worker, which writes files."""
    return index() == 0


def agree(name: str, value: str) -> None:
    """Waits for all workers and checks that they have the same value.

    Args:
        name: The value's name in the error, such as `--work_dir`.
        value: The value of this worker.

    Raises:
        InputError: If the workers' values differ.
    """
    if not _memberships:
        return
    digest = hashlib.sha256(value.encode()).digest()[:8]
    rows = _gather(np.frombuffer(digest, np.int32))
    if (rows != rows[0]).any():
        raise InputError(
            f"{name} must be the same for all workers; worker {index()} has "
            f"{value}. Is it on storage that all workers share?"
        )


@contextlib.contextmanager
def all_present() -> Iterator[None]:
    """Ends the program with one line if a worker is lost inside the block.

    Raises:
        WorkerLost: Instead of the error that TensorFlow raises in that case.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if not _memberships:
            raise
        text = " ".join(str(error.message).split())
        line = text.rpartition("aborted by: ")[2][:160]
        terminal = console.get(stderr=True)
        terminal.print(
            "error: another worker is gone. The same job, started again, "
            f"continues from the last checkpoint. TensorFlow says: {line}"
        )
        raise WorkerLost from None


class Vote:
    """Finds the largest of all workers' numbers, once in several calls.

    A vote costs a round trip, too much for every training step;
    `STEPS_PER_VOTE` is the number of calls from one vote to the next.
    """

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, number: int, now: bool = False) -> int:
        """Returns the largest number, or 0 if this call is between two votes.

        All workers must call it equally often, and with the same `now`.

        Args:
            number: This worker's number.
            now: Whether to vote at this call in any case.
        """
        if not _memberships:
            return number
        self._calls += 1
        if self._calls % STEPS_PER_VOTE and not now:
            return 0
        return int(_gather(np.array([number], np.int32)).max())


def end_unless_chief() -> None:
    """Ends the program with success, unless this process is the first worker.

    Call it when all training that workers share is done: the first worker
    does the rest alone, and never waits for the other workers again.
    """
    if not is_chief():
        raise SystemExit(0)


def _gather(values: np.ndarray) -> np.ndarray:
    """Returns the values of all workers.

    Args:
        values: This worker's values, `(num,)` int32.

    Returns:
        One row per device of every worker, `(num_devices, num)` int32.
    """
    return _gathering(len(values))(tf.constant(values)).numpy()


@functools.cache
def _gathering(num: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the graph of `_gather`: without a graph a call takes 70 ms."""
    strategy = _memberships[0].strategy

    @tf.function(input_signature=[tf.TensorSpec((num,), tf.int32)])
    def gather(values: tf.Tensor) -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: values[None]), axis=0)

    return gather
