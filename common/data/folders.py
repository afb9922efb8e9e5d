"""Folders of splits, of classes and of files, and the files of `--inputs`."""

import collections
import glob
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from common.options import InputError, quote

from . import table_files

IsWanted = Callable[[Path], bool]

# What an archive leaves behind.
PASSED_OVER = ("__macosx",)
# Pictures that say where something is in the images beside them.
MASKS, IMAGES = ("mask", "masks"), ("image", "images")
_IMAGE_FOLDERS = (*IMAGES, *(name.capitalize() for name in IMAGES))
# What the folder, or the split of a TFDS set, may be called.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "valid": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def of_splits(
    root: Path, classes: Collection[str] = (), with_classes: bool = True
) -> dict[str, Path]:
    """Returns the folders of splits in `root`, by split; {} if it has none.

    Args:
        root: The folder.
        classes: Names that mean a class, should they also be a split's.
        with_classes: Whether only folders that hold folders are returned.

    Raises:
        InputError: If two folders are the same split's.
    """
    split_of = {
        name: split for split, names in SPLIT_NAMES.items() for name in names
    }
    splits: dict[str, Path] = {}
    for path in of_classes(root):
        split = split_of.get(path.name.lower())
        if split is None or path.name in classes:
            continue
        if with_classes and not of_classes(path):
            continue  # A class may be called Train: it holds no folders.
        if split in splits:
            raise InputError(
                f"--dataset must have one folder for a split; {root} has "
                f"{splits[split].name} and {path.name}. Merge them."
            )
        splits[split] = path
    return splits


def of_classes(root: Path) -> list[Path]:
    """Returns the folders in `root`, sorted.

    Hidden ones are left out, as are those in `PASSED_OVER`.
    """
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not _is_passed_over(path.name)
    )


def _is_passed_over(name: str) -> bool:
    """Tells whether a file or a folder of this name holds no data."""
    return name.startswith(".") or name.lower() in PASSED_OVER


def files(root: Path, is_wanted: IsWanted) -> list[Path]:
    """Returns the files below `root`, sorted.

    Hidden ones are left out, and what is in a folder of `PASSED_OVER`, or of
    masks beside a folder of images.
    """
    return sorted(
        path
        for path, reason in _all(root)
        if not reason and is_wanted(path) and not path.is_dir()
    )


def passed_over(root: Path) -> collections.Counter[str]:
    """Returns the numbers of files below `root` that `files` never returns.

    They are counted by the reason: `hidden`, `masks`, or the folder's name.
    """
    return collections.Counter(
        reason for path, reason in _all(root) if reason and path.is_file()
    )


def _all(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields all paths below `root`, each with the reason why it is no data.

    The reason is "" for a path that may be data, or a folder of data.
    """
    paths = list(root.rglob("*"))
    masks = {
        folder
        for folder in paths
        if folder.name.lower() in MASKS
        and any((folder.parent / name).is_dir() for name in _IMAGE_FOLDERS)
    }
    for path in paths:
        parts = path.relative_to(root).parts
        archive = [part for part in parts if part.lower() in PASSED_OVER]
        if archive:
            yield path, f"in {archive[0]}"
        elif any(map(_is_passed_over, parts)):
            yield path, "hidden"
        else:
            yield path, "" if masks.isdisjoint(path.parents) else "masks"


def inputs(pattern: str, is_wanted: IsWanted, kinds: str) -> list[str]:
    """Returns the files that `--inputs` names, sorted.

    Args:
        pattern: A file, which is taken whatever its name is; a folder, whose
            own files are taken; or a pattern such as `photos/*.png`, where `**`
            stands for any number of folders.
        is_wanted: Tells whether a file of a folder or a pattern is taken.
        kinds: The kinds of files that are taken, for the error.

    Raises:
        InputError: If there is no such file.
    """
    if not pattern:
        raise InputError(f"--inputs must name {kinds}; received nothing.")
    if table_files.is_file(Path(pattern)):
        return [pattern]
    if os.path.isdir(pattern):  # noqa: PTH112 - of any text, a long one too.
        pattern = glob.escape(pattern.rstrip("/")) + "/*"
    paths = [
        path
        for path in sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if is_wanted(Path(path)) and not Path(path).is_dir()
    ]
    if not paths:
        raise InputError(
            f"--inputs must name {kinds}; {quote(pattern)} matches none."
        )
    return paths


def make(path: str, option: str) -> Path | None:
    """Makes and returns the folder that an option names for output, if any.

    Args:
        path: The option's value; "" for no folder.
        option: The option's name.

    Raises:
        InputError: If the folder cannot be made.
    """
    if not path:
        return None
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--{option} must be a folder that can be written; received "
            f"{path!r}: {error.strerror}."
        ) from None
    return Path(path)
