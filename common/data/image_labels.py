"""A table of labels for image files, in place of class folders."""

import collections
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import console
from common.options import InputError, quote

from . import (
    folders,
    image_checks,
    image_listing,
    splits,
    table_files,
    tables,
)
from .cells import MISSING
from .image_listing import ALL, Listing, Row

# What a column is called where no option names it, the likeliest first.
USUAL = {
    "file": ("file", "filename", "file_name", "path", "filepath", "image",
             "image_path", "image_id"),
    "label": ("label", "class", "class_name", "category", "target"),
    "split": ("split",),
    "group": ("group", "group_id", "patient", "patient_id", "scene"),
}  # fmt: skip
NEEDED = ("file", "label")
WHOLE = re.compile(r"^(-?\d+)\.0+$")
UNLISTED = "images without a row in the table"


class Source(NamedTuple):
    """A table, and the names of its columns; "" stands for those in `USUAL`.

    Attributes:
        table: The table's path; see `tables.read`.
        file: The column of files: paths below the folder of images or of the
            table, or names that only one image below the folder of images has,
            with or without their endings.
        label: The column of classes.
        split: The column of splits, by a name in `folders.SPLIT_NAMES`.
        group: The column of groups, each of which stays in one split.
    """

    table: str
    file: str = ""
    label: str = ""
    split: str = ""
    group: str = ""


class _Entry(NamedTuple):
    """A row of the table whose file exists.

    Attributes:
        number: The row's number, from 1.
        path: The file.
        label: The name of its class.
        split: A key of `folders.SPLIT_NAMES`, or `ALL`.
        group: See `image_listing.Row`.
    """

    number: int
    path: str
    label: str
    split: str
    group: str


def listing(root: Path, source: Source) -> Listing:
    """Returns the files that a table names, to train a model on.

    Args:
        root: The folder of images.
        source: The table.

    Raises:
        InputError: If the table cannot be read, contradicts itself, or has
            fewer than two classes or no split to train on.
    """
    entries, notes = _entries(root, source)
    names = sorted({entry.label for entry in entries})
    image_listing.check_names(names, f"classes in {source.table}")
    _check_spellings(names, source.table)
    if len(names) < 2:
        raise InputError(
            f"--labels must have at least two classes; {source.table} has "
            f"{quote(names[0])}."
        )
    rows = _by_split(entries, names)
    if ALL not in rows and "train" not in rows:
        raise InputError(
            f"--labels must have rows of the split train; {source.table} has "
            f"only {', '.join(sorted(rows))}."
        )
    for key, part in rows.items():
        absent = set(range(len(names))) - {row.label for row in part}
        if absent:
            raise InputError(
                f"--labels must have files of every class in every split; "
                f"{source.table} has none of {quote(names[min(absent)])} in "
                f"{key}."
            )
    table = Path(source.table)
    return Listing(root, tuple(names), rows, UNLISTED, notes, table)


def known(
    root: Path, source: Source, classes: tuple[str, ...]
) -> tuple[Listing, str]:
    """Returns the files that a table names, to evaluate a release.

    Args:
        root: The folder of images.
        source: The table.
        classes: The names of the release's classes.

    Returns:
        The files, all under `ALL`, and the part of the data that they are:
        `splits.TEST` if the table has rows of that split, else `splits.ALL`.

    Raises:
        InputError: If the table cannot be read, or has other classes.
    """
    entries, notes = _entries(root, source)
    for entry in entries:
        if entry.label not in classes:
            raise InputError(
                f"--labels must have the release's classes, "
                f"{', '.join(classes)}; row {entry.number} of {source.table} "
                f"has {quote(entry.label)}."
            )
    rows = _by_split(entries, classes)
    judged, unlisted = splits.ALL, UNLISTED
    if "test" in rows:
        rows = {"test": rows["test"]}
        judged, unlisted = splits.TEST, image_listing.NOT_IN_TEST
    part = [row for own in rows.values() for row in own]
    table = Path(source.table)
    return Listing(root, classes, {ALL: part}, unlisted, notes, table), judged


def _by_split(
    entries: Sequence[_Entry], names: Sequence[str]
) -> dict[str, list[Row]]:
    """Returns the rows of each split, sorted by class and path."""
    label_of = {name: label for label, name in enumerate(names)}
    rows = collections.defaultdict(list)
    for entry in entries:
        row = Row(entry.path, label_of[entry.label], entry.group)
        rows[entry.split].append(row)
    return {
        key: sorted(part, key=lambda row: (row.label, row.path))
        for key, part in rows.items()
    }


def _entries(
    root: Path, source: Source
) -> tuple[list[_Entry], tuple[str, ...]]:
    """Returns the rows whose files exist, each file once, and notes."""
    columns = _columns(source)
    texts = _texts(source.table, columns)
    place_of = _Places(root, Path(source.table).parent)
    entries: dict[str, _Entry] = {}
    left_out: collections.Counter[str] = collections.Counter()
    missing = []
    for number, cells in enumerate(texts, start=1):
        if not cells["file"] or cells["label"].lower() in MISSING:
            left_out["without a file or a label"] += 1
            continue
        place = place_of(cells["file"], f"row {number} of {source.table}")
        if not place:
            left_out["whose file is missing"] += 1
            missing.append(f"{cells['file']} in row {number}")
            continue
        path, name = place
        split = _split(cells, number, source.table)
        group = cells.get("group") or name
        entry = _Entry(number, path, cells["label"], split, group)
        first = entries.setdefault(path, entry)
        _check_same(first, entry, source.table)
        left_out["that repeat another"] += first is not entry
    if not entries:
        raise InputError(
            f"--labels must name files in {root}; {source.table} names none"
            f"{f', such as {missing[0]}' if missing else ''}. The files come "
            f"from its column {columns['file']}; --file_column names another."
        )
    if missing:  # Names of files must not go into the report.
        console.get(stderr=True).print(
            f"missing: {quote(missing[0])} ({len(missing)} such files)"
        )
    taken = ", ".join(f"{kind}s from {name}" for kind, name in columns.items())
    rows = [f"{num:,} rows {kind}" for kind, num in left_out.items() if num]
    notes = [f"{Path(source.table).name}: {taken}"]
    notes += [f"left out {', '.join(rows)}"] if rows else []
    return list(entries.values()), tuple(notes)


def _columns(source: Source) -> dict[str, str]:
    """Returns the name of each column that the table has, by its kind.

    Raises:
        InputError: If a column is missing that is needed or was named.
    """
    known = tables.names(source.table, "--labels")
    columns = {}
    for kind, usual in USUAL.items():
        named = getattr(source, kind)
        if named and named not in known:
            raise InputError(
                f"--{kind}_column must name a column of --labels; "
                f"{source.table} has {', '.join(known)}, and not {named!r}."
            )
        likely = (
            name for word in usual for name in known if name.lower() == word
        )
        if name := named or next(likely, ""):
            columns[kind] = name
        elif kind in NEEDED:
            raise InputError(
                f"--labels must have a column of {kind}s; {source.table} has "
                f"{', '.join(known)}. Name it by --{kind}_column."
            )
    return columns


def _texts(table: str, columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yields the cells of each row as texts, by the kind of the column."""
    names = list(dict.fromkeys(columns.values()))
    read = tables.read(table, names, names, "--labels")
    cells = {kind: read[name].to_pylist() for kind, name in columns.items()}
    for row in zip(*cells.values(), strict=True):
        texts = ("" if cell is None else str(cell).strip() for cell in row)
        yield dict(zip(cells, texts, strict=True))


def _split(cells: Mapping[str, str], number: int, table: str) -> str:
    """Returns the split of a row; `ALL` if the table has no such column."""
    if "split" not in cells:
        return ALL
    word = cells["split"].lower()
    for split, names in folders.SPLIT_NAMES.items():
        if word in names:
            return split
    words = [name for names in folders.SPLIT_NAMES.values() for name in names]
    raise InputError(
        f"--split_column must hold {', '.join(words)}; row {number} of {table} "
        f"has {quote(cells['split'])}."
    )


def _check_spellings(names: Sequence[str], table: str) -> None:
    """Refuses classes that differ only by capitals, or as `1` and `1.0` do."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(WHOLE.sub(r"\1", name).casefold(), name)
        if other != name:
            raise InputError(
                f"--labels must spell a class in one way; {table} has "
                f"{quote(other)} and {quote(name)}."
            )


def _check_same(first: _Entry, entry: _Entry, table: str) -> None:
    """Refuses two rows of one file that contradict each other."""
    for kind in ("label", "split", "group"):
        values = getattr(first, kind), getattr(entry, kind)
        if values[0] != values[1]:
            raise InputError(
                f"--labels must give a file one {kind}; {table} gives "
                f"{entry.path} {quote(values[0])} in row {first.number} and "
                f"{quote(values[1])} in row {entry.number}."
            )


class _Places:
    """Where the files are that a table names."""

    def __init__(self, root: Path, beside: Path) -> None:
        """Lists the images.

        Args:
            root: The folder of images.
            beside: The folder of the table.
        """
        self._folders = root, beside
        self._paths: dict[str, set[str]] = collections.defaultdict(set)
        for path in folders.files(root, image_checks.is_image):
            name = path.relative_to(root)
            for key in (name.with_suffix("").as_posix(), name.name, name.stem):
                self._paths[key].add(str(path))

    def __call__(self, name: str, place: str) -> tuple[str, str] | None:
        """Returns a file's path, and its name below the folder of images.

        Args:
            name: What the table calls it.
            place: The row, for errors.

        Raises:
            InputError: If several images have this name.

        Returns:
            None if there is no such file in the two folders.
        """
        named = [folder / name.replace("\\", "/") for folder in self._folders]
        for path in named:
            for folder in self._folders:
                below = os.path.relpath(path, folder)
                # A table is not trusted: it must not bring in other files.
                if below.startswith("..") or not table_files.is_file(
                    folder / below
                ):
                    continue
                return str(folder / below), self._below(folder / below)
        paths = sorted(self._paths.get(name, ()))
        if len(paths) > 1:
            raise InputError(
                f"--labels must name one file in a row; {place} names "
                f"{paths[0]} and {paths[1]}. Write their folders too."
            )
        return (paths[0], self._below(Path(paths[0]))) if paths else None

    def _below(self, path: Path) -> str:
        """Returns a path's name as seen from the folder of images."""
        return Path(os.path.relpath(path, self._folders[0])).as_posix()
