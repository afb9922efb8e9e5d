"""The workers of a multi-worker training: who they are, and what they agree on.

`TF_CONFIG` says who takes part, as Kubernetes' TFJob, Vertex AI and SageMaker
set it. Worker 0, or the one called chief, writes all files; the others train.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from common import console, runtime
from common.options import InputError
from common.shared_options import Options

from . import rendezvous

# Training steps between two votes: a signal is heeded after that many.
STEPS_PER_VOTE = 20
# What TFJob's restart policy `ExitCode` takes as "try again".
LOST_STATUS = 138


@dataclasses.dataclass(frozen=True)
class Task:
    """This process among the workers.

    Attributes:
        addresses: `host:port` of every worker, the chief's first.
        index: The place of this one among them.
    """

    addresses: tuple[str, ...]
    index: int


@dataclasses.dataclass(frozen=True)
class Membership:
    """What this process is once all workers have met."""

    task: Task
    strategy: tf.distribute.MultiWorkerMirroredStrategy


# TensorFlow's own context is one per process, and cannot be left again.
_memberships: list[Membership] = []


class WorkerLost(SystemExit):
    """Ends the program because another worker is gone; trying again helps."""

    def __init__(self) -> None:
        super().__init__(LOST_STATUS)


def read_task(text: str | None) -> Task:
    """Reads `TF_CONFIG`.

    Args:
        text: Its value, or None if it is not set.

    Raises:
        InputError: If it is not set, no JSON, or not about workers.
    """
    if not text:
        raise InputError(
            "--strategy=multi_worker needs TF_CONFIG in the environment; it is "
            "not set. `python -m apps.launch --workers=2 -- COMMAND` sets it."
        )
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
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
            "TF_CONFIG's task must be one of its cluster; "
            f"{kind} {place} is not in {json.dumps(jobs)[:200]}."
        )
    addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
    for one in addresses:
        host, _, port = str(one).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InputError(
                f"TF_CONFIG must have addresses host:port; received {one!r}."
            )
        if addresses.count(one) > 1:
            raise InputError(
                f"TF_CONFIG must name a worker once; {one!r} is twice."
            )
    before = len(jobs.get("chief", ())) if kind == "worker" else 0
    return Task(tuple(addresses), before + place)


def start(options: Options) -> None:
    """Waits for the other workers, and joins them; alone it does nothing.

    Call it after `runtime.start`, before anything is computed.

    Raises:
        InputError: If `--strategy=multi_worker` and `TF_CONFIG` is wrong, a
            worker does not come or has other options, or a port is in use.
    """
    together = options.strategy == "multi_worker" and options.mode == "train"
    if together:
        task = read_task(os.environ.get("TF_CONFIG"))
        flags = options.training_values().items()
        same = {f"--{k}": v for k, v in flags} | runtime.versions()
        rendezvous.meet(
            task.addresses, task.index, same, options.cluster_timeout
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
            machine; `multi_worker`, one on every GPU, or CPU, of all workers
            (after `start`); `auto`, `mirrored` if there are several GPUs, else
            `one_device`.
    """
    if name == "multi_worker":
        return _memberships[0].strategy
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def index() -> int:
    """Returns the place of this process among the workers; 0 if alone."""
    return _memberships[0].task.index if _memberships else 0


def is_chief() -> bool:
    """Returns whether this process writes files: the first worker does."""
    return index() == 0


def agree(what: str, value: str) -> None:
    """Waits for all workers and compares a value of theirs.

    Args:
        what: A sentence's start for the error: what the value tells of.
        value: What must be equal.

    Raises:
        InputError: If some worker has another value.
    """
    if not _memberships:
        return
    digest = hashlib.sha256(value.encode()).digest()[:8]
    rows = _gather(np.frombuffer(digest, np.int32))
    if (rows != rows[0]).any():
        raise InputError(
            f"{what} must be the same for all workers; worker {index()} has "
            f"{value}. Is it on storage that all of them share?"
        )


@contextlib.contextmanager
def all_present() -> Iterator[None]:
    """Ends the program with one line if a worker is lost while it is entered.

    Raises:
        WorkerLost: Instead of what TensorFlow raises then.
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
    """Finds the largest number that a worker has, every few calls."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, mine: int, now: bool = False) -> int:
        """Returns the largest number, or 0 if it is no time to ask.

        Args:
            mine: This worker's number. All workers must ask as often.
            now: Do not wait for `STEPS_PER_VOTE` calls: asking all of them
                at every step would cost a round trip.
        """
        if not _memberships:
            return mine
        self._calls += 1
        if self._calls % STEPS_PER_VOTE and not now:
            return 0
        return int(_gather(np.array([mine], np.int32)).max())


def end_unless_chief() -> None:
    """Ends the program with success, unless this process is the first worker.

    Call it when all training that workers share is done: the rest is the
    first one's. Nothing of it waits for the others.
    """
    if not is_chief():
        raise SystemExit(0)


def _gather(values: np.ndarray) -> np.ndarray:
    """Returns the `(num,)` int32 of all workers, `(devices, num)`."""
    return _gathering(len(values))(tf.constant(values)).numpy()


@functools.cache
def _gathering(num: int) -> Any:
    """Returns the graph of `_gather`: without one each call takes 70 ms."""
    strategy = _memberships[0].strategy

    @tf.function(input_signature=[tf.TensorSpec((num,), tf.int32)])
    def gather(values: Any) -> Any:
        return strategy.gather(strategy.run(lambda: values[None]), axis=0)

    return gather
