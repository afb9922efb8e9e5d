"""Texts and their labels, from TFDS or from a user's own tables."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.data import slice_columns, table_files, tables, tfds_sets
from common.data.splits import ALL, TEST
from common.options import InputError, quote
from common.table_options import ANY_FORMAT, TableFormat

from . import labels as spellings
from . import rows

VALID_SHARE = TEST_SHARE = 0.1  # Parts of a user's single file.
READ = 1000  # Rows that are read at a time.


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts of one split and the indices of their classes `(num,) int64`.

    Attributes:
        texts: The texts.
        labels: `(num,) int64`.
        groups: The cells of the columns of `--slice_by`, `(num, columns)`
            objects; None if there are none.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def pick(self, indices: np.ndarray) -> "Texts":
        """Returns the texts at `indices`."""
        texts = [self.texts[i] for i in indices]
        groups = None if self.groups is None else self.groups[indices]
        return Texts(texts, self.labels[indices], groups)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A data set of texts.

    Attributes:
        name: The data set's name in the report.
        class_names: The classes; a label is an index into it.
        splits: `train`, `valid` and `test`; only `test` from
            `load_for_evaluation`.
        unlabelled: More texts of the same kind, to learn words from.
        notes: What was read and what was left out, for the user to read.
        judged: See `splits.Splits.judged`.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Texts]
    unlabelled: list[str] = dataclasses.field(default_factory=list)
    notes: tuple[str, ...] = ()
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
    on_bad_input: str
    seed: int
    table_format: TableFormat = ANY_FORMAT
    slice_by: tuple[str, ...] = ()


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
    slice_columns.check_table(source.slice_by, path)
    return _load_tfds(source)


def load_for_evaluation(
    source: Source, class_names: tuple[str, ...], option: str
) -> Corpus:
    """Loads all texts of a file as the test split that judges a release.

    Args:
        source: Names the file and the columns.
        class_names: The release's classes; the file need not have texts of
            all.
        option: The option that names the file, `dataset` or `test_file`.

    Raises:
        InputError: If a text has another class, or the file cannot be used.
    """
    flag = f"--{option}"
    table = _read(source, getattr(source, option), flag)
    rule = f"{flag} must have the release's classes"
    table = rows.as_known(table, class_names, rule, _skips(source))
    parts = {"test": _texts(table, class_names)}
    name = table_files.title(table.path)
    return Corpus(name, class_names, parts, notes=table.notes, judged=ALL)


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
    table = rows.as_classes(_read(source, source.dataset, "--dataset"))
    class_names = spellings.ordered(table.labels)
    if len(class_names) < 2:
        raise InputError(
            f"--label_column must have two classes or more; "
            f"{source.label_column} in {source.dataset} has only "
            f"{quote(class_names[0])}."
        )
    fewest = 2 if source.test_file else 3  # A row for each split.
    table = rows.without_rare(table, fewest, _skips(source))
    class_names = spellings.ordered(table.labels)
    read = _texts(table, class_names)
    shares = [0.0 if source.test_file else TEST_SHARE, VALID_SHARE]
    places = rows.parts(read.labels, shares, source.seed)
    names = ("test", "valid", "train")
    parts = dict(zip(names, map(read.pick, places), strict=True))
    notes = table.notes
    if source.test_file:
        table = _read(source, source.test_file, "--test_file")
        rule = "--test_file must have the classes of --dataset"
        table = rows.as_known(table, class_names, rule, _skips(source))
        parts["test"] = _texts(table, class_names)
        notes += table.notes
    unlabelled = _read_unlabelled(source, ()) if source.pretrain else []
    name = table_files.title(source.dataset)
    return Corpus(name, class_names, parts, unlabelled, notes)


def _read(source: Source, path: str, option: str) -> rows.Rows:
    """Reads the rows of a user's file that have a label."""
    columns = (source.text_column, source.label_column)
    form = source.table_format
    return rows.read(
        path, *columns, option, _skips(source), form, source.slice_by
    )


def _skips(source: Source) -> bool:
    """Tells whether rows that cannot be used are left out, not refused."""
    return source.on_bad_input == "skip"


def _texts(table: rows.Rows, class_names: Sequence[str]) -> Texts:
    """Returns the texts of rows and the indices of their classes."""
    index = {name: i for i, name in enumerate(class_names)}
    labels = [index[name] for name in table.labels]
    return Texts(table.texts, np.array(labels, np.int64), table.groups)


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
    return rows.strings(table[source.text_column])
