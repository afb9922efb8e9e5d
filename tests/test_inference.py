"""Tests of `common.training.inference`."""

import numpy as np
import tensorflow as tf

from common.training import inference


def test_outputs_are_those_of_every_batch_in_order() -> None:
    rows = np.arange(10, dtype=np.float32)
    batches = [(rows[:4], rows[:4] + 1), (rows[4:], rows[4:] + 1)]
    outputs, targets = inference.outputs(lambda batch: batch * 2, batches)
    np.testing.assert_array_equal(outputs, rows * 2)
    np.testing.assert_array_equal(targets, rows + 1)


def test_structures_stay_what_they_are() -> None:
    rows = np.ones((3, 2), np.float32)
    outputs, targets = inference.outputs(
        lambda inputs: {"sum": tf.reduce_sum(inputs["x"], axis=1)},
        [({"x": rows}, (rows, rows[:, 0]))] * 2,
    )
    np.testing.assert_array_equal(outputs["sum"], np.full(6, 2.0))
    assert [one.shape for one in targets] == [(6, 2), (6,)]
