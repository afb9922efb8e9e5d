"""The files for phones: a history of item indices in, a list out."""

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.compression.finetuning import Finetuning
from common.mobile import conversion, litert, measurement, metadata
from common.mobile.measurement import Measurement
from common.shared_options import Options
from common.variants import Plan, Techniques

from . import examples
from .config import APP
from .interactions import Catalogue
from .model import rows_of
from .protocols import Protocol, Task
from .quality import LENGTH, ndcg_of_padded

CALIBRATION = 200
BATCH = 100
ITEMS = "items.csv"
FINETUNING = 20_000
# Lookups of a long history are held for every example of a batch.
MAX_LOOKUPS = 2**25
# Some operators, such as the root of a count, have no int8 kernel.
INT8 = conversion.Int8("float32", whole=False)


def answer(twin: Any, length: int) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns the function of a file: the best unseen items of a history.

    Seen items get the lowest score of all, not minus infinity, which would
    leave an int8 file no steps for the others.

    Args:
        twin: The tf_keras model from `history` to the scores of all items,
            padding the first of them.
        length: The last items that the twin looks at.
    """

    def serve(history: tf.Tensor) -> dict[str, tf.Tensor]:
        window = history[:, history.shape[1] - length :]
        scores = twin({"history": window}, training=False)[:, 1:]
        size = scores.shape[1]
        ones = tf.ones_like(history[0])
        counts = tf.scatter_nd(history[0][:, None], ones, (size + 1,))
        low = tf.reduce_min(scores, axis=1, keepdims=True)
        open_scores = tf.where(counts[None, 1:] > 0, low, scores)
        scores, items = tf.math.top_k(open_scores, min(LENGTH, size))
        return {"indices": items + 1, "scores": scores}

    return serve


def finetuning(
    protocol: Protocol, mode: str, model: keras.Model, options: Options
) -> Finetuning:
    """Returns the data and the loss that compressed twins are fitted with.

    Args:
        protocol: The data.
        mode: One of `examples.MODES`: how the network was trained.
        model: The folded model, from history to scores.
        options: Give batch size, seed and the compression options.
    """
    length = model.input["history"].shape[1]
    size = model.output_shape[-1]
    # A folded model has a single output: it cannot be fitted to sequences.
    mode = "set" if mode == "set" else "next"
    cut = examples.transform(protocol.train, mode, length)

    def transform(features: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        inputs, targets = cut(features, labels, seed)
        history = inputs["history"]
        if mode == "set":
            # Half of a user's items are to be found from the other half.
            chance = tf.random.stateless_uniform(tf.shape(history), seed + 2)
            history = tf.where(chance < 0.5, 0, history)
        wanted = tf.cast(targets > 0, tf.float32)
        rows = rows_of(targets, wanted, size)
        total = tf.reduce_sum(rows, axis=1, keepdims=True)
        return {"history": history}, rows / tf.maximum(total, 1.0)

    split = examples.training(protocol.train, mode, length)
    width = max(layer.output_dim for layer in model.layers if _looks_up(layer))
    most = max(1, MAX_LOOKUPS // (length * width))
    return Finetuning(
        split.sample(FINETUNING, options.seed),
        transform,
        options.replace(batch_size=min(options.batch_size, most)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        soften=tf.nn.softmax,
    )


def _looks_up(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer is a table of vectors."""
    return isinstance(layer, keras.layers.Embedding)


def write(
    directory: Path,
    twins: Mapping[Techniques, Any],
    plan: Plan,
    protocol: Protocol,
    length: int,
    options: Options,
) -> list[dict[str, Any]]:
    """Writes and measures the TFLite files, and `items.csv`.

    Args:
        directory: The release's `mobile`.
        twins: The tf_keras twins, from `chain.compress`.
        plan: The files to write.
        protocol: The data.
        length: The last items that the model looks at.
        options: Give the seed, the licence, the size of the sample and the
            drop allowed.

    Returns:
        The rows of `variants` in `report.json`.
    """
    width = max(length, int(protocol.data.items.lengths.max()))
    users = np.random.default_rng(options.seed).permutation(
        protocol.valid.users
    )[:CALIBRATION]
    calibration = {"history": protocol.valid.history.padded(users, width)}
    paths = conversion.write(
        directory, twins, plan, calibration, ["indices", "scores"], INT8,
        wrap=lambda twin: answer(twin, length),
    )  # fmt: skip
    (directory / ITEMS).write_text(
        items_csv(protocol.data.catalogue), encoding="utf-8"
    )
    metadata.write(paths, facts(options.license))
    valid, test = (
        dataclasses.replace(
            task, users=task.users[measurement.rows(len(task.users), options)]
        )
        for task in (protocol.valid, protocol.test)
    )
    measured_with = Measurement(
        valid=lambda: batches(valid, width),
        test=lambda: batches(test, width),
        reference=np.zeros(1),  # Errors are of scores: see `_with_errors`.
        metric=ndcg_of_padded,
        output="indices",
    )
    rows = measurement.measure_all(paths, measured_with, options.max_drop)
    return _with_errors(paths, rows, next(iter(batches(protocol.test, width))))


def facts(license: str) -> metadata.Facts:
    """Returns what the TFLite files tell about themselves."""
    places = f"the column index of {ITEMS} beside the model"
    return metadata.Facts(
        APP,
        "Recommends items that a user has not seen, from those seen before.",
        {
            "history": metadata.Tensor(
                f"The items seen, oldest first, by {places}; 0 pads the front."
            )
        },
        {
            "indices": metadata.Tensor(f"The items, best first, by {places}."),
            "scores": metadata.Tensor("The scores of these items."),
        },
        license,
    )


def batches(
    task: Task, width: int
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yields histories and targets, as `Measurement` takes them.

    Args:
        task: The users, their histories and targets.
        width: The length of the padded histories.
    """
    most = int(task.targets.lengths.max())
    for start in range(0, len(task.users), BATCH):
        users = task.users[start : start + BATCH]
        inputs = {"history": task.history.padded(users, width)}
        yield inputs, task.targets.padded(users, most)


def _with_errors(
    paths: list[Path],
    rows: list[dict[str, Any]],
    batch: tuple[dict[str, np.ndarray], np.ndarray],
) -> list[dict[str, Any]]:
    """Adds the greatest difference from the float32 file's scores to each row.

    The scores of a batch's lists are compared, place by place; indices of items
    have no distance.
    """
    scores_of_files = [
        litert.Runner(path.read_bytes())(**batch[0])["scores"] for path in paths
    ]
    return [
        {
            **row,
            "max_abs_error": float(np.max(np.abs(scores - scores_of_files[0]))),
        }
        for row, scores in zip(rows, scores_of_files, strict=True)
    ]


def items_csv(catalogue: Catalogue) -> str:
    """Returns index, id and title of every item as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["index", "item_id", "title"])
    rows = zip(catalogue.ids, catalogue.titles, strict=True)
    for index, (item, title) in enumerate(rows):
        if index:
            writer.writerow([index, item, title])
    return buffer.getvalue()
