"""TFDS data sets as splits: loaded by name and prepared on first use."""

import contextlib
import importlib
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from common.options import InputError
from common.workers import cluster

from . import downloads, folders, splits

# The data sets of this project, and the directory where they are prepared.
EMBEDDED = (
    "digits",
    "generated_reviews",
    "phantoms",
    "simulated_transactions",
    "tastes",
)
EMBEDDED_DIR = Path("runs/datasets")

VALID_PERCENT = 10
INTERLEAVED_FILES = 16
# The most encoded records in the buffer for shuffling, and their most bytes.
SHUFFLE_BUFFER = 10_000
SHUFFLE_BYTES = 512 * 2**20


def builder(
    name: str,
    data_dir: str = "",
    check: Callable[[tfds.core.DatasetBuilder], None] = lambda builder: None,
) -> tfds.core.DatasetBuilder:
    """Returns the prepared builder of the TFDS data set `name`.

    If there are several workers, the first one prepares the data set. The
    others then use it, or prepare their own copy if they do not share the
    directory.

    Args:
        name: A TFDS name such as `mnist` or `imdb_reviews/plain_text`, or a
            name of `EMBEDDED`; these data sets need no download.
        data_dir: The TFDS data directory; by default TFDS's own.
        check: Raises if the data set is of the wrong kind; it is called before
            any download.

    Raises:
        InputError: If there is no such data set, it cannot be prepared, or it
            must be downloaded and its hosts cannot be reached.
    """
    if cluster.is_chief():
        dataset = _prepare(name, data_dir, check)
        cluster.agree("--dataset", name)
        return dataset
    with cluster.all_present():
        cluster.agree("--dataset", name)
    return _prepare(name, data_dir, check)


def _prepare(
    name: str, data_dir: str, check: Callable[[tfds.core.DatasetBuilder], None]
) -> tfds.core.DatasetBuilder:
    """Prepares a data set if it is not prepared yet; see `builder`."""
    tfds.disable_progress_bar()
    # Each retry of a download would print a warning; the error is enough.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if name in EMBEDDED:
        module = importlib.import_module(
            f"common.data.datasets.{name}.{name}_dataset_builder"
        )
        dataset = module.Builder(data_dir=EMBEDDED_DIR)
    else:
        # TFDS reads the variable only at import; an empty value means unset.
        directory = data_dir or os.environ.get("TFDS_DATA_DIR") or None
        try:
            dataset = tfds.builder(name, data_dir=directory)
        except (
            tfds.core.DatasetNotFoundError,
            ValueError,
            AssertionError,  # A version that does not exist.
        ) as error:
            raise InputError(
                f"--dataset must be a TFDS name, one of {', '.join(EMBEDDED)},"
                f" or a path; received {name!r}. {_first_line(error)}"
            ) from None
    check(dataset)
    downloads.check(dataset)
    try:
        # TFDS prints that it downloads, though an embedded set needs no
        # download.
        quiet = contextlib.redirect_stdout(io.StringIO())
        with quiet if name in EMBEDDED else contextlib.nullcontext():
            dataset.download_and_prepare()
    except Exception as error:  # The network, the disk, a checksum, ...
        raise InputError(
            f"--dataset={name} could not be prepared: {_first_line(error)} "
            f"Point --data_dir at a prepared copy."
        ) from None
    return dataset


def _first_line(error: Exception) -> str:
    """Returns the first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def split_names(dataset: tfds.core.DatasetBuilder) -> dict[str, str]:
    """Returns TFDS's split expressions for train, valid and test.

    A missing validation split is taken from the last 10 % of train. A missing
    test split is the validation split if there is one, else it is taken from
    the last 10 % of train. TFDS stores train in a shuffled, fixed order, so the
    same name always gives the same three splits.

    Raises:
        InputError: If the data set has no split called train.
    """
    present = set(dataset.info.splits)
    if "train" not in present:
        raise InputError(
            f"--dataset must have a split called train; {dataset.name} has "
            f"{', '.join(sorted(present))}."
        )
    valid = next(
        (name for name in folders.SPLIT_NAMES["valid"] if name in present), None
    )
    test = "test" if "test" in present else None
    if not test and valid:
        test, valid = valid, None
    cut = 100
    names = {}
    for key, name in (("test", test), ("valid", valid)):
        if name is None:
            name = f"train[{cut - VALID_PERCENT}%:{cut}%]"
            cut -= VALID_PERCENT
        names[key] = name
    names["train"] = "train" if cut == 100 else f"train[:{cut}%]"
    return names


def stream(
    dataset: tfds.core.DatasetBuilder,
    split: str,
    parse: Callable[[dict[str, Any]], tuple[tf.Tensor, tf.Tensor]],
    feature_shape: tuple[int, ...],
) -> splits.StreamSplit:
    """Returns a split that streams the data set's TFRecord files.

    Shuffled reading takes the files in random order, 16 at a time, and passes
    their records through a buffer of `SHUFFLE_BUFFER`, or of `SHUFFLE_BYTES`.

    Args:
        dataset: A prepared builder.
        split: A TFDS split expression, e.g. `train[:90%]`.
        parse: Returns `(features, label)` of one decoded TFDS example.
        feature_shape: The shape of the features that `parse` returns.

    Raises:
        InputError: If the data set is not stored as TFRecord.
    """
    info = dataset.info.splits[split]
    names, parts_read = _files(dataset, split)
    num_examples = dataset.info.splits.total_num_examples
    record_bytes = int(dataset.info.dataset_size) // max(1, num_examples)
    buffer_size = splits.within(record_bytes, SHUFFLE_BUFFER, SHUFFLE_BYTES)

    def records(key: tf.Tensor | None) -> tf.data.Dataset:
        parts = tf.data.Dataset.from_tensor_slices((names, parts_read))
        if key is not None:
            parts = splits.shuffle(parts, len(names), key)
        # Evaluation reads one file after another, in the documented order.
        cycle = 1 if key is None else min(INTERLEAVED_FILES, len(names))
        rows = parts.interleave(
            lambda name, part: (
                tf.data.TFRecordDataset(name).skip(part[0]).take(part[1])
            ),
            cycle_length=cycle,
            num_parallel_calls=tf.data.AUTOTUNE if cycle > 1 else None,
        )
        if key is None:
            return rows
        return splits.shuffle(rows, buffer_size, key)

    return splits.StreamSplit(
        num_examples=info.num_examples,
        feature_shape=feature_shape,
        records=records,
        parse=lambda record: parse(
            dataset.info.features.deserialize_example(record)
        ),
    )


def _files(
    dataset: tfds.core.DatasetBuilder, split: str
) -> tuple[list[str], np.ndarray]:
    """Returns the TFRecord files of a split, and which records of each it has.

    Returns:
        The names; and for each file the number of records to skip and the
        number to take, `(files, 2) int64`.
    """
    files = dataset.info.splits[split].file_instructions
    names = [str(file.filename) for file in files]
    if not all("tfrecord" in Path(name).name for name in names):
        raise InputError(
            f"--dataset={dataset.name} must be stored as TFRecord; prepare it "
            "with file_format=tfrecord."
        )
    return names, np.array([(f.skip, f.take) for f in files], np.int64)
