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
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Returns the batches that `fit` takes, for all devices of this process.

    `make` alone decides which examples a device gets; TensorFlow does not shard
    them again. `AutoShardPolicy.OFF` would not do: it splits batches, which can
    leave a device without any.

    Args:
        strategy: The model's distribution strategy.
        make: Returns the batches of the replica that its argument `replica`
            names, a `data.Replica`. All replicas must have equally many.

    Returns:
        The data set that `make` returns if there is one device, else a
        distributed data set that gives every device its own batches.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return make(replica=Replica())

    local = len(strategy.extended.worker_devices)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first = context.input_pipeline_id * local
        parts = [
            make(replica=Replica(first + device, count))
            for device in range(local)
        ]
        # A worker's devices are served in turn.
        turns = tf.data.Dataset.range(local).repeat()
        total = local * int(parts[0].cardinality())
        return tf.data.Dataset.choose_from_datasets(parts, turns).apply(
            tf.data.experimental.assert_cardinality(total)
        )

    dataset = strategy.distribute_datasets_from_function(of_worker)
    # A step takes one batch of each device. If Keras does not know the number
    # of steps, it runs one too many, on an empty batch, and Adam updates.
    dataset._cardinality //= local
    return dataset


@contextlib.contextmanager
def corrected_fit(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Lets `fit` of Keras 3 run on several devices and on several workers.

    Two private functions of its trainer fail there (keras-team/keras#20585).
    `_maybe_symbolic_build` takes the mean of a batch over all devices, which
    fails for parts of different sizes, and with several workers; it needs the
    shapes only, and the batch of one device has them. `reduce_per_replica`
    takes the mean over workers of a step's logs along an axis that those
    scalars do not have. A worker's own logs are enough: an epoch's logs come
    from the metrics, which sum over all workers. The tests tell which version
    of Keras needs this.
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
        first_batch = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0],
            data_batch,
        )
        with strategy.scope():
            model._symbolic_build(data_batch=first_batch)

    replacements = (
        (trainer.TensorFlowTrainer, "_maybe_symbolic_build", build),
        (trainer, "_collective_all_reduce_multi_worker", lambda _: False),
    )
    originals = [getattr(owner, name) for owner, name, _ in replacements]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        for (owner, name, _), original in zip(
            replacements, originals, strict=True
        ):
            setattr(owner, name, original)


def average_statistics(model: keras.Model) -> None:
    """Gives every replica the mean of all replicas' moving statistics.

    Each replica updates statistics of its own, such as those of batch
    normalization, and Keras declares no aggregation for them: without this,
    each replica would validate with its own, and the release would have those
    of the first replica. Training is not changed: it uses the statistics of the
    batch, and the mean of moving averages is the moving average of the means.
    All workers must call it.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    variables = [
        variable
        for variable in model.non_trainable_variables
        # The others are random states, which every replica keeps.
        if variable.dtype.startswith("float")
    ]
    if not variables:
        return
    # In float64 the mean of equal values is that value, to the last bit.
    values = strategy.run(
        tf.function(
            lambda: [
                tf.cast(variable.value, tf.float64) for variable in variables
            ]
        )
    )
    for variable, value in zip(variables, values, strict=True):
        mean = strategy.reduce("MEAN", value, axis=None)
        variable.assign(tf.cast(mean, variable.dtype))


class AverageStatistics(keras.callbacks.Callback):
    """Validates with the statistics that the release will have."""

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Averages the model's moving statistics over all replicas."""
        average_statistics(self.model)


class OwnRandomness(keras.callbacks.Callback):
    """Gives every worker its own dropout masks, not those of the first."""

    _done = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Adds the worker's number to the seeds, which all workers share."""
        if self._done:  # In an earlier `fit` of the same training.
            return
        self._done = True
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                offset = np.array([cluster.index(), 0], np.uint32)
                variable.assign(variable.numpy() + offset)
