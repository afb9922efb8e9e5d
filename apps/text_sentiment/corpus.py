"""Texts and their labels, from TFDS or from a user's own tables."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.data import table_files, tables, tfds_sets
from common.data.splits import ALL, TEST
from common.options import InputError, quote
from common.shared_options import ANY_FORMAT, TableFormat

VALID_SHARE = TEST_SHARE = 0.1  # Parts of a user's single file.
READ = 1000  # Rows that are read at a time.


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts of one split and the indices of their classes `(num,) int64`."""

    texts: list[str]
    labels: np.ndarray

    def pick(self, indices: np.ndarray) -> "Texts":
        """Returns the texts at `indices`."""
        return Texts([self.texts[i] for i in indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A data set of texts.

    Attributes:
        name: The data set's name in the report.
        class_names: The classes; a label is an index into it.
        splits: `train`, `valid` and `test`; only `test` from
            `load_for_evaluation`.
        unlabelled: More texts of the same kind, to learn words from.
        judged: See `splits.Splits.judged`.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Texts]
    unlabelled: list[str] = dataclasses.field(default_factory=list)
    judged: str = TEST


@dataclasses.dataclass(frozen=True)
class Source:
    """The sources of the texts; each field is the option of the same name."""

    dataset: str
    data_dir: str
    text_column: str
    label_column: str
    test_file: str
    pretrain: str
    seed: int
    table_format: TableFormat = ANY_FORMAT


def load(source: Source) -> Corpus:
    """Loads the texts that the options name.

    Raises:
        InputError: If the data do not exist or cannot be used.
    """
    path = source.dataset
    if tables.is_table(path):
        return _load_table(source)
    if path.startswith((".", "/", "~")) or path.endswith("/"):
        raise InputError(
            f"--dataset must be a TFDS name or a file that ends in "
            f"{', '.join(tables.SUFFIXES)}; received {path!r}."
        )
    return _load_tfds(source)


def load_for_evaluation(
    source: Source, classes: tuple[str, ...], option: str
) -> Corpus:
    """Loads all texts of a file as the test split that judges a release.

    Args:
        source: Names the file and the columns.
        classes: The release's classes; the file need not have texts of all.
        option: The option that names the file, `dataset` or `test_file`.

    Raises:
        InputError: If a text has another class, or the file cannot be used.
    """
    path, flag = getattr(source, option), f"--{option}"
    texts, labels = _read_table(path, source, flag)
    rule = f"{flag} must have the release's classes"
    test = Texts(texts, _indices(labels, classes, path, rule))
    return Corpus(table_files.title(path), classes, {"test": test}, judged=ALL)


def _load_tfds(source: Source) -> Corpus:
    """Loads a TFDS set; the names of its splits decide their use."""
    if source.test_file:
        raise InputError(
            "--test_file goes with a --dataset that is a file; received "
            f"--dataset={source.dataset}."
        )
    keys: list[str] = []

    def check(candidate: Any) -> None:
        keys.extend(_keys(candidate, source))

    builder = tfds_sets.builder(source.dataset, source.data_dir, check)
    names = tfds_sets.split_names(builder)
    unlabelled: list[str] = []
    if source.pretrain in builder.info.splits:
        unlabelled = _read_tfds(builder, source.pretrain, keys).texts
    elif source.pretrain:
        unlabelled = _read_unlabelled(source, builder.info.splits)
    return Corpus(
        builder.info.full_name,
        tuple(builder.info.features[keys[1]].names),
        {key: _read_tfds(builder, name, keys) for key, name in names.items()},
        unlabelled,
    )


def _keys(builder: Any, source: Source) -> tuple[str, str]:
    """Returns the names of a set's text and label features."""
    features = dict(builder.info.features)
    usual = builder.info.supervised_keys or (None, None)
    text, label = (
        name if name in features else other
        for name, other in zip(
            (source.text_column, source.label_column), usual, strict=True
        )
    )
    if not (
        isinstance(features.get(text), tfds.features.Text)
        and isinstance(features.get(label), tfds.features.ClassLabel)
    ):
        raise InputError(
            f"--dataset must have a text and a class label; {builder.name} "
            f"has {', '.join(features)}. See --text_column, --label_column."
        )
    return text, label


def _read_tfds(builder: Any, split: str, keys: Sequence[str]) -> Texts:
    """Reads a split in the order of its files.

    Args:
        builder: The TFDS builder.
        split: The split's name.
        keys: The names of the text and label features.
    """
    batches = builder.as_dataset(split=split, batch_size=READ)
    texts: list[str] = []
    labels = []
    for batch in tfds.as_numpy(batches):
        for content in batch[keys[0]]:
            texts.append(_decode(content, f"text {len(texts) + 1} of {split}"))
        labels.append(batch[keys[1]])
    if not texts:
        raise InputError(f"--dataset must have texts; {split} has none.")
    return Texts(texts, np.concatenate(labels).astype(np.int64))


def _decode(content: bytes, place: str) -> str:
    """Returns UTF-8 as text."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"--dataset must be UTF-8; {place} is not.") from None


def _load_table(source: Source) -> Corpus:
    """Loads a user's file; the test texts may come from a second file."""
    texts, labels = _read_table(source.dataset, source, "--dataset")
    class_names = _classes(labels)
    if len(class_names) < 2:
        raise InputError(
            f"--label_column must have two classes or more; "
            f"{source.label_column} in {source.dataset} has only "
            f"{quote(class_names[0])}."
        )
    rule = "--test_file must have the classes of --dataset"
    read = Texts(texts, _indices(labels, class_names, source.dataset, rule))
    order = np.random.default_rng(source.seed).permutation(len(texts))
    num_test = 0 if source.test_file else round(TEST_SHARE * len(texts))
    num_valid = round(VALID_SHARE * len(texts))
    test, valid, train = np.split(order, [num_test, num_test + num_valid])
    parts = {
        "train": read.pick(train),
        "valid": read.pick(valid),
        "test": read.pick(test),
    }
    if source.test_file:
        texts, labels = _read_table(source.test_file, source, "--test_file")
        indices = _indices(labels, class_names, source.test_file, rule)
        parts["test"] = Texts(texts, indices)
    missing = set(range(len(class_names))) - set(parts["train"].labels.tolist())
    if missing or not all(part.texts for part in parts.values()):
        raise InputError(
            f"--dataset must have 10 rows or more, and some of each class; "
            f"{source.dataset} has {len(read.texts)} of {len(class_names)} "
            "classes."
        )
    unlabelled = _read_unlabelled(source, ()) if source.pretrain else []
    name = table_files.title(source.dataset)
    return Corpus(name, class_names, parts, unlabelled)


def _read_table(
    path: str, source: Source, option: str
) -> tuple[list[str], list[str]]:
    """Returns the texts and the labels of a file; empty texts are allowed."""
    columns = [source.text_column, source.label_column]
    table = tables.read(path, columns, columns, option, source.table_format)
    texts, written = (_strings(table[name]) for name in columns)
    labels = [label.strip() for label in written]
    for index, label in enumerate(labels):
        if not label:
            raise InputError(
                f"--label_column must have a class in each row; row "
                f"{index + 1} of {path} has none. Remove it."
            )
        if not label.isprintable():  # Each is a line of `labels.txt`.
            raise InputError(
                f"--label_column must have printable classes; row {index + 1} "
                f"of {path} has {quote(label)}."
            )
    return texts, labels


def _read_unlabelled(source: Source, known: Sequence[str]) -> list[str]:
    """Returns the texts of a file that `--pretrain` names."""
    if not tables.is_table(source.pretrain):
        choice = f"a split ({', '.join(known)}) or " if known else ""
        raise InputError(
            f"--pretrain must be {choice}a file that ends in "
            f"{', '.join(tables.SUFFIXES)}; received {source.pretrain!r}."
        )
    columns = [source.text_column]
    table = tables.read(
        source.pretrain, columns, columns, "--pretrain", source.table_format
    )
    return _strings(table[source.text_column])


def _strings(column: Any) -> list[str]:
    """Returns a column as text; a missing value becomes ""."""
    values = column.to_pylist()
    return [
        value.decode("utf-8")
        if isinstance(value, bytes)
        else "" if value is None else str(value)
        for value in values
    ]  # fmt: skip


def _classes(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes: sorted as numbers if all are, otherwise as texts."""
    names = set(labels)
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        # Equal numbers, such as 1 and 01, are sorted by their text.
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _indices(
    labels: Sequence[str], class_names: Sequence[str], path: str, rule: str
) -> np.ndarray:
    """Returns the classes' indices; refuses a class that is not known."""
    index = {name: i for i, name in enumerate(class_names)}
    for row, label in enumerate(labels):
        if label not in index:
            raise InputError(
                f"{rule}, {quote(', '.join(class_names), 500)}; row {row + 1} "
                f"of {path} has {quote(label)}."
            )
    return np.array([index[label] for label in labels], np.int64)
