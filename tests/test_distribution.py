"""Several devices in one process, and the correction that workers need."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import trainer

from common.training import distribution

ROOT = Path(__file__).resolve().parents[1]

JOB = ROOT / "tests" / "two_devices_job.py"


def test_two_devices_train_as_one_would(tmp_path) -> None:
    subprocess.run(
        [sys.executable, str(JOB), str(tmp_path)], cwd=ROOT, check=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_the_correction_is_for_this_keras() -> None:
    # keras-team/keras#20585. When Keras changes here, try without it: run
    # tests/test_multi_worker.py with `corrected_fit` empty.
    assert keras.__version__ == "3.15.1"
    assert hasattr(trainer.TensorFlowTrainer, "_maybe_symbolic_build")
    assert hasattr(trainer, "_collective_all_reduce_multi_worker")


class Cluster(tf.distribute.MultiWorkerMirroredStrategy):
    """A cluster of this process alone that says it has several workers."""

    def __init__(self) -> None:
        super().__init__()
        self.extended._in_multi_worker_mode = lambda: True


def test_keras_still_needs_the_correction() -> None:
    strategy = Cluster()
    logs = {"loss": tf.constant(1.5)}
    with pytest.raises(ValueError, match="dimension 0"):
        trainer.reduce_per_replica(logs, strategy, "mean")
    with distribution.corrected_fit(strategy):
        found = trainer.reduce_per_replica(logs, strategy, "mean")
    np.testing.assert_allclose(found["loss"], 1.5)


def test_the_correction_is_for_the_while_and_for_workers_only() -> None:
    names = ("_collective_all_reduce_multi_worker", "reduce_per_replica")
    before = [getattr(trainer, name) for name in names]
    with distribution.corrected_fit(tf.distribute.get_strategy()):
        assert [getattr(trainer, name) for name in names] == before
    with distribution.corrected_fit(Cluster()):
        assert getattr(trainer, names[0]) is not before[0]
    assert [getattr(trainer, name) for name in names] == before
