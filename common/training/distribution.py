"""Training on several devices: their input, and Keras's `fit` on workers."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import trainer

from common.data.replicas import Replica
from common.workers import cluster


def batches(
    strategy: tf.distribute.Strategy,
    make: Callable[..., tf.data.Dataset],
) -> Any:
    """Returns batches for `fit`: of every device its own, if there are several.

    What a device gets is decided by `make`, and by nothing in TensorFlow: it
    does not shard again (as with `AutoShardPolicy.OFF`, but without its
    splitting of batches, which can leave a device with none).

    Args:
        strategy: The model's.
        make: Gives the batches of its argument `replica`, a `data.Replica`; all
            must have as many.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return make(replica=Replica())

    local = len(strategy.extended.worker_devices)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first = context.input_pipeline_id * local
        parts = [
            make(replica=Replica(first + one, count)) for one in range(local)
        ]
        # A worker's devices are served in turn.
        turns = tf.data.Dataset.range(local).repeat()
        total = local * int(parts[0].cardinality())
        return tf.data.Dataset.choose_from_datasets(parts, turns).apply(
            tf.data.experimental.assert_cardinality(total)
        )

    dataset = strategy.distribute_datasets_from_function(of_worker)
    # A step takes one of each device's. Where Keras does not know how many
    # there are, it makes one more, on an empty batch, and Adam moves on.
    dataset._cardinality //= local
    return dataset


@contextlib.contextmanager
def corrected_fit(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Lets `fit` of Keras 3 run on several devices and on several workers.

    Two private functions of its trainer fail there (keras-team/keras#20585).
    `_maybe_symbolic_build` takes the mean of a batch over all devices, which
    parts of different sizes do not have, nor workers; it needs the shapes only,
    and one device knows them. `reduce_per_replica` takes the mean over workers
    of a step's logs, scalars, along an axis that they do not have. A worker's
    own logs do: an epoch's come from the metrics, which sum over all workers.
    The tests say for which version of Keras this is needed.
    """
    if strategy.num_replicas_in_sync == 1 and not isinstance(
        strategy, tf.distribute.MultiWorkerMirroredStrategy
    ):
        yield
        return

    def build(
        model: keras.Model, iterator: Any = None, data_batch: Any = None
    ) -> None:
        if iterator is not None:
            data_batch = next(next(iter(iterator))[2])
        one = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0],
            data_batch,
        )
        with strategy.scope():
            model._symbolic_build(data_batch=one)

    mended = (
        (trainer.TensorFlowTrainer, "_maybe_symbolic_build", build),
        (trainer, "_collective_all_reduce_multi_worker", lambda one: False),
    )
    before = [getattr(owner, name) for owner, name, _ in mended]
    for owner, name, better in mended:
        setattr(owner, name, better)
    try:
        yield
    finally:
        for (owner, name, _), one in zip(mended, before, strict=True):
            setattr(owner, name, one)


def average_statistics(model: keras.Model) -> None:
    """Gives every replica the mean of all replicas' moving statistics.

    Each updates its own, as of batch normalization, and Keras declares no
    aggregation for them: without this, each validates with its own, and
    the release has those of the first. Training takes the batch's, and a mean
    of moving averages is the moving average of the means: it goes on as before.
    All workers must call it.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    variables = [
        one
        for one in model.non_trainable_variables
        if one.dtype.startswith("float")  # Random states are each one's own.
    ]
    if not variables:
        return
    # In float64 the mean of equal values is that value, to the last bit.
    own = strategy.run(
        tf.function(
            lambda: [tf.cast(one.value, tf.float64) for one in variables]
        )
    )
    for variable, value in zip(variables, own, strict=True):
        mean = strategy.reduce("MEAN", value, axis=None)
        variable.assign(tf.cast(mean, variable.dtype))


class AverageStatistics(keras.callbacks.Callback):
    """Validates with the statistics that the release will have."""

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Averages; see `average_statistics`."""
        average_statistics(self.model)


class OwnRandomness(keras.callbacks.Callback):
    """Gives every worker dropout of its own, not the first one's again."""

    _given = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Adds the worker's number to the seeds that all have in common."""
        if self._given:  # By an earlier `fit` of the same training.
            return
        self._given = True
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                own = np.array([cluster.index(), 0], np.uint32)
                variable.assign(variable.numpy() + own)
